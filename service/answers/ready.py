"""Ready fragments: each item as an answer shows it, by its number, so that a hit is a join of bytes.

Which items may be shown depends on the catalogue, the block list and the operator's exclusions, and is decided once for
all users while none of them changes. What depends on the request or its user is decided elsewhere.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from service.answers.chosen import Choices, Chosen, Joined, Period, Popular, counted
from service.answers.rules import ItemRules
from service.answers.selection import reason_to_drop
from service.catalog.item import CatalogRow
from service.catalog.ports import ItemCatalog
from service.clock import Clock
from service.lists.numbers import GivenItems, GivenNumbers, ItemNumbers, NumberedList, behind, first_numbers
from service.models import RecommendationQuery

READY_BYTES: Final = 60
"""What a fragment costs besides its bytes."""

EMPTY_SECONDS: Final = 60.0
"""At most so often all fragments make room at once; what is shown most is there again first."""

Pinned: TypeAlias = Sequence[tuple[int, int]]
"""Place, from 0, and number of each pinned item, by place."""

Choice: TypeAlias = tuple[Sequence[int], Sequence[int], Pinned]
"""Numbers: what is shown of a list, in its order; those before the last of them that are not shown; and the pins."""

_SOME: Final = 200
_NOBODY: Final = RecommendationQuery("", 1)


class ReadyItems:
    """The fragments of one set of rules.

    Args:
        rules: What may be shown.
        numbers: Those that lists have now.
        clock: Tells when the fragments may make room again.
        max_bytes: Of all fragments together.
    """

    _always_chooses = False
    """Whether an answer may differ from the beginning of a list although nothing of it is dropped."""

    def __init__(self, rules: ItemRules, numbers: Callable[[], ItemNumbers], clock: Clock, max_bytes: int) -> None:
        self._rules = rules
        self._numbers = numbers
        self._clock = clock
        self._max_bytes = max_bytes
        self._of = numbers()
        self._version = -1
        # Bytes and None only: one object for the garbage collector, however many items there are. None is not looked
        # at yet, or lacks room; empty is not to be shown.
        self._fragments: list[bytes | None] = []
        self._reasons: dict[int, str] = {}
        self._popular: tuple[str, ...] | None = None
        self._popular_numbers: Sequence[int] = ()
        self._choices = Choices(clock, self._of)
        self._emptied_at = clock.monotonic()
        self.bytes = 0
        """Memory in use, about."""

    def __len__(self) -> int:
        return len(self._fragments)

    def join(
        self, kept: NumberedList, wanted: int, popular: Popular | None = None, *, looks_again: bool = False
    ) -> Joined | None:
        """The first items of a list that may be shown; None if there are not as many as wanted, or no room for them.

        Args:
            kept: A list of the numbers of now.
            wanted: Items.
            popular: What fills up a list that is too short; None: nothing does.
            looks_again: Whether to choose once more what has been chosen before.
        """
        self._renew()
        joined = None
        if wanted in self._choices.of_length and not looks_again:
            joined = self._as_before(kept, wanted, popular)
        if joined is None and not self._always_chooses:
            found = first_numbers(kept, wanted)
            joined = self._as_it_is(found) if len(found) == wanted else None
        return joined or self._full(kept, wanted, popular, keeps=not looks_again)

    def _body_of(self, numbers: Sequence[int]) -> bytes | None:
        """All these items; None if one of them is not to be shown, or not ready."""
        fragments = self._fragments
        parts = [fragments[number] for number in numbers]
        return b"[%b]" % b",".join(parts) if all(parts) else None  # type: ignore[arg-type]  # none is None

    def _as_it_is(self, found: Sequence[int]) -> Joined | None:
        body, count = self._body_of(found), len(found)
        return None if body is None else (body, found, (), (), count, count, None)

    def _as_before(self, kept: NumberedList, wanted: int, popular: Popular | None) -> Joined | None:
        """What was chosen of the list before, if it would be chosen again."""
        found = self._choices.find(kept, wanted, popular)
        if found is None:
            return None
        chosen, shown = found
        body = self._body_of(shown)
        return None if body is None else (body, shown, None, chosen.dropped, chosen.examined, chosen.listed, None)

    def _full(self, kept: NumberedList, wanted: int, popular: Popular | None, *, keeps: bool) -> Joined | None:
        found = first_numbers(kept, len(kept))
        choice = self._choice(found, wanted)
        if choice is None:
            return None
        listed, filled = len(choice[0]) + len(choice[2]), None
        if listed < wanted:
            # Without any of the list it is another answer.
            if popular is None or not choice[0]:
                return None
            filled = popular()
            choice = self._choice(found, wanted, further=self._numbers_of(filled))
            if choice is None or len(choice[0]) + len(choice[2]) < wanted:
                return None
        joined = self._joined(choice, listed)
        return self._with_choice(joined, kept, wanted, filled, self._period(wanted)) if joined and keeps else joined

    def _with_choice(
        self, joined: Joined, kept: NumberedList, wanted: int, filled: tuple[str, ...] | None, period: Period | None
    ) -> Joined:
        body, shown, skipped, dropped, examined, listed, _ = joined
        if not (skipped or filled or self._always_chooses):
            return joined
        chosen = Chosen(wanted, dropped, examined, listed, filled is not None, period)
        return body, shown, skipped, dropped, examined, listed, self._choices.added(kept, chosen, shown, filled)

    def _period(self, wanted: int, given: frozenset[int] | None = None) -> Period | None:
        """When an answer of this length has the pins that it has now; None: always."""
        del wanted, given
        return None

    def _numbers_of(self, popular: tuple[str, ...]) -> Sequence[int]:
        """Those of popular items, as far as they have any."""
        if self._popular is not popular:
            self._popular, self._popular_numbers = popular, self._of.of(popular) or ()
            self._grow()
        return self._popular_numbers

    def rank(self, kept: NumberedList, wanted: int, given: GivenItems, *, looks_again: bool) -> Joined | None:
        """The first of the given items that may be shown; None if nothing of the list is, or there is no room for it.

        Those that the list leaves out are at the end, before the operator's order is applied to them all.

        Args:
            kept: A list of the numbers of now.
            wanted: Items; fewer are shown if fewer are left.
            given: What is ranked.
            looks_again: Whether to choose once more what has been chosen before.
        """
        self._renew()
        joined = None
        if wanted in self._choices.of_length and not looks_again:
            joined = self._as_before(kept, wanted, None)
        numbers = given.numbers(self._of) if joined is None else None
        if numbers is None:
            return joined
        found = first_numbers(kept, len(kept))
        if not self._always_chooses and len(found) == wanted and numbers.are_all_of(found):
            joined = self._as_it_is(found)
        return joined or self._ranked(kept, wanted, numbers, found, keeps=not looks_again)

    def _ranked(
        self, kept: NumberedList, wanted: int, numbers: GivenNumbers, found: Sequence[int], *, keeps: bool
    ) -> Joined | None:
        self._grow()
        listed = None
        if not numbers.are_all_of(found):
            found, listed = numbers.ranked(found)
        choice = self._choice(found, wanted, numbers.members)
        if choice is None:
            return None
        shown, _, pinned = choice
        if len(pinned) < wanted and not (shown if listed is None else listed & set(shown)):
            return None
        joined = self._joined(choice, 0)
        # What follows behind the list is in the order in which this caller gave it.
        if joined is None or not keeps or listed is not None:
            return joined
        return self._with_choice(joined, kept, wanted, None, self._period(wanted, numbers.members))

    def ids_of(self, numbers: Sequence[int]) -> list[str]:
        """The items of these numbers."""
        ids = self._of.ids
        return [ids[one] for one in numbers]

    def _choice(
        self, found: Sequence[int], wanted: int, given: frozenset[int] | None = None, *, further: Sequence[int] = ()
    ) -> Choice | None:
        """What to show; None if there is no room to know it.

        Args:
            found: The numbers of a list.
            wanted: Items.
            given: Nothing else may be shown; None: anything may.
            further: What follows behind the list, in any case in this order.
        """
        del given
        return self._first(tuple(behind(found, further)) if further else found, wanted)

    def _first(self, order: Sequence[int], wanted: int) -> Choice | None:
        """The first items that may be shown."""
        fragments, reasons = self._fragments, self._reasons
        first = order[:wanted]
        if len(first) == wanted and all(map(fragments.__getitem__, first)):
            return first, (), ()
        # Few are dropped as a rule, but a list may be long.
        for some in (order[: 2 * wanted], order[:_SOME], order):
            shown = [number for number in some if fragments[number]][:wanted]
            place = some.index(shown[-1]) + 1 if len(shown) == wanted else len(some)
            if place == len(shown) == wanted:
                return shown, (), ()
            skipped = [number for number in some[:place] if not fragments[number]]
            if not all(map(reasons.__contains__, skipped)):
                return self._first(order, wanted) if self._are_ready(some) else None
            if len(shown) == wanted:
                break
        return shown, skipped, ()

    def _joined(self, choice: Choice, listed: int) -> Joined | None:
        shown, skipped, pinned = choice
        if pinned:
            placed = list(shown)
            for place, number in pinned:
                placed.insert(place, number)
            shown = placed
        fragments = self._fragments
        parts = [fragments[number] for number in shown]
        if not all(parts):
            if not self._are_ready(shown):
                return None
            parts = [fragments[number] for number in shown]
        body = b"[%b]" % b",".join(parts)  # type: ignore[arg-type]  # none is None
        examined = len(shown) + len(skipped) - len(pinned)
        if not skipped:
            return body, shown, (), (), examined, listed, None
        dropped = counted([self._reasons.get(number, "max_per") for number in skipped])
        return body, shown, skipped, dropped, examined, listed, None

    def _are_ready(self, numbers: Sequence[int]) -> bool:
        """Whether each of them has a fragment, or is known not to be shown; after making ready what is not."""
        fragments = self._fragments
        self._look_at([number for number in numbers if fragments[number] is None])
        return all(fragments[number] is not None for number in numbers)

    def _look_at(self, numbers: Sequence[int]) -> None:
        """Find out what there is to know of items, and make them ready as far as there is room."""
        fragments, reasons = self._fragments, self._reasons
        rules = self._rules.bind(_NOBODY)
        item_ids = self.ids_of(numbers)
        for number, item_id, row in zip(numbers, item_ids, rules.catalog.rows(item_ids), strict=True):
            reason = reason_to_drop(item_id, row, rules)
            self._note(number, item_id, row, rules.catalog, is_shown=reason is None)
            if reason is not None:
                reasons[number] = reason
                fragments[number] = b""
            elif row is not None and fragments[number] is None and self._has_room(len(row.fragment) + READY_BYTES):
                fragments[number] = row.fragment
                self.bytes += len(row.fragment) + READY_BYTES

    def _note(self, number: int, item_id: str, row: CatalogRow | None, catalog: ItemCatalog, *, is_shown: bool) -> None:
        """See an item that is looked at."""

    def _has_room(self, size: int) -> bool:
        if self.bytes + size <= self._max_bytes:
            return True
        now = self._clock.monotonic()
        if now - self._emptied_at >= EMPTY_SECONDS:
            self._emptied_at = now
            self._fragments[:] = [None if one else one for one in self._fragments]
            self.bytes = 0
        return self.bytes + size <= self._max_bytes

    def _renew(self) -> None:
        """Forget what was decided by other rules, or for other numbers, and have room for all that there are."""
        numbers = self._numbers()
        if self._version != self._rules.version or self._of is not numbers:
            self._version, self._of = self._rules.version, numbers
            self._forget()
        elif len(self._fragments) < len(numbers.ids):
            self._grow()

    def _forget(self) -> None:
        self._fragments = [None] * len(self._of)
        self._reasons.clear()
        self._popular = None
        self._choices.forget(self._of)
        self.bytes = 0

    def _grow(self) -> None:
        self._fragments.extend([None] * (len(self._of) - len(self._fragments)))
