"""A DynamoDB table as a catalogue: items are fetched as lists name them, and kept in memory for a while."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import structlog
from cachetools import LRUCache

from service.catalog.adapters.dynamodb_table import MAX_BATCH_KEYS, Attributes, DynamoDbTable, TableDescription
from service.catalog.item import ROW_BYTES, CatalogRow, row_bytes
from service.catalog.reading.cells import plain_value
from service.catalog.reading.columns import Columns
from service.catalog.reading.exclusion import Eligible
from service.catalog.reading.lines import MAX_COLUMNS
from service.catalog.reading.report import RowTally
from service.catalog.reading.rows import Fault, RowReader

_log = structlog.stdlib.get_logger(__name__)

FRESH_SECONDS: Final = 15.0
"""Ours: a price changed in the table shows after this time. Each item costs a read as often."""

STALE_SECONDS: Final = 300.0
"""Age up to which an item is shown while DynamoDB does not answer."""

MAX_CACHED_BYTES: Final = 50 << 20
"""Of items kept in memory."""

MAX_SAMPLE_ITEMS: Final = 1_000
"""Items read at the start: they are what comes first."""

MIN_BATCH_SECONDS: Final = 1.0
"""Time that a batch may take, even when its request has given up waiting."""

_FIRST_PAUSE_SECONDS: Final = 0.02


class DynamoDbCatalog:
    """A table as an `ItemCatalog`: `rows` answers from memory what `prefetch` has brought there.

    Its version grows every `FRESH_SECONDS`, so that no answer rendered before outlives what it shows.
    """

    def __init__(
        self,
        table: DynamoDbTable,
        description: TableDescription,
        *,
        columns: Columns,
        eligible: Eligible | None,
        version: int,
        born: float,
        monotonic: Callable[[], float],
        batches: set[asyncio.Task[None]],
    ) -> None:
        """Know no item yet.

        Args:
            table: Where items come from.
            description: What DynamoDB says of it.
            columns: Where items hold what.
            eligible: The operator's exclusion; None where every item passes.
            version: Version at the time `born`.
            born: When the table was looked at, by the `monotonic` clock.
            monotonic: The clock by which items grow old.
            batches: Gets every fetch for as long as it runs, so that the source can end it.
        """
        self.is_open: Final = True
        self.lost_columns: Final = ()
        self._table = table
        self._key = description.key
        self._items = description.items
        self._names = columns.names
        self._seen = {*columns.names}
        self._columns = list(columns.further)
        self._reader = RowReader(columns)
        self._eligible = eligible
        self._base_version = version
        self._monotonic = monotonic
        self._born = born
        self._batches = batches
        self._cache: LRUCache[str, tuple[float, CatalogRow | None]] = LRUCache(MAX_CACHED_BYTES, getsizeof=_weight)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._first: tuple[str, ...] = ()

    @property
    def columns(self) -> Sequence[str]:
        """Every attribute seen so far that an item is not made of; one that is new comes last."""
        return self._columns

    @property
    def version(self) -> int:
        """Grows every `FRESH_SECONDS`."""
        return self._base_version + int((self._monotonic() - self._born) // FRESH_SECONDS)

    def __len__(self) -> int:
        """Items as Amazon counts them, every six hours; at least those that were seen."""
        return max(self._items, len(self._first))

    def rows(self, item_ids: Sequence[str]) -> list[CatalogRow | None]:
        """One entry for each id; None where there is no complete item, or it was not fetched in time."""
        oldest = self._monotonic() - STALE_SECONDS
        entries = [self._cache.get(item_id) for item_id in item_ids]
        return [None if entry is None or entry[0] < oldest else entry[1] for entry in entries]

    def missing(self, item_ids: Iterable[str]) -> list[str]:
        """Those that are not here, or no longer fresh; each once."""
        oldest = self._monotonic() - FRESH_SECONDS
        return [
            item_id
            for item_id in dict.fromkeys(item_ids)
            if (entry := self._cache.get(item_id)) is None or entry[0] < oldest
        ]

    async def prefetch(self, item_ids: Iterable[str], timeout_seconds: float) -> None:
        """Bring items into memory as far as the time allows; never fails.

        An item that is being fetched already is waited for, not asked for again.
        """
        missing = self.missing(item_ids)
        new = [item_id for item_id in missing if item_id not in self._under_way]
        seconds = max(timeout_seconds, MIN_BATCH_SECONDS)
        for start in range(0, len(new), MAX_BATCH_KEYS):
            batch = new[start : start + MAX_BATCH_KEYS]
            task = asyncio.create_task(self._fetch(batch, seconds), name="catalog-batch")
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)
            self._under_way.update(dict.fromkeys(batch, task))
            task.add_done_callback(lambda _, batch=batch: self._fetched(batch))  # type: ignore[misc]  # bound early
        tasks = {self._under_way[item_id] for item_id in missing if item_id in self._under_way}
        if tasks and timeout_seconds > 0:
            await asyncio.wait(tasks, timeout=timeout_seconds)

    def first_ids(self) -> Iterable[str]:
        """What a scan found first, as far as it may be shown."""
        return iter(self._first)

    def all_rows(self) -> Iterator[tuple[str, CatalogRow]]:
        """Nothing: a search would read the whole table."""
        return iter(())

    def keep_first(self, sample: Iterable[Attributes]) -> RowTally:
        """Take a scan's items into memory; counts which of them can be shown."""
        now = self._monotonic()
        tally = RowTally("row")
        for item in sample:
            tally.rows += 1
            fault = self._keep(item, now)
            if fault is not None:
                tally.drop(fault.reason, self._key.id_in(item), tally.rows, fault.value)
        shown = (item_id for item_id, (_, row) in self._cache.items() if row is not None and row.eligible)
        self._first = tuple(islice(shown, MAX_SAMPLE_ITEMS))
        return tally

    def close(self) -> None:
        """Nothing to give back: the source holds the connections."""

    def _fetched(self, batch: Iterable[str]) -> None:
        for item_id in batch:
            self._under_way.pop(item_id, None)

    async def _fetch(self, batch: Sequence[str], seconds: float) -> None:
        began = self._monotonic()
        keys = [self._key.of(item_id) for item_id in batch if self._key.can_hold(item_id)]
        try:
            async with asyncio.timeout(seconds):
                await self._fetch_all(keys)
        except TimeoutError:
            _log.warning("catalog_items_not_fetched", reason="timeout", items=len(batch))
            return
        # Whatever the SDK raises: what is in memory is shown, and the next request asks again.
        except Exception as error:  # noqa: BLE001  # logged here
            _log.warning("catalog_items_not_fetched", reason=f"{type(error).__name__}: {error}", items=len(batch))
            return
        now = self._monotonic()
        for item_id in batch:
            entry = self._cache.get(item_id)
            if entry is None or entry[0] < began:
                self._cache[item_id] = (now, None)

    async def _fetch_all(self, keys: Sequence[Attributes]) -> None:
        """Ask until every key has been processed."""
        pause = _FIRST_PAUSE_SECONDS
        while keys:
            found, keys = await self._table.batch(keys)
            now = self._monotonic()
            for item in found:
                self._keep(item, now)
            if keys:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # spreads retries, no secret
                pause *= 2

    def _keep(self, item: Attributes, now: float) -> Fault | None:
        """Keep an item; why it cannot be shown."""
        item_id = self._key.id_in(item)
        if item_id is None:
            return Fault("missing_id")
        self._learn_columns(item)
        record = [plain_value(item.get(name)) for name in self._names]
        ours, fault = self._reader.item(record)
        row = None
        if fault is None:
            further = [plain_value(item.get(name)) for name in self._columns]
            mapping = {**dict(zip(self._columns, further, strict=True)), **self._reader.mapping(ours, record)}
            eligible = self._eligible is None or self._eligible(mapping)
            row = CatalogRow.from_values(ours, further, eligible=eligible)
        if _weight((now, row)) <= MAX_CACHED_BYTES:
            self._cache[item_id] = (now, row)
        return fault

    def _learn_columns(self, item: Attributes) -> None:
        for name in item:
            if name not in self._seen and len(self._columns) < MAX_COLUMNS:
                self._columns.append(name)
            self._seen.add(name)


def _weight(entry: tuple[float, CatalogRow | None]) -> int:
    return ROW_BYTES if entry[1] is None else row_bytes(entry[1])
