"""The operator's exclusion where each request is decided by itself: it has placeholders, or asks what the user did.

Any other exclusion is decided once for each item, when the catalogue is loaded. One of these decides once for each
combination of what items have in its columns, and for each set of values that requests send. Without that, a request
whose values let nothing through would have thousands of items unpacked and tested.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from cachetools import LRUCache

from service.catalog.item import ITEM_COLUMNS, CatalogRow
from service.catalog.ports import ItemCatalog
from service.errors import InvalidQuery
from service.filters import Filter, FilterValueError, ItemPredicate, Shows, compile_item_exclusion

MAX_SORTED: Final = 20_000
"""Items whose combination is remembered; some 5 MB. Others are unpacked each time."""

MAX_VALUES: Final = 32
"""Sets of values whose decisions are remembered."""

ITEM_ID: Final = "id"

_UNDECIDED, _SHOWN, _HIDDEN = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class BoundExclusion:
    """What an exclusion says to requests with the same values; compared as itself."""

    shows: Callable[[str, CatalogRow], bool]
    """Whether an item, by id and row, may be shown."""

    hides: Callable[[str], bool]
    """Whether an item is known to be hidden, as far as that is known without its row."""

    hidden: set[str] = field(default_factory=set)
    """For those who ask: items that were hidden, a tenth of the time of `hides`."""


def all_of(bound: Sequence[BoundExclusion]) -> BoundExclusion:
    """Several as one: what any of them hides is hidden."""
    return BoundExclusion(
        shows=lambda item_id, row: all(one.shows(item_id, row) for one in bound),
        hides=lambda item_id: any(one.hides(item_id) for one in bound),
    )


def columns_for(expression: Filter, catalog: ItemCatalog) -> list[str]:
    """What a filter over rendered items may ask for; of a catalogue without fixed columns, anything."""
    columns = [*ITEM_COLUMNS, *catalog.columns]
    if catalog.is_open:
        known = {name.casefold() for name in columns}
        columns += [field.name for field in expression.fields() if field.name.casefold() not in known]
    return list(dict.fromkeys(columns))


def compiled(expression: Filter, catalog: ItemCatalog) -> ItemPredicate:
    """A filter over rendered items, and over what a user did with them."""
    return compile_item_exclusion(
        expression, columns_for(expression, catalog), item_id=ITEM_ID if expression.uses_interactions else None
    )


class RequestExclusion:
    """A filter expression over the catalogue's columns and the user's events, filled in by `filter_values`."""

    def __init__(self, expression: Filter) -> None:
        self._expression = expression
        self.uses_interactions = expression.uses_interactions
        """Whether it asks what the user did."""
        self.same_for_all = not expression.placeholders and not expression.uses_interactions
        """Whether it says the same to every request."""
        self._version = -1
        self._predicate: ItemPredicate | None = None
        self._combinations = _Combinations(())
        self._bound: LRUCache[Values, BoundExclusion] = LRUCache(MAX_VALUES)

    def bind(
        self, catalog: ItemCatalog, values: Iterable[tuple[str, str]], interactions: Iterable[tuple[str, str]] = ()
    ) -> BoundExclusion:
        """The test whether an item may be shown to this request.

        Args:
            catalog: Where the items are from.
            values: Name and value of each placeholder.
            interactions: Item and event type of what the user did, the oldest first.

        Raises:
            InvalidQuery: A placeholder lacks the value that it needs, or has one that it cannot use.
        """
        predicate = self._predicate
        if predicate is None or catalog.version != self._version:
            predicate = self._predicate = compiled(self._expression, catalog)
            self._version = catalog.version
            # What a user did depends on the item itself.
            own = (ITEM_ID,) if self.uses_interactions else ()
            self._combinations = _Combinations((*own, *predicate.columns))
            self._bound.clear()
        used = tuple(pair for pair in values if pair[0] in predicate.placeholders)
        bound = None if self.uses_interactions else self._bound.get(used)
        if bound is None:
            try:
                shows = predicate.bind(dict(used), interactions)
            except FilterValueError as error:
                raise InvalidQuery(f"filter_values.{error.placeholder}", str(error)) from error
            bound = _by_row(shows, catalog) if catalog.is_open else self._combinations.bind(shows, catalog.columns)
            if not self.uses_interactions:
                self._bound[used] = bound
        return bound


Values: TypeAlias = tuple[tuple[str, str], ...]


class _Combinations:
    """What items of one catalogue have in some columns; each different combination once."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._rows: list[dict[str, Any]] = []
        self._number_of_item: dict[str, int] = {}
        self._number_of_combination: dict[str, int] = {}

    def bind(self, shows: Shows, further: Sequence[str]) -> BoundExclusion:
        """What a filter with its values says of these items.

        Args:
            shows: The filter.
            further: The catalogue's columns.
        """
        decisions = bytearray()
        rows, number_of_item = self._rows, self._number_of_item.get

        def decided(number: int) -> int:
            if number >= len(decisions):
                decisions.extend(bytes(len(rows) - len(decisions)))
            decisions[number] = decisions[number] or (_SHOWN if shows(rows[number]) else _HIDDEN)
            return decisions[number]

        def shows_item(item_id: str, row: CatalogRow) -> bool:
            number = self._number(item_id, row, further)
            return shows(row.values(further)) if number is None else decided(number) == _SHOWN

        def hides(item_id: str) -> bool:
            number = number_of_item(item_id, -1)
            # Nearly always decided: this is asked for thousands of items.
            try:
                decision = decisions[number] if number >= 0 else _SHOWN
            except IndexError:
                decision = _UNDECIDED
            return (decision or decided(number)) == _HIDDEN

        return BoundExclusion(shows_item, hides)

    def _number(self, item_id: str, row: CatalogRow, further: Sequence[str]) -> int | None:
        """Of an item's combination; None where no more items are remembered."""
        number = self._number_of_item.get(item_id)
        if number is None and len(self._number_of_item) < MAX_SORTED:
            values = row.values(further)
            combination = {column: values.get(column) for column in self._columns}
            # Not the values themselves: 1, 1.0 and True are equal, and no two of them are one text.
            key = repr(combination)
            number = self._number_of_combination.setdefault(key, len(self._rows))
            if number == len(self._rows):
                self._rows.append(combination)
            self._number_of_item[item_id] = number
        return number


def _by_row(shows: Shows, catalog: ItemCatalog) -> BoundExclusion:
    """Where items come and go, and may get columns that the catalogue does not know yet."""
    columns = catalog.columns
    return BoundExclusion(lambda _, row: shows(row.values(columns)), lambda _: False)
