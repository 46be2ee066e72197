"""A1: a further column that the catalogue once had stays known to replicas that start later."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from service.catalog.adapters.file_columns import FileColumns
from service.catalog.adapters.redis_columns import RedisColumns
from service.catalog.ports import REMEMBERED_SECONDS, KnownColumns
from service.clock import SystemClock
from service.errors import SharedStateUnavailable
from service.settings import load_settings
from service.wiring.names import columns_key
from tests.support.fleet import join
from tests.support.front_door import Door, OpenDoor
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.waiting import until

PATH = "/recommendations"
WITH = '{"id": "a", "url": "https://u/", "name": "N", "price": 5, "image": "https://i/", "sale_price": 3}\n'
WITHOUT = '{"id": "a", "url": "https://u/", "name": "N", "price": 5, "image": "https://i/"}\n'


async def sale_price(door: Door) -> object:
    """Of the only item; the status where it is not 200."""
    answer = await door.get(PATH, user_id="", fields="sale_price")
    return answer.json()[0]["sale_price"] if answer.status_code == 200 else answer.status_code


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=pytest.mark.processes)])
async def test_a_restart_with_a_feed_without_a_sale_aborts_no_message(
    open_door: OpenDoor, tmp_path: Path, request: pytest.FixtureRequest, *, shared: bool
) -> None:
    """Each call with `fields=sale_price` got 422. With Redis, the next replica has a DATA_DIR of its own."""
    feed = tmp_path / "feed.jsonl"
    settings = {"REDIS_URL": request.getfixturevalue("redis_server").url} if shared else {}
    feed.write_text(WITH)
    async with open_door(CATALOG_URL=f"file://{feed}", DATA_DIR="first", **settings) as door:
        assert await sale_price(door) == 3

    feed.write_text(WITHOUT)
    second = {**settings, "DATA_DIR": "second" if shared else "first"}
    async with open_door(CATALOG_URL=f"file://{feed}", **second) as door:
        assert await sale_price(door) is None
        await door.shows("catalog_columns_lost 1.0")
        assert (await door.get(PATH, user_id="", fields="never_there")).status_code == 422


async def test_another_catalogue_knows_nothing_of_it(open_door: OpenDoor, tmp_path: Path) -> None:
    feed, other = tmp_path / "feed.jsonl", tmp_path / "other.jsonl"
    feed.write_text(WITH)
    other.write_text(WITHOUT)
    async with open_door(CATALOG_URL=f"file://{feed}"):
        pass
    async with open_door(CATALOG_URL=f"file://{other}") as door:
        assert await sale_price(door) == 422


@pytest.mark.processes
async def test_a_replica_that_starts_while_redis_is_away_learns_of_it_later(
    open_door: OpenDoor, tmp_path: Path
) -> None:
    feed = tmp_path / "feed.jsonl"
    feed.write_text(WITHOUT)
    server = RedisServer()
    async with open_door(CATALOG_URL=f"file://{feed}", REDIS_URL=server.url) as door:
        assert await sale_price(door) == 422
        with server:
            # As another replica has left it.
            server.ask("ZADD", columns_key(load_settings()), int(door.clock.time()), "sale_price")
            await door.shows("redis_up 1.0")
            door.app.lifecycle.on_hangup()
            await door.shows("catalog_columns_lost 1.0")
            assert await sale_price(door) is None


async def test_a_folder_that_cannot_be_written_is_no_reason_not_to_start(open_door: OpenDoor, tmp_path: Path) -> None:
    feed = tmp_path / "feed.jsonl"
    feed.write_text(WITH)
    async with open_door(CATALOG_URL=f"file://{feed}", DATA_DIR="/proc/nowhere") as door:
        assert await sale_price(door) == 3


class Days:
    """A clock to turn."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def opened(kind: str, days: Days, folder: Path) -> AsyncIterator[KnownColumns]:
    if kind == "file":
        yield FileColumns(folder / "made" / "columns.json", days)
        return
    with RedisServer(free_port()) as server:
        async with join(server.url, SystemClock()) as member:
            await until(lambda: member.client.up)
            yield RedisColumns(member.client, key="pc:{t}:columns", now=days)


@pytest.mark.parametrize("kind", ["file", pytest.param("redis", marks=pytest.mark.processes)])
async def test_what_the_source_has_not_had_for_thirty_days_is_forgotten(kind: str, tmp_path: Path) -> None:
    days = Days()
    async with opened(kind, days, tmp_path) as store:
        assert await store.recall() == []
        await store.remember(["sale_price", "färbe"])
        days.seconds += REMEMBERED_SECONDS - 1
        await store.remember(["färbe"])
        assert set(await store.recall()) == {"sale_price", "färbe"}
        days.seconds += 1
        assert await store.recall() == ["färbe"]
        await store.remember([])
        assert await store.recall() == ["färbe"]
        await store.remember([f"column{number}" for number in range(1_000)])
        assert len(await store.recall()) == 1_000


@pytest.mark.parametrize("content", ["{", "[]", '{"a": "b"}'])
async def test_a_file_that_somebody_spoilt_is_written_anew(tmp_path: Path, content: str) -> None:
    store = FileColumns(tmp_path / "columns.json", Days())
    (tmp_path / "columns.json").write_text(content)

    with pytest.raises(SharedStateUnavailable, match=r"columns\.json"):
        await store.recall()
    await store.remember(["sale_price"])

    assert await store.recall() == ["sale_price"]
