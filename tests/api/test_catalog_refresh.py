import asyncio
import gzip
import json
import os
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from service.catalog.adapters import file as catalog_file_source
from service.catalog.reading import patience
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


@pytest.mark.parametrize("form", ["csv", "jsonl"])
async def test_a_column_once_known_stays_known_as_null_and_its_loss_is_said_and_counted(
    open_door: OpenDoor, tmp_path: Path, form: str
) -> None:
    """A1."""
    path = tmp_path / f"feed.{form}"

    def feed(**further: object) -> str:
        item = {"id": "a", "url": "https://u/", "name": "N", "price": 5, "image": "https://i/", **further}
        if form == "jsonl":
            return json.dumps(item)
        return f"{','.join(item)}\n{','.join(map(str, item.values()))}\n"

    path.write_text(feed(sale_price=3, brand="x"))
    async with open_door(CATALOG_URL=f"file://{path}") as door:
        with capture_logs() as logs:
            for content in (feed(brand="x"), feed(brand="y", color="red")):
                await replace(path, content)
                door.app.lifecycle.on_hangup()
                await until(partial(lambda count: replaced(logs) == count, content.count("color") + 1))
        await door.shows("catalog_columns_lost 1.0")
        answer = await door.get(PATH, user_id="", fields="sale_price,brand,color")
        assert answer.status_code == 200
        item = answer.json()[0]
        assert (item["sale_price"], item["brand"], item["color"]) == (None, "y", "red")
        assert [log["columns"] for log in logs if log["event"] == "catalog_columns_lost"] == [["sale_price"]] * 2
        assert (await door.get(PATH, user_id="", fields="never_there")).status_code == 422
        await replace(path, feed(sale_price=2))
        door.app.lifecycle.on_hangup()
        await door.shows("catalog_columns_lost 2.0")
        shown = (await door.get(PATH, user_id="", fields="sale_price")).json()
        assert shown[0]["sale_price"] == 2


async def test_an_exclusion_by_a_column_that_no_row_of_json_has_any_more_excludes_nothing(
    open_door: OpenDoor, tmp_path: Path
) -> None:
    """A1."""
    path = tmp_path / "feed.jsonl"
    item = {"id": "a", "url": "https://u/", "name": "N", "price": 5, "image": "https://i/"}
    path.write_text(json.dumps({**item, "sold_out": "yes"}) + "\n" + json.dumps({**item, "id": "b"}))
    rule = 'EXCLUDE ItemID WHERE Items.sold_out IN ("yes")'
    async with open_door(CATALOG_URL=f"file://{path}", EXCLUSION_FILTER=rule) as door:
        assert [one["id"] for one in (await door.get(PATH, user_id="")).json()] == ["b"]
        await replace(path, json.dumps(item) + "\n" + json.dumps({**item, "id": "b"}))
        door.app.lifecycle.on_hangup()
        await door.shows("catalog_columns_lost 1.0")
        assert [one["id"] for one in (await door.get(PATH, user_id="")).json()] == ["a", "b"]


async def test_a_csv_without_the_column_that_the_exclusion_asks_for_is_refused(
    open_door: OpenDoor, catalog_file: Path
) -> None:
    """A1: else sold-out items would be shown."""
    async with open_door(EXCLUSION_FILTER="EXCLUDE ItemID WHERE Items.stock < 5") as door:
        await replace(catalog_file, catalog_file.read_text("utf-8").replace(",stock", ",gone"))
        door.app.lifecycle.on_hangup()
        await door.shows("catalog_refresh_failing 1.0")
        shown = (await door.get(PATH, user_id="", fields="stock")).json()
        assert min(item["stock"] for item in shown) == 5


def replaced(logs: Sequence[Mapping[str, object]]) -> int:
    """How often the catalogue has been replaced."""
    return sum(log["event"] == "catalog_replaced" for log in logs)


def refused(logs: Sequence[Mapping[str, object]]) -> list[str]:
    """Why it has not."""
    return [str(log["problem"]) for log in logs if log["event"] == "catalog_not_replaced"]


def part_of(catalog_file: Path, rows: int) -> str:
    """The catalogue, cut behind some rows."""
    return "".join(catalog_file.read_text("utf-8").splitlines(keepends=True)[: rows + 1])


