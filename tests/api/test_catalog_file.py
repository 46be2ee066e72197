"""Replicas that start with a file which another process has made."""

import os
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.catalog.adapters import file as file_source
from service.catalog.build_file import build_catalog_file
from service.catalog.reading.build import build
from tests.support.front_door import OpenDoor

pytestmark = pytest.mark.processes


async def events_of_start(open_door: OpenDoor, file: Path, **settings: str) -> tuple[list[str], float]:
    """What a start says of files, and the price of an item afterwards."""
    with capture_logs() as logs:
        async with open_door(CATALOG_FILE=str(file), **settings) as door:
            shown = (await door.get("/recommendations", user_id="", num_results=100)).json()
    price = next(item["price"] for item in shown if item["id"] == shown[0]["id"])
    return [one["event"] for one in logs if one["event"].startswith("catalog_file")], price


async def test_a_replica_uses_the_file_while_its_source_holds_the_same(
    open_door: OpenDoor, catalog_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "items.sqlite"
    await build_catalog_file(f"file:{catalog_file}", out, column_mapping={}, exclusion_filter=None)
    said, price = await events_of_start(open_door, out)
    assert said == ["catalog_file_used"]

    catalog_file.write_text(catalog_file.read_text("utf-8").replace(f",{price:.2f},", ",77.00,"))
    said, after = await events_of_start(open_door, out)
    assert (said, after) == (["catalog_file_outdated"], 77.0)

    said, _ = await events_of_start(open_door, tmp_path / "nowhere.sqlite")
    assert said == ["catalog_file_unusable"]
    os.truncate(out, 5_000)
    said, _ = await events_of_start(open_door, out)
    assert said == ["catalog_file_unusable"]
    assert out.stat().st_size == 5_000


async def test_a_replica_that_starts_again_uses_the_file_of_the_last_one(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As catalogues of more than 50,000 items are.
    monkeypatch.setattr(file_source, "build", partial(build, max_memory_rows=10))
    assert [await said(open_door) for _ in range(2)] == [[], ["catalog_file_used"]]


async def said(open_door: OpenDoor) -> list[str]:
    with capture_logs() as logs:
        async with open_door() as door:
            assert (await door.get("/recommendations", user_id="")).json()
    return [one["event"] for one in logs if one["event"].startswith("catalog_file")]
