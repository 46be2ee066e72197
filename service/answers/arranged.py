"""Ready items in the operator's order: pins, boosted ones first, buried ones last, and at most so many of a kind.

`service.answers.arrangement` says what the order is. What it says of each item is kept here by the item's number, for
one version of the rules.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from service.answers.arrangement import Arrangement
from service.answers.chosen import Period
from service.answers.kinds import Kinds, UnknownKind
from service.answers.ready import Choice, Pinned, ReadyItems
from service.answers.rules import ItemRules
from service.catalog.item import CatalogRow
from service.catalog.ports import ItemCatalog
from service.clock import Clock
from service.lists.numbers import ItemNumbers, behind
from service.models import RecommendationQuery

MAX_STANDING: Final = 1_000
"""Sets of pins that are kept, for answers of different lengths."""

LOOKED_AT: Final = 100
"""Popular items that are looked at together, when what is known of others does not fill up a list."""

_UNKNOWN: Final = -1
_NEITHER: Final = 1
"""What the catalogue does not hold is neither boosted nor buried, and is not shown."""

_NOBODY: Final = RecommendationQuery("", 1)


class _Standing(NamedTuple):
    """The pins of answers of one length."""

    pinned: Pinned
    numbers: Sequence[int]
    members: frozenset[int]
    """The same."""
    since: float
    until: float
    """Unix seconds, as `since`: between them the same pins stand."""


class ArrangedItems(ReadyItems):
    """The fragments of one set of rules, and what the order asks of each item.

    Args:
        rules: What may be shown.
        numbers: Those that lists have now.
        clock: Tells when the fragments may make room again, and which pins are over.
        max_bytes: Of all fragments together.
        arrangement: The operator's order, the same for all users.
    """

    _always_chooses = True

    def __init__(
        self,
        rules: ItemRules,
        numbers: Callable[[], ItemNumbers],
        clock: Clock,
        max_bytes: int,
        *,
        arrangement: Arrangement,
    ) -> None:
        super().__init__(rules, numbers, clock, max_bytes)
        self._pins_end = any(pin.until < math.inf for pin in arrangement.pins)
        self._arrangement = arrangement
        self._has_pins, self._moves = bool(arrangement.pins), arrangement.moves
        # Lists of small numbers, which cost the garbage collector nothing.
        self._groups: list[int] = []
        self._kinds = Kinds.of(arrangement.bounds) if arrangement.bounds else None
        self._standing: dict[tuple[int, frozenset[int] | None], _Standing] = {}

    def _choice(
        self, found: Sequence[int], wanted: int, given: frozenset[int] | None = None, *, further: Sequence[int] = ()
    ) -> Choice | None:
        pinned: Pinned = ()
        standing: Sequence[int] = ()
        if self._has_pins:
            pins = self._pins(wanted, given)
            if pins is None:
                return None
            pinned, standing = pins.pinned, pins.numbers
            wanted -= len(standing)
            if not pins.members.isdisjoint(found):
                found = [number for number in found if number not in pins.members]
            if further:
                further = [number for number in further if number not in pins.members]
            if not wanted:
                return (), (), pinned
        if self._moves:
            groups = self._groups
            order = sorted(found, key=groups.__getitem__)
            # What is not known yet comes first of all.
            if order and groups[order[0]] == _UNKNOWN:
                self._look_at([number for number in found if groups[number] == _UNKNOWN])
                order = sorted(found, key=groups.__getitem__)
            found = order
        kinds = self._kinds
        if kinds is None:
            first = super()._choice(found, wanted, further=further)
            return None if first is None else (*first[:2], pinned)
        shown, skipped = self._of_kinds(kinds, found, further, wanted, standing)
        return shown, skipped, pinned

    def _of_kinds(
        self, kinds: Kinds, found: Sequence[int], further: Sequence[int], wanted: int, standing: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """What there is room for, and what there is not; items that are not known yet are looked at few by few."""
        for looked_at in range(0, len(further) + LOOKED_AT, LOOKED_AT):
            try:
                return kinds.choose(behind(found, further), wanted, standing)
            except UnknownKind:
                self._look_at(kinds.unknown((*found, *further[:looked_at])))
        return kinds.choose(behind(found, further), wanted, standing)

    def _period(self, wanted: int, given: frozenset[int] | None = None) -> Period | None:
        standing = self._standing.get((wanted, given)) if self._pins_end else None
        return None if standing is None else (standing.since, standing.until)

    def _pins(self, wanted: int, given: frozenset[int] | None) -> _Standing | None:
        """The pins of an answer of this length now; None if one of them can have no number."""
        now = self._clock.time()
        found = self._standing.get((wanted, given))
        if found is None or not found.since <= now < found.until:
            found = self._pins_of(wanted, given, now)
            if found is None:
                return None
            if len(self._standing) >= MAX_STANDING:
                self._standing.clear()
            self._standing[wanted, given] = found
        return found

    def _pins_of(self, wanted: int, given: frozenset[int] | None, now: float) -> _Standing | None:
        rules, arrangement = self._rules.bind(_NOBODY), self._arrangement
        pins = arrangement.active_pins(rules, wanted, now)
        numbers = self._of.of([item_id for _, item_id, _ in pins])
        if numbers is None:
            return None
        self._grow()
        has_room = arrangement.caps(rules.catalog)
        pinned = [
            (slot - 1, number)
            for number, (slot, item_id, row) in zip(numbers, pins, strict=True)
            if (given is None or number in given) and (has_room is None or has_room(item_id, row))
        ]
        # What stands counts, so that its kinds have to be known.
        standing = [number for _, number in pinned]
        self._look_at(standing)
        return _Standing(pinned, standing, frozenset(standing), now, arrangement.pins_change_at(now))

    def _note(self, number: int, item_id: str, row: CatalogRow | None, catalog: ItemCatalog, *, is_shown: bool) -> None:
        group, values = (_NEITHER, None) if row is None else self._arrangement.trait_of(item_id, row, catalog)
        self._groups[number] = group
        if self._kinds is not None:
            self._kinds.note(number, values if is_shown else None)

    def _forget(self) -> None:
        super()._forget()
        self._groups = [_UNKNOWN] * len(self._of)
        if self._kinds is not None:
            self._kinds.renew(len(self._of))
        self._standing.clear()

    def _grow(self) -> None:
        super()._grow()
        self._groups.extend([_UNKNOWN] * (len(self._of) - len(self._groups)))
        if self._kinds is not None:
            self._kinds.grow(len(self._of))
