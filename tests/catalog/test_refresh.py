"""When a catalogue replaces another one, and what becomes of one that may not."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from service.catalog.column_memory import ColumnMemory
from service.catalog.current import CurrentCatalog
from service.catalog.ports import CatalogSource, ItemCatalog
from service.catalog.refresh import MAX_INTERVALS_SKIPPED, CatalogRefresher, ShrinkGuard
from service.errors import CatalogError
from tests.support.fakes import FakeCatalog
from tests.support.virtual_time import run_virtual


class Catalog(FakeCatalog):
    """Knows its version, and whether it was closed."""

    def __init__(self, items: int, version: int) -> None:
        super().__init__([f"i{number}" for number in range(items)])
        self._version = version
        self.closed = False

    def close(self) -> None:
        self.closed = True


@dataclass
class Source:
    """Holds a version of so many items; a look or a load may fail."""

    now: str = "1"
    items: int = 10
    loaded_version: str = "1"
    label: str = "feed"
    fails_to_look: Exception | None = None
    fails_to_load: Exception | None = None
    loads: list[tuple[int, list[str]]] = field(default_factory=list)
    made: list[Catalog] = field(default_factory=list)

    async def version(self) -> str:
        if self.fails_to_look is not None:
            raise self.fails_to_look
        return self.now

    async def load(self, version: int, known: Sequence[str]) -> ItemCatalog:
        self.loads.append((version, list(known)))
        await asyncio.sleep(0)
        if self.fails_to_load is not None:
            raise self.fails_to_load
        self.loaded_version = self.now
        self.made.append(Catalog(self.items, version))
        return cast(ItemCatalog, self.made[-1])


class Columns:
    """What the catalogue once had."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self.kept: list[ItemCatalog] = []

    async def missing(self, catalog: ItemCatalog) -> list[str]:
        del catalog
        lost, self.lost = self.lost, []
        return lost

    async def keep(self, catalog: ItemCatalog) -> None:
        self.kept.append(catalog)


@dataclass
class Scene:
    source: Source
    columns: Columns
    current: CurrentCatalog
    refresher: CatalogRefresher
    looked: list[bool]
    active: list[ItemCatalog]
    logs: list[MutableMapping[str, Any]]


def play(scenario: Callable[[Scene], Awaitable[None]], *, max_shrink: float = 0.5) -> None:
    async def run() -> None:
        source, columns = Source(), Columns()
        current = CurrentCatalog(cast(ItemCatalog, Catalog(10, 41)))
        looked: list[bool] = []
        active: list[ItemCatalog] = []
        refresher = CatalogRefresher(
            current=current,
            source=cast(CatalogSource, source),
            columns=cast(ColumnMemory, columns),
            interval_seconds=60.0,
            max_shrink=max_shrink,
            curated=["i0", "none"],
            on_loaded=active.append,
            on_looked=looked.append,
        )
        with capture_logs() as logs:
            await scenario(Scene(source, columns, current, refresher, looked, active, logs))

    run_virtual(run())


def test_a_new_version_becomes_active_with_a_larger_number_and_the_columns_there_were() -> None:
    async def scenario(scene: Scene) -> None:
        before = scene.current.snapshot
        assert not await scene.refresher.refresh(asks=1)
        assert scene.source.loads == []
        assert scene.columns.kept == [before]
        scene.source.now = "2"
        assert await scene.refresher.refresh(asks=1)
        assert scene.source.loads == [(42, ["color"])]
        assert scene.current.snapshot is scene.source.made[0]
        assert scene.active == scene.source.made
        # What an operator wants to be shown first is looked for in each.
        assert [one["first"] for one in scene.logs if one["event"] == "popular_items_unknown"] == [["none"]]
        assert scene.columns.kept[-1] is scene.source.made[0]
        # What it once had and lacks now is read anew, though nothing has changed.
        scene.columns.lost = ["size"]
        assert await scene.refresher.refresh(asks=1)
        assert scene.source.loads[1:] == [(43, ["color", "size"])]
        assert scene.looked == [True] * 3

    play(scenario)


@pytest.mark.parametrize("failure", [CatalogError("broken"), ValueError("odd")])
def test_a_version_that_cannot_be_loaded_is_tried_again_after_ever_more_intervals(failure: Exception) -> None:
    async def scenario(scene: Scene) -> None:
        scene.source.now, scene.source.fails_to_load = "2", failure
        tried = []
        for number in range(60):
            before = len(scene.source.loads)
            assert not await scene.refresher.refresh(asks=0)
            if len(scene.source.loads) > before:
                tried.append(number)
        assert tried == [0, 1, 3, 7, 15, 31, 47]
        assert scene.looked == [False] * len(tried)
        # An operator who asks is heard at once, and so is another version.
        assert not await scene.refresher.refresh(asks=1)
        scene.source.now = "3"
        assert not await scene.refresher.refresh(asks=0)
        assert len(scene.source.loads) == len(tried) + 2
        # It begins anew with that one.
        assert not await scene.refresher.refresh(asks=0)
        assert len(scene.source.loads) == len(tried) + 3
        scene.source.fails_to_load = None
        scene.source.now = "4"
        assert await scene.refresher.refresh(asks=0)
        assert scene.looked[-1]
        assert MAX_INTERVALS_SKIPPED == 16

    play(scenario)


