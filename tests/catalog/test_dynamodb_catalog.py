"""Items of a table in memory: for how long they are fresh and shown, and what is asked of the table."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from service.catalog.adapters.dynamodb_catalog import (
    FRESH_SECONDS,
    MAX_SAMPLE_ITEMS,
    MIN_BATCH_SECONDS,
    STALE_SECONDS,
    DynamoDbCatalog,
)
from service.catalog.adapters.dynamodb_table import (
    MAX_BATCH_KEYS,
    MAX_KEY_BYTES,
    Attributes,
    DynamoDbTable,
    TableDescription,
    TableKey,
)
from service.catalog.item import row_bytes
from service.catalog.reading.columns import Columns
from tests.support.virtual_time import VirtualClock, run_virtual

NAMES = ("id", "name", "url", "price", "image")


def item_of(item_id: str, **more: Any) -> Attributes:  # noqa: ANN401  # DynamoDB's
    plain = {"id": item_id, "name": f"Item {item_id}", "url": "http://shop.test/x", "image": "http://shop.test/i"}
    return {**{name: {"S": value} for name, value in plain.items()}, "price": {"N": "3"}, **more}


@dataclass
class Table:
    """Holds these items; answers as it is asked to."""

    items: dict[str, Attributes]
    asked: list[list[str]] = field(default_factory=list)
    seconds: float = 0.0
    failure: Exception | None = None
    throttled: int = 0
    """So many keys of each batch are left for the next time."""

    async def batch(self, keys: Sequence[Attributes]) -> tuple[Sequence[Attributes], Sequence[Attributes]]:
        ids = [key["id"]["S"] for key in keys]
        self.asked.append(ids)
        await asyncio.sleep(self.seconds)
        if self.failure is not None:
            raise self.failure
        done = len(ids) - self.throttled if len(ids) > self.throttled else len(ids)
        return [self.items[one] for one in ids[:done] if one in self.items], keys[done:]


def play(scenario: Callable[[DynamoDbCatalog, Table, VirtualClock], Awaitable[None]], *ids: str) -> None:
    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        table = Table({one: item_of(one) for one in ids})
        batches: set[asyncio.Task[None]] = set()
        catalog = DynamoDbCatalog(
            cast(DynamoDbTable, table),
            TableDescription(TableKey("id", "S"), items=7, version="1"),
            columns=Columns.matched(NAMES, {}, label="table", is_sparse=True),
            eligible=lambda row: row["name"] != "Item hidden",
            version=100,
            born=clock.monotonic(),
            monotonic=clock.monotonic,
            batches=batches,
        )
        await scenario(catalog, table, clock)
        await asyncio.gather(*batches)
        assert not batches

    run_virtual(run())


def there(catalog: DynamoDbCatalog, *ids: str) -> list[bool]:
    return [row is not None for row in catalog.rows(ids)]


def test_an_item_is_fetched_again_when_it_is_no_longer_fresh_and_shown_for_five_minutes() -> None:
    async def scenario(catalog: DynamoDbCatalog, table: Table, clock: VirtualClock) -> None:
        del clock
        assert catalog.missing(["a", "b", "a"]) == ["a", "b"]
        await catalog.prefetch(["a", "b", "a"], 1.0)
        assert there(catalog, "a", "b", "none") == [True, True, False]
        await asyncio.sleep(FRESH_SECONDS)
        assert catalog.missing(["a"]) == []
        await asyncio.sleep(0.5)
        assert catalog.missing(["a"]) == ["a"]
        table.failure = ValueError("away")
        await catalog.prefetch(["a"], 1.0)
        await asyncio.sleep(STALE_SECONDS - FRESH_SECONDS - 0.5)
        assert there(catalog, "a") == [True]
        await asyncio.sleep(0.5)
        assert there(catalog, "a") == [False]
        assert table.asked == [["a", "b"], ["a"]]

    with capture_logs() as logs:
        play(scenario, "a", "b")
    assert [(line["event"], line["reason"], line["items"]) for line in logs] == [
        ("catalog_items_not_fetched", "ValueError: away", 1)
    ]


def test_what_the_table_lacks_is_asked_for_as_seldom_and_gone_items_go() -> None:
    async def scenario(catalog: DynamoDbCatalog, table: Table, clock: VirtualClock) -> None:
        del clock
        await catalog.prefetch(["a", "none"], 1.0)
        await catalog.prefetch(["a", "none"], 1.0)
        assert table.asked == [["a", "none"]]
        del table.items["a"]
        await asyncio.sleep(FRESH_SECONDS + 0.1)
        await catalog.prefetch(["a"], 1.0)
        assert there(catalog, "a") == [False]

    play(scenario, "a")


def test_a_hundred_are_asked_for_at_a_time_and_one_under_way_is_waited_for() -> None:
    ids = [f"i{number}" for number in range(2 * MAX_BATCH_KEYS + 1)]

    async def scenario(catalog: DynamoDbCatalog, table: Table, clock: VirtualClock) -> None:
        del clock
        table.seconds = 0.5
        first = asyncio.create_task(catalog.prefetch(ids, 2.0))
        await asyncio.sleep(0.1)
        await catalog.prefetch(ids[:3], 2.0)
        assert there(catalog, *ids[:3]) == [True] * 3
        await first
        assert [len(one) for one in table.asked] == [MAX_BATCH_KEYS, MAX_BATCH_KEYS, 1]

    play(scenario, *ids)


def test_a_caller_waits_no_longer_than_it_says_and_the_fetch_goes_on_for_a_second() -> None:
    async def scenario(catalog: DynamoDbCatalog, table: Table, clock: VirtualClock) -> None:
        table.seconds = MIN_BATCH_SECONDS - 0.1
        began = clock.monotonic()
        await catalog.prefetch(["a"], 0.2)
        assert clock.monotonic() - began == pytest.approx(0.2)
        await catalog.prefetch(["a"], 0.0)
        assert len(table.asked) == 1
        await catalog.prefetch(["c"], 0.0)
        # A call without time ends before it begins.
        assert len(table.asked) == 1
        assert clock.monotonic() - began == pytest.approx(0.2)
        assert there(catalog, "a") == [False]
        await asyncio.sleep(1.0)
        assert there(catalog, "a") == [True]
        table.seconds = MIN_BATCH_SECONDS + 0.1
        await catalog.prefetch(["b"], 0.2)
        await asyncio.sleep(2.0)
        assert there(catalog, "b") == [False]
        assert catalog.missing(["b"]) == ["b"]

    with capture_logs() as logs:
        play(scenario, "a", "b")
    assert [line["reason"] for line in logs] == ["timeout"]


def test_keys_that_are_left_over_are_asked_for_again_after_ever_longer_pauses() -> None:
    async def scenario(catalog: DynamoDbCatalog, table: Table, clock: VirtualClock) -> None:
        table.throttled = 2
        began = clock.monotonic()
        await catalog.prefetch(["a", "b", "c", "d"], 1.0)
        assert table.asked == [["a", "b", "c", "d"], ["c", "d"]]
        assert there(catalog, "a", "b", "c", "d") == [True] * 4
        assert 0.01 <= clock.monotonic() - began <= 0.02

    play(scenario, "a", "b", "c", "d")


def test_each_pause_is_twice_the_one_before_less_a_part_that_chance_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[tuple[float, float]] = []

    def least(low: float, high: float) -> float:
        parts.append((low, high))
        return low

    async def scenario(catalog: DynamoDbCatalog, table: Table, clock: VirtualClock) -> None:
        async def batch(keys: Sequence[Attributes]) -> tuple[Sequence[Attributes], Sequence[Attributes]]:
            return [], keys if len(parts) < 3 else []

        table.batch = batch  # type: ignore[method-assign]  # as busy as a test wants
        began = clock.monotonic()
        await catalog.prefetch(["a"], 1.0)
        assert clock.monotonic() - began == pytest.approx(0.01 + 0.02 + 0.04)

    monkeypatch.setattr("service.catalog.adapters.dynamodb_catalog.random.uniform", least)
    play(scenario, "a")
    assert parts == [(0.5, 1.0)] * 3


def test_items_are_kept_and_new_attributes_become_columns_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "service.catalog.adapters.dynamodb_catalog"
    monkeypatch.setattr(f"{module}.MAX_COLUMNS", 2)
    weighed: list[int] = []
    for most in (1_000, 0, -1):
        monkeypatch.setattr(f"{module}.MAX_CACHED_BYTES", most if most > 0 else weighed[0] + most)

        async def scenario(catalog: DynamoDbCatalog, table: Table, clock: VirtualClock) -> None:
            del clock
            table.items["a"] = item_of("a", x={"N": "1"}, y={"N": "2"}, z={"N": "3"})
            await catalog.prefetch(["a"], 1.0)
            assert list(catalog.columns) == ["x", "y"]
            weighed.extend(row_bytes(row) for row in catalog.rows(["a"]) if row is not None)

        play(scenario, "a")
    assert len(weighed) == 2


def test_a_key_that_the_table_cannot_hold_is_not_asked_for() -> None:
    async def scenario(catalog: DynamoDbCatalog, table: Table, clock: VirtualClock) -> None:
        del clock
        await catalog.prefetch(["", "a", "x" * MAX_KEY_BYTES, "x" * (MAX_KEY_BYTES + 1)], 1.0)
        assert table.asked == [["a", "x" * MAX_KEY_BYTES]]

    play(scenario, "a")


def test_its_version_grows_as_often_as_items_are_fetched_anew_and_new_attributes_are_columns() -> None:
    async def scenario(catalog: DynamoDbCatalog, table: Table, clock: VirtualClock) -> None:
        del clock
        versions = []
        for seconds in (0.0, FRESH_SECONDS - 0.5, 0.5, FRESH_SECONDS):
            await asyncio.sleep(seconds)
            versions.append(catalog.version)
        assert versions == [100, 100, 101, 102]
        assert list(catalog.columns) == []
        for one in "ab":
            table.items[one] = item_of(one, color={"S": "red"}, size={"N": "5"})
        await catalog.prefetch(["a", "b"], 1.0)
        assert list(catalog.columns) == ["color", "size"]
        row = catalog.rows(["a"])[0]
        assert row is not None
        assert row.values(catalog.columns)["color"] == "red"

    play(scenario, "a", "b")


def test_of_a_scan_what_may_be_shown_comes_first_and_the_rest_is_counted() -> None:
    async def scenario(catalog: DynamoDbCatalog, table: Table, clock: VirtualClock) -> None:
        del table, clock
        assert len(catalog) == 7
        sample = [item_of(f"i{number}") for number in range(MAX_SAMPLE_ITEMS + 5)]
        tally = catalog.keep_first([item_of("hidden"), item_of("odd", price={"S": "x"}), {"name": {"S": "n"}}, *sample])
        assert tally.rows == len(sample) + 3
        first = list(catalog.first_ids())
        assert first == [f"i{number}" for number in range(MAX_SAMPLE_ITEMS)]
        assert len(catalog) == MAX_SAMPLE_ITEMS
        assert there(catalog, "hidden", "odd") == [True, False]
        assert tally.report().examples == {"bad_price": ("odd (row 2): 'x'",), "missing_id": ("row 3",)}

    play(scenario)
