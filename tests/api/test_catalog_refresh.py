import asyncio
import gzip
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from service.catalog.adapters import file as catalog_file_source
from service.catalog.reading.build import build
from tests.support.front_door import Door, OpenDoor
from tests.support.waiting import until

PATH = "/recommendations"


async def replace(path: Path, content: str) -> None:
    fresh = path.with_suffix(".fresh")
    fresh.write_text(content, encoding="utf-8")
    os.utime(fresh, ns=(path.stat().st_mtime_ns + 1, path.stat().st_mtime_ns + 1))
    fresh.replace(path)


async def test_a_changed_price_and_a_sold_out_item_show_in_cached_lists_without_a_transaction(
    open_door: OpenDoor, catalog_file: Path
) -> None:
    async with open_door() as door:
        before = (await door.get(PATH, user_id="a")).json()
        assert (await door.get(PATH, user_id="a")).json() == before
        lines = catalog_file.read_text("utf-8").replace(",38.50,", ",12.25,").splitlines(keepends=True)
        await replace(catalog_file, "".join(line for line in lines if not line.startswith("item037,")))
        door.app.lifecycle.on_hangup()
        await door.shows("catalog_items 59.0")
        after = (await door.get(PATH, user_id="a")).json()
        assert [item["id"] for item in after] == [f"item{n:03}" for n in range(38, 48)]
        assert after[0]["price"] == 12.25
        assert len(door.personalize.asked) == 1


async def test_a_bad_file_keeps_the_old_catalogue_active_and_says_so(open_door: OpenDoor, catalog_file: Path) -> None:
    async with open_door() as door:
        good = catalog_file.read_text("utf-8")
        before = (await door.get(PATH, user_id="a")).content
        await replace(catalog_file, "id,nothing\n1,2\n")
        door.app.lifecycle.on_hangup()
        await door.shows("catalog_refresh_failing 1.0")
        assert (await door.get(PATH, user_id="a")).content == before
        await replace(catalog_file, good)
        door.app.lifecycle.on_hangup()
        await door.shows("catalog_refresh_failing 0.0")


async def test_a_source_that_was_away_is_no_failure_once_it_is_back_as_it_was(
    open_door: OpenDoor, catalog_file: Path
) -> None:
    link = catalog_file.with_name("link.csv")
    link.symlink_to(catalog_file)
    async with open_door(CATALOG_URL=f"file://{link}") as door:
        link.unlink()
        door.app.lifecycle.on_hangup()
        await door.shows("catalog_refresh_failing 1.0")
        link.symlink_to(catalog_file)
        door.app.lifecycle.on_hangup()
        await door.shows("catalog_refresh_failing 0.0")


async def test_a_static_exclusion_holds_for_every_source(open_door: OpenDoor) -> None:
    rule = 'EXCLUDE ItemID WHERE Items.CATEGORY IN ("odd") | EXCLUDE ItemID WHERE Items.PRICE > 100'
    async with open_door(EXCLUSION_FILTER=rule) as door:
        for parameters in ({"user_id": "a"}, {"user_id": "a"}, {"user_id": ""}):
            items = (await door.get(PATH, fields="category", num_results=20, **parameters)).json()
            assert len(items) == 20
            assert {item["category"] for item in items} == {"even"}
        assert len(door.personalize.asked) == 1


@asynccontextmanager
async def calling(door: Door, users: str) -> AsyncIterator[list[httpx.Response]]:
    """Each user calls all the time; the answers, as they come."""
    answers: list[httpx.Response] = []
    over = asyncio.Event()

    async def call(user: str) -> None:
        while not over.is_set():
            answers.append(await door.get(PATH, user_id=user))
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for user in users:
            group.create_task(call(user))
        yield answers
        over.set()


def held(data_dir: Path) -> tuple[int, list[str], list[str], int]:
    """What this process holds: open files and connections, our files on disk, children, tasks."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text("utf-8").split()
    return len(os.listdir("/proc/self/fd")), os.listdir(data_dir), children, len(asyncio.all_tasks())


@pytest.mark.processes
async def test_a_file_replaced_twenty_times_by_good_and_bad_ones_fails_no_call_and_leaves_nothing_behind(
    open_door: OpenDoor,
    catalog_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As catalogues of more than 50,000 items are: by a child, into a file.
    monkeypatch.setattr(catalog_file_source, "build", partial(build, max_memory_rows=10))
    plain = catalog_file.read_bytes()
    path = tmp_path / "items.csv.gz"

    def good(number: int) -> bytes:
        return gzip.compress(plain.replace(b",38.50,", b",%d," % (1000 + number)))

    def write(number: int) -> None:
        whole = good(number)
        cut = whole[: len(whole) * number // 20]
        content = (cut, b"", gzip.compress(b"nothing" + plain[2:]), os.urandom(2_000), whole)[number % 5]
        if not content:
            path.write_bytes(content)  # emptied where it is
            return
        fresh = tmp_path / "fresh"
        fresh.write_bytes(content)
        fresh.replace(path)

    path.write_bytes(good(0))
    async with open_door(CATALOG_URL=f"file://{path}") as door:
        for user in "abcd":
            await door.get(PATH, user_id=user)
        *before, tasks = held(tmp_path / "data")
        with capture_logs() as logs:

            def looks() -> list[str]:
                return [one["event"] for one in logs if "replaced" in one["event"]]

            async with asyncio.timeout(60), calling(door, "abcd") as answers:
                for number in range(20):
                    write(number)
                    door.app.lifecycle.on_hangup()
                    await until(partial(lambda number: len(looks()) > number, number))
        assert looks() == [*["catalog_not_replaced"] * 4, "catalog_replaced"] * 4
        assert {answer.status_code for answer in answers} == {200}
        assert {len(answer.json()) for answer in answers} == {10}
        assert [item["price"] for item in (await door.get(PATH, user_id="a")).json()][:2] == [37.5, 1019]
        assert len(door.personalize.asked) == 4
        *after, still = held(tmp_path / "data")
        assert after == before
        assert still <= tasks
    # The active one too, though the collector never looks at what was there at the start.
    descriptors = [one.readlink() for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    assert not [name for name in descriptors if "/data/catalog-" in str(name)]
