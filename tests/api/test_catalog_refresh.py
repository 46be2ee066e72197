import asyncio
import os
from pathlib import Path

from tests.api.conftest import Door, OpenDoor

PATH = "/recommendations"


async def replace(path: Path, content: str) -> None:
    fresh = path.with_suffix(".fresh")
    fresh.write_text(content, encoding="utf-8")
    os.utime(fresh, ns=(path.stat().st_mtime_ns + 1, path.stat().st_mtime_ns + 1))
    fresh.replace(path)


async def metric(door: Door, line: str) -> None:
    async with asyncio.timeout(10):
        while line not in (await door.get("/metrics")).text:  # noqa: ASYNC110  # only the metric tells
            await asyncio.sleep(0.02)


async def test_a_changed_price_and_a_sold_out_item_show_in_cached_lists_without_a_transaction(
    open_door: OpenDoor, catalog_file: Path
) -> None:
    async with open_door() as door:
        before = (await door.get(PATH, user_id="a")).json()
        assert (await door.get(PATH, user_id="a")).json() == before
        lines = catalog_file.read_text("utf-8").replace(",38.50,", ",12.25,").splitlines(keepends=True)
        await replace(catalog_file, "".join(line for line in lines if not line.startswith("item037,")))
        door.app.lifecycle.on_hangup()
        await metric(door, "catalog_items 59.0")
        after = (await door.get(PATH, user_id="a")).json()
        assert [item["id"] for item in after] == [f"item{n:03}" for n in range(38, 48)]
        assert after[0]["price"] == 12.25
        assert len(door.personalize.asked) == 1


async def test_a_bad_file_leaves_the_old_catalogue_in_force_and_says_so(
    open_door: OpenDoor, catalog_file: Path
) -> None:
    async with open_door() as door:
        good = catalog_file.read_text("utf-8")
        before = (await door.get(PATH, user_id="a")).content
        await replace(catalog_file, "id,nothing\n1,2\n")
        door.app.lifecycle.on_hangup()
        await metric(door, "catalog_refresh_failing 1.0")
        assert (await door.get(PATH, user_id="a")).content == before
        await replace(catalog_file, good)
        door.app.lifecycle.on_hangup()
        await metric(door, "catalog_refresh_failing 0.0")


async def test_a_source_that_was_away_is_no_failure_once_it_is_back_as_it_was(
    open_door: OpenDoor, catalog_file: Path
) -> None:
    async with open_door() as door:
        catalog_file.rename(away := catalog_file.with_suffix(".away"))
        door.app.lifecycle.on_hangup()
        await metric(door, "catalog_refresh_failing 1.0")
        away.rename(catalog_file)
        door.app.lifecycle.on_hangup()
        await metric(door, "catalog_refresh_failing 0.0")


async def test_a_static_exclusion_holds_for_every_source(open_door: OpenDoor) -> None:
    rule = 'EXCLUDE ItemID WHERE Items.CATEGORY IN ("odd") | EXCLUDE ItemID WHERE Items.PRICE > 100'
    async with open_door(EXCLUSION_FILTER=rule) as door:
        for parameters in ({"user_id": "a"}, {"user_id": "a"}, {"user_id": ""}):
            items = (await door.get(PATH, fields="category", num_results=20, **parameters)).json()
            assert len(items) == 20
            assert {item["category"] for item in items} == {"even"}
        assert len(door.personalize.asked) == 1
