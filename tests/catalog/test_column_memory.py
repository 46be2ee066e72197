"""What is remembered of a catalogue's columns, for how long, and what becomes of it while the store is away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import orjson
import pytest
from structlog.testing import capture_logs

from service.catalog.adapters.file_columns import FileColumns
from service.catalog.adapters.redis_columns import RedisColumns
from service.catalog.column_memory import KEEP_SECONDS, ColumnMemory
from service.catalog.ports import MAX_KNOWN_COLUMNS, REMEMBERED_SECONDS, ItemCatalog
from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.fleet.client import RedisClient


@dataclass
class Store:
    """Columns from before; may be away."""

    columns: list[str] = field(default_factory=lambda: ["size", "old"])
    is_away: bool = False
    asked: int = 0
    kept: list[list[str]] = field(default_factory=list)

    async def recall(self) -> Sequence[str]:
        self.asked += 1
        if self.is_away:
            raise SharedStateUnavailable("away")
        return self.columns

    async def remember(self, columns: Sequence[str]) -> None:
        if self.is_away:
            raise SharedStateUnavailable("away")
        self.kept.append(list(columns))


@dataclass
class Catalog:
    columns: Sequence[str] = ("size", "color")
    lost_columns: Sequence[str] = ()
    is_open: bool = False


class Time:
    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class Scene:
    """A memory, its store and its clock."""

    def __init__(self) -> None:
        self.store, self.time = Store(), Time()
        self.memory = ColumnMemory(self.store, cast(Clock, self.time))

    def recall(self) -> list[str]:
        return list(asyncio.run(self.memory.recall()))

    def missing(self, catalog: Catalog) -> list[str]:
        return list(asyncio.run(self.memory.missing(cast(ItemCatalog, catalog))))

    def keep(self, catalog: Catalog) -> None:
        asyncio.run(self.memory.keep(cast(ItemCatalog, catalog)))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_columns_from_before_are_recalled_once(scene: Scene) -> None:
    """A1."""
    assert scene.recall() == ["size", "old"]
    assert scene.missing(Catalog()) == []
    assert scene.store.asked == 1


def test_columns_that_could_not_be_recalled_are_missing_until_a_catalogue_with_them_is_kept(scene: Scene) -> None:
    """A1."""
    scene.store.is_away = True
    with capture_logs() as logs:
        assert scene.recall() == []
        assert scene.missing(Catalog()) == []
    assert [log["event"] for log in logs] == ["catalog_columns_not_kept"]
    assert scene.missing(Catalog(is_open=True)) == []
    assert scene.store.asked == 2
    scene.store.is_away = False
    assert scene.missing(Catalog()) == ["old"]
    assert scene.missing(Catalog()) == ["old"]
    assert scene.store.asked == 3
    scene.keep(Catalog(columns=("size", "color", "old"), lost_columns=("old",)))
    assert scene.missing(Catalog()) == []


def test_what_the_source_has_is_kept_when_there_is_more_of_it_and_once_a_day(scene: Scene) -> None:
    """A1."""
    scene.keep(Catalog(columns=("size", "color", "gone"), lost_columns=("gone",)))
    assert scene.store.kept == [["color", "size"]]
    scene.keep(Catalog())
    scene.keep(Catalog(columns=("size",)))
    scene.time.now += KEEP_SECONDS - 1
    scene.keep(Catalog())
    assert len(scene.store.kept) == 1
    scene.keep(Catalog(columns=("size", "new")))
    assert scene.store.kept[1:] == [["new", "size"]]
    scene.time.now += KEEP_SECONDS
    scene.keep(Catalog(columns=("size",)))
    assert scene.store.kept[2:] == [["size"]]
    scene.keep(Catalog(columns=("more",), is_open=True))
    assert len(scene.store.kept) == 3


def test_what_could_not_be_kept_is_tried_again_and_said_once_until_it_works(scene: Scene) -> None:
    scene.store.is_away = True
    with capture_logs() as logs:
        scene.keep(Catalog())
        scene.keep(Catalog())
        assert [(log["event"], log["problem"]) for log in logs] == [("catalog_columns_not_kept", "away")]
        scene.store.is_away = False
        scene.keep(Catalog())
        assert scene.store.kept == [["color", "size"]]
        scene.store.is_away = True
        scene.keep(Catalog(columns=("new",)))
    assert len(logs) == 2


def test_columns_in_redis_are_a_bounded_set_by_time_that_goes_after_a_month() -> None:
    """A1."""
    said: list[tuple[object, ...]] = []

    class Redis:
        def __getattr__(self, command: str) -> Callable[..., Awaitable[None]]:
            async def call(*arguments: object) -> None:
                said.append((command, *arguments))

            return call

        @asynccontextmanager
        async def use(self, key: str) -> AsyncIterator["Redis"]:
            assert key == "columns"
            yield self

    month = 30 * 86_400
    columns = RedisColumns(cast(RedisClient, Redis()), key="columns", now=lambda: month + 5.0)
    kept = [
        ("zremrangebyscore", "columns", "-inf", 5.0),
        ("zremrangebyrank", "columns", 0, -1_001),
        ("pexpire", "columns", month * 1_000),
    ]
    asyncio.run(columns.remember(["a", "\ud800"]))
    assert said == [("zadd", "columns", {b"a": month + 5.0, b"\xed\xa0\x80": month + 5.0}), *kept]
    said.clear()
    asyncio.run(columns.remember([]))
    assert said == kept


def test_a_file_of_columns_forgets_what_was_not_there_for_a_month(tmp_path: Path) -> None:
    now = 1e9
    path = tmp_path / "folder" / "columns.json"
    columns = FileColumns(path, lambda: now)
    assert asyncio.run(columns.recall()) == []
    asyncio.run(columns.remember(["a", "b"]))
    now += REMEMBERED_SECONDS - 1
    asyncio.run(columns.remember(["c"]))
    assert asyncio.run(columns.recall()) == ["a", "b", "c"]
    now += 1
    assert asyncio.run(columns.recall()) == ["c"]
    asyncio.run(columns.remember(["a"]))
    assert orjson.loads(path.read_bytes()) == {"c": now - 1, "a": now}


def test_of_many_columns_those_seen_last_stay(tmp_path: Path) -> None:
    now = 1e9
    columns = FileColumns(tmp_path / "columns.json", lambda: now)
    asyncio.run(columns.remember(["first", "second"]))
    now += 1
    asyncio.run(columns.remember([f"c{number}" for number in range(MAX_KNOWN_COLUMNS - 1)]))
    found = asyncio.run(columns.recall())
    assert (len(found), found[0], found[-1]) == (MAX_KNOWN_COLUMNS, "second", f"c{MAX_KNOWN_COLUMNS - 2}")


@pytest.mark.parametrize("content", ["[]", '{"a": "b"}', '{"a": null}', "{broken", '"a"'])
def test_a_file_of_columns_that_cannot_be_read_is_written_anew(tmp_path: Path, content: str) -> None:
    path = tmp_path / "columns.json"
    path.write_text(content)
    columns = FileColumns(path, lambda: 1e9)
    with pytest.raises(SharedStateUnavailable, match=r"columns\.json: (cannot be read|is no object)"):
        asyncio.run(columns.recall())
    asyncio.run(columns.remember(["a"]))
    assert orjson.loads(path.read_bytes()) == {"a": 1e9}


def test_a_file_of_columns_may_hold_whole_seconds_and_one_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    path = tmp_path / "columns.json"
    path.write_text('{"a": 1000000000}')
    assert asyncio.run(FileColumns(path, lambda: 1e9).recall()) == ["a"]
    (tmp_path / "taken").touch()
    with pytest.raises(SharedStateUnavailable, match="cannot be written"):
        asyncio.run(FileColumns(tmp_path / "taken" / "columns.json", lambda: 1e9).remember(["a"]))
