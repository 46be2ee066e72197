"""The catalogue in memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import filterfalse
from typing import Final

from service.catalog.item import CatalogRow
from service.catalog.reading.ports import TooLarge
from service.catalog.reading.report import CatalogReport


class MemoryCatalog:
    """A snapshot of the items in memory; implements `ItemCatalog`.

    Each item is one bytes object, so that the garbage collector has nothing to walk through.
    """

    def __init__(
        self,
        records: Mapping[str, bytes],
        *,
        columns: Sequence[str],
        version: int,
        report: CatalogReport,
        ineligible: frozenset[str] = frozenset(),
    ) -> None:
        """Take over what `MemorySink` collected.

        Args:
            records: By id, in the source's order; see `service.catalog.item`.
            columns: Names of the further columns.
            version: Grows with every change.
            report: What came of reading the source.
            ineligible: Ids that the operator's exclusion keeps from every answer.
        """
        self.version: Final = version
        self.columns: Final = tuple(columns)
        self.report: Final = report
        self.is_open: Final = False
        self._records = records
        self._ineligible = ineligible

    @property
    def lost_columns(self) -> Sequence[str]:
        """See `ItemCatalog.lost_columns`."""
        return self.report.lost

    def __len__(self) -> int:
        return len(self._records)

    def rows(self, item_ids: Sequence[str]) -> list[CatalogRow | None]:
        """One entry for each id, None where the catalogue has no complete item."""
        find, ineligible, row = self._records.get, self._ineligible, CatalogRow.from_record
        return [
            None if (record := find(item_id)) is None else row(record, eligible=item_id not in ineligible)
            for item_id in item_ids
        ]

    def missing(self, item_ids: Iterable[str]) -> list[str]:
        """Empty: every item is here."""
        del item_ids
        return []

    async def prefetch(self, item_ids: Iterable[str], timeout_seconds: float) -> None:
        """Nothing to do: every item is here."""

    def first_ids(self) -> Iterable[str]:
        """Every id that the operator's exclusion lets through, in the source's own order."""
        return filterfalse(self._ineligible.__contains__, self._records)

    def all_rows(self) -> Iterator[tuple[str, CatalogRow]]:
        """See `ItemCatalog.all_rows`."""
        for item_id, record in self._records.items():
            yield item_id, CatalogRow.from_record(record, eligible=item_id not in self._ineligible)

    def close(self) -> None:
        """Nothing to give back."""


class MemorySink:
    """Collects what a `MemoryCatalog` is made of; a `Sink`.

    Args:
        max_bytes: Most bytes of ids and items that it takes; None for any number.
    """

    def __init__(self, max_bytes: int | None = None) -> None:
        self._room = float("inf") if max_bytes is None else max_bytes
        self._bytes = 0
        self.records: dict[str, bytes] = {}
        self.ineligible: set[str] = set()

    def __contains__(self, item_id: object) -> bool:
        return item_id in self.records

    def add(self, line: int, item_id: str, record: bytes, *, eligible: bool) -> None:
        """Take an item.

        Raises:
            TooLarge: There is no room for it.
        """
        del line
        self._bytes += len(item_id) + len(record)
        if self._bytes > self._room:
            raise TooLarge
        self.records[item_id] = record
        if not eligible:
            self.ineligible.add(item_id)

    def clear(self) -> None:
        """Forget all items."""
        self._bytes = 0
        self.records.clear()
        self.ineligible.clear()
