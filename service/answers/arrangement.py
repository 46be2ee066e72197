"""What an operator does to the order of an answer: pins, boosts, buries, and at most so many of a kind.

Everything happens when the answer is rendered, at no transaction. What an item's columns say about it is looked up once
for each version of the catalogue. A rule that asks what the user did is decided for each answer.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.answers.exclusions import compiled
from service.answers.selection import Rules, reason_to_drop
from service.catalog.item import CatalogRow
from service.catalog.ports import ItemCatalog
from service.filters import Filter, ItemPredicate

MAX_TRAITS: Final = 200_000
"""Items whose traits are kept; about 40 MB with two columns. Beyond it all are looked up anew."""


@dataclass(frozen=True, slots=True)
class Pin:
    """An item at a place of every answer."""

    item_id: str
    slot: int
    """1 is the first."""
    until: float
    """Unix seconds; infinite for ever."""

    @classmethod
    def of(cls, item_id: str, slot: int, until: dt.datetime | None) -> "Pin":
        """A pin until a moment; None for ever."""
        return cls(item_id, slot, float("inf") if until is None else until.timestamp())


@dataclass(frozen=True, slots=True)
class ArrangementTerms:
    """What the operator wants."""

    pins: tuple[Pin, ...] = ()
    max_per: Mapping[str, int] | None = None
    """Catalogue column, and items of one of its values in an answer."""
    boost: Filter | None = None
    """Items that it lets through come first."""
    bury: Filter | None = None
    """Items that it lets through come last."""


class Arrangement:
    """Applies the operator's order to the candidates of an answer; keeps the order otherwise."""

    def __init__(self, terms: ArrangementTerms) -> None:
        self.pins = tuple(sorted(terms.pins, key=lambda pin: pin.slot))
        """By slot, whether or not they stand now."""
        self._max_per = dict(terms.max_per or {})
        self.moves = terms.boost is not None or terms.bury is not None
        """Whether it boosts or buries anything."""
        self.uses_interactions = any(rule is not None and rule.uses_interactions for rule in (terms.boost, terms.bury))
        """Whether the order depends on what the user did."""
        self._traits = _Traits(terms.boost, terms.bury, tuple(self._max_per))

    @property
    def changes_nothing(self) -> bool:
        """Whether the operator wants every list as it is."""
        return not (self.pins or self._max_per or self.moves)

    @property
    def same_for_all(self) -> bool:
        """Whether an item's place follows from the item, the list and the moment only, for all users."""
        return not self.uses_interactions

    @property
    def bounds(self) -> tuple[int, ...]:
        """How many of a kind there may be, for each column that is bounded."""
        return tuple(self._max_per.values())

    def trait_of(self, item_id: str, row: CatalogRow, catalog: ItemCatalog) -> tuple[int, tuple[object, ...]]:
        """The group of an item (0 boosted, 1 neither, 2 buried), and its values of the bounded columns."""
        return self._traits.of(item_id, row, catalog)

    def pinned(self, now: float) -> Iterator[str]:
        """The items that stand at a place now, whether or not they may be shown."""
        return (pin.item_id for pin in self.pins if pin.until > now)

    def pins_change_at(self, now: float) -> float:
        """Unix seconds until which the same pins stand as now; infinite for ever."""
        return min((pin.until for pin in self.pins if pin.until > now), default=float("inf"))

    def active_pins(self, rules: Rules, wanted: int, now: float) -> list[tuple[int, str, CatalogRow]]:
        """The pins of an answer: slot, id and row of every pinned item that may be shown, by slot."""
        active = [pin for pin in self.pins if pin.slot <= wanted and pin.until > now]
        if not active:
            return []
        rows = rules.catalog.rows([pin.item_id for pin in active])
        found: list[tuple[int, str, CatalogRow]] = []
        for pin, row in zip(active, rows, strict=True):
            if row is not None and reason_to_drop(pin.item_id, row, rules) is None:
                found.append((pin.slot, pin.item_id, row))
        return found

    def ordered(
        self, item_ids: Iterable[str], catalog: ItemCatalog, interactions: Sequence[tuple[str, str]] = ()
    ) -> Iterable[str]:
        """The ids of a list: boosted ones first, buried ones last, each group in the list's own order.

        Args:
            item_ids: The list.
            catalog: Where the items are from.
            interactions: Item and event type of what the user did, the oldest first.
        """
        if not self.moves:
            return item_ids
        ids = list(item_ids)
        groups: tuple[list[str], list[str], list[str]] = ([], [], [])
        group_of = self.groups(ids, catalog, interactions)
        for item_id in ids:
            groups[group_of.get(item_id, 1)].append(item_id)
        return [*groups[0], *groups[1], *groups[2]]

    def groups(
        self, item_ids: Sequence[str], catalog: ItemCatalog, interactions: Sequence[tuple[str, str]] = ()
    ) -> Mapping[str, int]:
        """For each item that the catalogue holds: 0 if it is boosted, 2 if it is buried, else 1."""
        if not self.uses_interactions:
            known = self._traits.known(item_ids, catalog)
            return {one: known[one][0] for one in item_ids if one in known}
        group_of, columns = self._traits.bound(catalog, interactions), catalog.columns
        rows = zip(item_ids, catalog.rows(item_ids), strict=True)
        return {item_id: group_of(row.values(columns)) for item_id, row in rows if row is not None}

    def caps(self, catalog: ItemCatalog) -> Callable[[str, CatalogRow], bool] | None:
        """A test for one answer: whether one more item may be shown, which then counts. None without any bound."""
        if not self._max_per:
            return None
        traits = self._traits
        known = traits.known((), catalog)
        takes = room_within(tuple(self._max_per.values()))
        return lambda item_id, row: takes((known.get(item_id) or traits.of(item_id, row, catalog))[1])