async def test_half_an_upload_is_refused_said_and_alerted_and_two_hangups_accept_it(
    open_door: OpenDoor, catalog_file: Path
) -> None:
    """A4."""
    async with open_door() as door:
        before = (await door.get(PATH, user_id="a")).content
        with capture_logs() as logs:
            await replace(catalog_file, part_of(catalog_file, 3))
            door.app.lifecycle.on_hangup()
            await door.shows("catalog_shrink_refused 1.0")
            assert "catalog_refresh_failing 1.0" in (await door.get("/metrics")).text
            assert (await door.get(PATH, user_id="a")).content == before
            [problem] = refused(logs)
            assert "3 items where 60 were; CATALOG_MAX_SHRINK=0.5 refuses that; if it is meant, send SIGHUP" in problem
            door.app.lifecycle.on_hangup()
            await door.shows("catalog_items 3.0")
        await door.shows("catalog_shrink_refused 0.0")
        await door.shows("catalog_refresh_failing 0.0")
        assert len((await door.get(PATH, user_id="", num_results=20)).json()) == 3


async def test_two_hangups_at_once_accept_half_an_upload_too(open_door: OpenDoor, catalog_file: Path) -> None:
    """A4."""
    async with open_door() as door:
        await replace(catalog_file, part_of(catalog_file, 3))
        door.app.lifecycle.on_hangup()
        door.app.lifecycle.on_hangup()
        await door.shows("catalog_items 3.0")


async def test_a_later_version_of_about_the_same_size_accepts_the_loss_and_a_smaller_one_does_not(
    open_door: OpenDoor, catalog_file: Path
) -> None:
    """A4."""
    async with open_door(CATALOG_REFRESH_SECONDS="86400") as door:
        assert door.app._services is not None
        refresher = door.app._services.administration.catalog
        whole = catalog_file.read_text("utf-8")
        with capture_logs() as logs:
            for rows, active in ((20, 60), (3, 60), (2, 2)):
                catalog_file.write_text(whole)
                await replace(catalog_file, part_of(catalog_file, rows))
                await refresher.refresh(asks=0)
                assert f"catalog_items {active}.0" in (await door.get("/metrics")).text
            assert len(refused(logs)) == 2


@pytest.mark.parametrize(("max_shrink", "rows", "items"), [("0.5", 30, 30), ("0.9", 7, 7), ("1", 1, 1), ("0", 59, 60)])
async def test_how_much_a_catalogue_may_lose_is_a_setting(
    open_door: OpenDoor, catalog_file: Path, max_shrink: str, rows: int, items: int
) -> None:
    """A4."""
    async with open_door(CATALOG_MAX_SHRINK=max_shrink) as door:
        with capture_logs() as logs:
            await replace(catalog_file, part_of(catalog_file, rows))
            door.app.lifecycle.on_hangup()
            await until(lambda: replaced(logs) + len(refused(logs)) == 1)
        assert f"catalog_items {items}.0" in (await door.get("/metrics")).text


async def test_a_catalogue_of_as_many_other_items_is_used_and_the_log_says_so(
    open_door: OpenDoor, catalog_file: Path
) -> None:
    """A4: half of the ids may change, as after a season; when nearly all do, another column was exported."""
    async with open_door() as door:
        head, *rows = catalog_file.read_text("utf-8").splitlines()
        for others, said in ((30, []), (60, [(0, 60)])):
            with capture_logs() as logs:
                changed = [f"other{row}" for row in rows[:others]] + rows[others:]
                await replace(catalog_file, "\n".join([head, *changed]) + "\n")
                door.app.lifecycle.on_hangup()
                await until(lambda: replaced(logs) == 1)
            found = [(line["kept"], line["looked_for"]) for line in logs if line["event"] == "catalog_ids_changed"]
            assert found == said
            assert (await door.get(PATH, user_id="a")).headers["X-Recommendation-Source"] != "empty"
            rows = changed if others == 30 else rows


