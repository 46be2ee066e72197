"""Which items of the catalogue are of one category."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from service.catalog.ports import ItemCatalog
from service.constants import MAX_NUM_RESULTS

MAX_LOOKED_AT: Final = 500
"""Items whose category is looked up for one answer; some milliseconds."""

MAX_KNOWN: Final = 200_000
"""Items whose category is remembered; about 20 MB."""

MAX_OF_A_CATEGORY: Final = 5 * MAX_NUM_RESULTS
"""More are not remembered: exclusions leave enough of them."""

_MAX_SCANNED_AT_ONCE: Final = 100


class Categories:
    """Learns a catalogue's categories answer by answer, so that none of them has to wait for all.

    Args:
        column: Of the catalogue, with an item's category.
    """

    def __init__(self, column: str) -> None:
        self._column = column
        self._version = -1
        self._of: dict[str, object] = {}
        self._items: dict[object, list[str]] = {}
        self._unscanned: Iterator[str] = iter(())

    def like(self, item_id: str, first: Iterable[str], catalog: ItemCatalog) -> Iterator[str]:
        """Items of this item's category: those of `first` first, in their order; none for an unknown one.

        Items that nobody knew yet are looked up, at most `MAX_LOOKED_AT` for one answer. So the first answers may know
        fewer of the catalogue's items than later ones.
        """
        if catalog.version != self._version:
            self._begin(catalog)
        category = self._look([item_id], catalog)[0]
        if category is None:
            return
        leading = list(dict.fromkeys(first))
        for one, other in zip(leading, self._look(leading, catalog), strict=True):
            if other == category:
                yield one
        yield from self._of_catalog(category, catalog)

    def _begin(self, catalog: ItemCatalog) -> None:
        self._version = catalog.version
        self._of.clear()
        self._items.clear()
        self._unscanned = iter(catalog.first_ids())

    def _of_catalog(self, category: object, catalog: ItemCatalog) -> Iterator[str]:
        yield from tuple(self._items.get(category, ()))
        for _ in range(0, MAX_LOOKED_AT, _MAX_SCANNED_AT_ONCE):
            if len(self._of) >= MAX_KNOWN or not (chunk := list(islice(self._unscanned, _MAX_SCANNED_AT_ONCE))):
                return
            categories = self._look(chunk, catalog)
            for one, other in zip(chunk, categories, strict=True):
                if other is not None and len(items := self._items.setdefault(other, [])) < MAX_OF_A_CATEGORY:
                    items.append(one)
            yield from [one for one, other in zip(chunk, categories, strict=True) if other == category]

    def _look(self, item_ids: list[str], catalog: ItemCatalog) -> list[object]:
        unknown = [one for one in item_ids if one not in self._of][:MAX_LOOKED_AT]
        for one, row in zip(unknown, catalog.rows(unknown), strict=True):
            value = None if row is None else row.values(catalog.columns).get(self._column)
            if row is not None and len(self._of) < MAX_KNOWN:
                self._of[one] = value if isinstance(value, str | int | float) else None if value is None else str(value)
        return [self._of.get(one) for one in item_ids]