def room_within(bounds: Sequence[int]) -> Callable[[Sequence[object]], bool]:
    """A test for one answer: whether one more item with these values may be shown, which then counts.

    Args:
        bounds: How many items of the same value are shown at most, for each of an item's values.
    """
    counts: list[tuple[int, int, dict[object, int]]] = [(place, bound, {}) for place, bound in enumerate(bounds)]

    def takes(values: Sequence[object]) -> bool:
        # An item without the value is of no kind.
        for place, bound, shown in counts:
            if shown.get(values[place], 0) >= bound and values[place] is not None:
                return False
        for place, _, shown in counts:
            shown[values[place]] = shown.get(values[place], 0) + 1
        return True

    return takes


class _Traits:
    """What the columns of an item say: its group in the order, and its values of the columns that are bounded."""

    def __init__(self, boost: Filter | None, bury: Filter | None, columns: tuple[str, ...]) -> None:
        self._boost = boost
        self._bury = bury
        self._columns = columns
        self._version = -1
        self._boosted: ItemPredicate | None = None
        self._buried: ItemPredicate | None = None
        self._known: dict[str, tuple[int, tuple[object, ...]]] = {}

    def known(self, item_ids: Sequence[str], catalog: ItemCatalog) -> Mapping[str, tuple[int, tuple[object, ...]]]:
        """What `of` finds, by item; those of the ids that the catalogue has are among it."""
        self._follow(catalog)
        if unknown := [one for one in item_ids if one not in self._known]:
            if len(self._known) + len(unknown) > MAX_TRAITS:
                self._known.clear()
                unknown = list(item_ids)
            for item_id, row in zip(unknown, catalog.rows(unknown), strict=True):
                if row is not None:
                    self._known[item_id] = self._look(row, catalog)
        return self._known

    def of(self, item_id: str, row: CatalogRow, catalog: ItemCatalog) -> tuple[int, tuple[object, ...]]:
        """Group (0 boosted, 1 neither, 2 buried), and the values by column."""
        self._follow(catalog)
        known = self._known.get(item_id)
        if known is None:
            if len(self._known) >= MAX_TRAITS:
                self._known.clear()
            known = self._known[item_id] = self._look(row, catalog)
        return known

    def bound(
        self, catalog: ItemCatalog, interactions: Sequence[tuple[str, str]] = ()
    ) -> Callable[[Mapping[str, Any]], int]:
        """The group of an item by its values, for a user who did this."""
        self._follow(catalog)
        boosts, buries = (
            _never if rule is None else rule.bind({}, interactions) for rule in (self._boosted, self._buried)
        )
        return lambda values: 0 if boosts(values) else 2 if buries(values) else 1

    def _follow(self, catalog: ItemCatalog) -> None:
        """Forget what was said of another version."""
        if catalog.version == self._version:
            return
        self._boosted, self._buried = (
            None if rule is None else compiled(rule, catalog) for rule in (self._boost, self._bury)
        )
        self._known.clear()
        self._version = catalog.version

    def _look(self, row: CatalogRow, catalog: ItemCatalog) -> tuple[int, tuple[object, ...]]:
        values = row.values(catalog.columns)
        return self.bound(catalog)(values), tuple(_plain(values.get(column)) for column in self._columns)


def _never(_: Mapping[str, Any]) -> bool:
    return False


def _plain(value: object) -> object:
    """A value that can be counted."""
    return value if isinstance(value, str | int | float | bool | None) else str(value)
