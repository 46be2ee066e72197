"""What an embedded replica keeps in DATA_DIR: for whom, under which names, and by how many replicas at a time."""

import asyncio
import json
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from service.catalog.adapters import file as catalog_file_source
from service.catalog.reading.build import build
from service.cli import main
from service.errors import ConfigurationError
from tests.support.front_door import OpenDoor

ADMIN = {"X-API-Key": "an-admin-key-of-the-tests"}
EVENTS = {"X-API-Key": "an-event-key-of-the-tests"}


@pytest.fixture
def open_umask() -> Iterator[None]:
    """A system that makes files for everybody by default."""
    before = os.umask(0)
    yield
    os.umask(before)


def rights(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.mark.usefixtures("open_umask")
async def test_what_is_kept_can_be_read_by_its_user_only(open_door: OpenDoor, tmp_path: Path) -> None:
    """I9: files were made for everybody."""
    data = tmp_path / "data"
    output = tmp_path / "users.json.out"
    lines = [{"input": {"userId": "ann"}, "output": {"recommendedItems": ["item001"]}, "error": None}, "garbage"]
    output.write_text("".join(json.dumps(one) + "\n" for one in lines))
    async with open_door(
        ADMIN_KEYS=ADMIN["X-API-Key"], EVENT_KEYS=EVENTS["X-API-Key"], EXCLUDE_AFTER="Purchase:1d"
    ) as door:
        assert (await door.http.put("/items/item001/block", headers=ADMIN)).status_code == 200
        bought = {"userId": "ann", "eventList": [{"eventType": "Purchase", "itemId": "item002"}]}
        assert (await door.http.post("/events", json=bought, headers=EVENTS)).status_code == 202
        assert CliRunner().invoke(main, ["batch", "load", str(output)]).exit_code == 0

        files = {path.name: rights(path) for path in data.iterdir()}

    assert {"blocked.json", "batch-lists.sqlite", "batch-errors.jsonl"} < files.keys()
    assert set(files.values()) == {"0o600"}
    assert rights(data) == "0o700"


async def test_a_file_of_before_is_taken_from_everybody_else(open_door: OpenDoor, tmp_path: Path) -> None:
    """I9."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "blocked.json").write_text('["item001"]')
    (data / "blocked.json").chmod(0o644)
    async with open_door(ADMIN_KEYS=ADMIN["X-API-Key"]) as door:
        assert (await door.http.put("/items/item002/block", headers=ADMIN)).status_code == 200
    assert rights(data / "blocked.json") == "0o600"


async def test_nobody_can_lay_a_link_in_the_way_of_what_is_written(open_door: OpenDoor, tmp_path: Path) -> None:
    """I9: the name of the temporary file was known beforehand."""
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    data = tmp_path / "data"
    data.mkdir()
    for name in ("blocked.new", "blocked.json.new", ".blocked.json.tmp", "batch-lists.loading.sqlite"):
        (data / name).symlink_to(victim)
    output = tmp_path / "users.json.out"
    output.write_text(
        json.dumps({"input": {"userId": "ann"}, "output": {"recommendedItems": ["item001"]}, "error": None})
    )
    async with open_door(ADMIN_KEYS=ADMIN["X-API-Key"]) as door:
        assert (await door.http.put("/items/item001/block", headers=ADMIN)).status_code == 200
        CliRunner().invoke(main, ["batch", "load", str(output)])
    assert victim.read_text() == "untouched"
    assert json.loads((data / "blocked.json").read_text()) == ["item001"]


async def test_two_embedded_replicas_on_one_folder_are_a_mistake(open_door: OpenDoor, tmp_path: Path) -> None:
    """I9: each spent the whole TPS, and wrote over what the other had blocked."""
    async with open_door():
        with pytest.raises(ConfigurationError, match=r"^DATA_DIR: another embedded replica uses data\."):
            async with open_door():
                pass
        async with open_door(DATA_DIR=str(tmp_path / "other")):
            pass
    async with open_door():
        pass


@pytest.mark.processes
async def test_the_child_that_reads_a_large_catalogue_inherits_no_secret(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I9: it had all keys and AWS's secrets in its environment."""
    environments: list[dict[str, str]] = []
    start = asyncio.create_subprocess_exec

    async def watched(*arguments: str, env: dict[str, str], **options: Any) -> asyncio.subprocess.Process:  # noqa: ANN401  # passed on
        environments.append(env)
        return await start(*arguments, env=env, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    monkeypatch.setattr(catalog_file_source, "build", partial(build, max_memory_rows=10))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("LC_CTYPE", "C.UTF-8")
    async with open_door(ADMIN_KEYS=ADMIN["X-API-Key"], USER_KEY_SECRET="hush") as door:
        assert len((await door.get("/recommendations", user_id="ann")).json()) == 10
    [environment] = environments
    assert [name for name in environment if name.startswith(("AWS_", "ADMIN_", "USER_", "PERSONALIZE_"))] == []
    assert environment["LC_CTYPE"] == "C.UTF-8"