async def test_a_pipe_in_the_place_of_the_file_is_refused_and_keeps_nothing_from_ending(
    open_door: OpenDoor, catalog_file: Path
) -> None:
    """J6."""
    async with open_door() as door:
        catalog_file.unlink()
        os.mkfifo(catalog_file)
        with capture_logs() as logs:
            door.app.lifecycle.on_hangup()
            await door.shows("catalog_refresh_failing 1.0")
        assert "is a pipe or a device; a catalogue must be a file" in refused(logs)[0]
        assert (await door.get(PATH, user_id="a")).status_code == 200


@pytest.mark.parametrize("call", ["stat", "open", "read"])
async def test_a_mount_that_hangs_is_given_up_and_keeps_nothing_from_ending(
    open_door: OpenDoor, catalog_file: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """J6."""
    hanging = threading.Event()

    def hang(*_: object, **__: object) -> None:
        hanging.wait(60)

    try:
        async with open_door() as door:
            await replace(catalog_file, part_of(catalog_file, 50))
            monkeypatch.setattr(catalog_file_source, "LOOK_SECONDS", 0.05)
            monkeypatch.setattr(patience, "STALL_SECONDS", 0.05)
            match call:
                case "stat":
                    monkeypatch.setattr(Path, "stat", hang)
                case "open":
                    monkeypatch.setattr(catalog_file_source.FileSource, "_open", hang)
                case _:
                    monkeypatch.setattr(os, "readv", hang)
            with capture_logs() as logs:
                door.app.lifecycle.on_hangup()
                await until(lambda: bool(refused(logs)))
            monkeypatch.undo()
            assert "no answer within 0.05 s; does its mount hang?" in refused(logs)[0]
            assert (await door.get(PATH, user_id="a")).status_code == 200
    finally:
        hanging.set()


@pytest.mark.processes
async def test_few_items_of_many_bytes_go_into_a_file_too(open_door: OpenDoor, tmp_path: Path) -> None:
    """J7."""
    path = tmp_path / "items.csv"
    text = "x" * 20_000
    with path.open("w") as file:
        file.write("id,url,name,price,image,description\n")
        file.writelines(f"{n},https://u/,N,5,https://i/,{text}\n" for n in range(2_000))
    async with open_door(CATALOG_URL=f"file://{path}") as door:
        shown = (await door.get(PATH, user_id="", num_results=100, fields="description")).json()
        assert [len(item["description"]) for item in shown] == [20_000] * 100
        names = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
        assert [name for name in names if "/data/kept-catalog-" in name]


@asynccontextmanager
async def calling(door: Door, users: str) -> AsyncIterator[list[httpx.Response]]:
    """Each user calls some twenty times a second; the answers, as they come."""
    answers: list[httpx.Response] = []
    over = asyncio.Event()

    async def call(user: str) -> None:
        while not over.is_set():
            answers.append(await door.get(PATH, user_id=user))
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        for user in users:
            group.create_task(call(user))
        yield answers
        over.set()


def held(data_dir: Path) -> tuple[int, list[str], list[str], int]:
    """What this process holds: open files and connections, our files on disk, children, tasks."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text("utf-8").split()
    files = sorted(name.partition("-")[0] for name in os.listdir(data_dir))  # behind it stands a hash of the content
    return len(os.listdir("/proc/self/fd")), files, children, len(asyncio.all_tasks())


@pytest.mark.processes
async def test_a_file_replaced_ten_times_by_good_and_bad_ones_fails_no_call_and_leaves_nothing_behind(
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
        cut = whole[: len(whole) * number // 10]
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
                for number in range(10):
                    write(number)
                    door.app.lifecycle.on_hangup()
                    await until(partial(lambda number: len(looks()) > number, number))
        assert looks() == [*["catalog_not_replaced"] * 4, "catalog_replaced"] * 2
        assert {answer.status_code for answer in answers} == {200}
        assert {len(answer.json()) for answer in answers} == {10}
        assert [item["price"] for item in (await door.get(PATH, user_id="a")).json()][:2] == [37.5, 1009]
        assert len(door.personalize.asked) == 4
        # What was replaced is closed, and its file removed, by a thread.
        await until(lambda: held(tmp_path / "data")[:-1] == tuple(before))
        assert held(tmp_path / "data")[-1] <= tasks
    # The active one too, though the collector never looks at what was there at the start.
    descriptors = [one.readlink() for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    assert not [name for name in descriptors if "/data/kept-catalog-" in str(name)]