@pytest.mark.parametrize(("between", "is_new"), [("1", False), ("3", True)])
def test_a_version_that_failed_is_tried_at_once_when_another_was_good_meanwhile(between: str, *, is_new: bool) -> None:
    async def scenario(scene: Scene) -> None:
        scene.source.now, scene.source.fails_to_load = "2", CatalogError("broken")
        for _ in range(3):
            assert not await scene.refresher.refresh(asks=0)
        assert len(scene.source.loads) == 2
        scene.source.now, scene.source.fails_to_load = between, None
        assert await scene.refresher.refresh(asks=0) == is_new
        scene.source.now, scene.source.fails_to_load = "2", CatalogError("broken")
        for _ in range(2):
            assert not await scene.refresher.refresh(asks=0)
        assert len(scene.source.loads) == 4 + is_new

    play(scenario)


def test_a_source_that_cannot_be_looked_at_leaves_the_catalogue_as_it_is() -> None:
    async def scenario(scene: Scene) -> None:
        before = scene.current.snapshot
        scene.source.fails_to_look = OSError("away")
        assert not await scene.refresher.refresh(asks=1)
        assert scene.current.snapshot is before
        assert scene.looked == [False]

    play(scenario)


def test_half_an_upload_is_refused_and_given_back_until_an_operator_asks_twice() -> None:
    async def scenario(scene: Scene) -> None:
        scene.source.now, scene.source.items = "2", 4
        refuses = []
        assert not await scene.refresher.refresh(asks=0)
        refuses.append(scene.refresher.refuses_shrunk)
        assert scene.source.made[0].closed
        assert not await scene.refresher.refresh(asks=1)
        assert await scene.refresher.refresh(asks=1)
        refuses.append(scene.refresher.refuses_shrunk)
        assert refuses == [True, False]
        assert len(scene.current.snapshot) == 4
        assert not scene.source.made[-1].closed

    play(scenario)


def test_it_looks_once_an_interval_and_at_once_when_asked() -> None:
    async def scenario(scene: Scene) -> None:
        scene.refresher.start()
        await asyncio.sleep(59)
        assert scene.looked == []
        await asyncio.sleep(62)
        assert scene.looked == [True, True]
        scene.refresher.refresh_now()
        scene.refresher.refresh_now()
        await asyncio.sleep(1)
        assert scene.looked == [True] * 3
        # Both count as questions: a version that has shrunk becomes active.
        scene.source.now, scene.source.items = "2", 1
        scene.refresher.refresh_now()
        scene.refresher.refresh_now()
        await asyncio.sleep(1)
        assert len(scene.current.snapshot) == 1
        await scene.refresher.close()
        await asyncio.sleep(120)
        assert len(scene.looked) == 4

    play(scenario)


def test_a_question_counts_once() -> None:
    async def scenario(scene: Scene) -> None:
        scene.refresher.start()
        # Each of the two is of quite another size, and asked for but once.
        for version, items in (("2", 1), ("3", 4)):
            scene.source.now, scene.source.items = version, items
            scene.refresher.refresh_now()
            await asyncio.sleep(1)
            assert scene.refresher.refuses_shrunk
        await scene.refresher.close()
        assert len(scene.source.loads) == 2

    play(scenario)


@pytest.mark.parametrize(
    ("items", "active", "refused"), [(5, 10, False), (4, 10, True), (0, 0, False), (10, 10, False), (99, 10, False)]
)
def test_a_guard_refuses_less_than_may_be_lost(items: int, active: int, *, refused: bool) -> None:
    guard = ShrinkGuard(0.5)
    if refused:
        with pytest.raises(CatalogError, match="feed: 4 items where 10 were; .* send SIGHUP twice"):
            guard.check(items, active, "2", 0, "feed")
    else:
        guard.check(items, active, "2", 0, "feed")
    assert guard.refuses == refused


def test_a_guard_believes_a_later_version_of_about_the_same_size_and_two_questions_for_one_version() -> None:
    guard = ShrinkGuard(0.5)
    with pytest.raises(CatalogError):
        guard.check(40, 100, "2", 1, "feed")
    with pytest.raises(CatalogError, match="once more"):
        # Of quite another size.
        guard.check(10, 100, "3", 1, "feed")
    guard.check(12, 100, "4", 0, "feed")
    with pytest.raises(CatalogError):
        guard.check(40, 100, "5", 1, "feed")
    with pytest.raises(CatalogError):
        guard.check(40, 100, "5", 0, "feed")
    guard.check(40, 100, "5", 1, "feed")
    guard.clear()
    assert not guard.refuses
    guard.check(40, 100, "6", 2, "feed")


def test_a_refresher_that_is_closed_has_ended() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.refresher.close()
        scene.refresher.start()
        await asyncio.sleep(0)
        before = asyncio.all_tasks()
        await scene.refresher.close()
        assert len(before) - len(asyncio.all_tasks()) == 1

    play(scenario)
