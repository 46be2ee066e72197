"""Ready fragments: each item as an answer shows it, by its number, so that a hit is a join of bytes.

Which items may be shown depends on the catalogue, the block list and the operator's exclusions, and is decided once for
all users while none of them changes. What depends on the request or its user is decided elsewhere.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from service.answers.rules import ItemRules
from service.answers.selection import reason_to_drop
from service.catalog.item import CatalogRow
from service.catalog.ports import ItemCatalog
from service.clock import Clock
from service.lists.numbers import ItemNumbers, NumberedList, first_numbers
from service.models import RecommendationQuery

READY_BYTES: Final = 60
"""What a fragment costs besides its bytes."""

EMPTY_SECONDS: Final = 60.0
"""At most so often all fragments make room at once; what is shown most is there again first."""


class Joined(NamedTuple):
    """What an answer shows of a list."""

    body: bytes
    """A JSON array."""

    examined: Sequence[int]
    """The numbers of all items that were looked at."""

    dropped: tuple[tuple[str, int], ...] = ()
    """Why some of them are not shown, and how many."""


_NOBODY: Final = RecommendationQuery("", 1)


class ReadyItems:
    """The fragments of one set of rules.

    Args:
        rules: What may be shown.
        numbers: Those that lists have now.
        clock: Tells when the fragments may make room again.
        max_bytes: Of all fragments together.
    """

    def __init__(self, rules: ItemRules, numbers: Callable[[], ItemNumbers], clock: Clock, max_bytes: int) -> None:
        self._rules = rules
        self._numbers = numbers
        self._clock = clock
        self._max_bytes = max_bytes
        self._of: ItemNumbers | None = None
        self._version = -1
        # Bytes and None only: one object for the garbage collector, however many items there are.
        self._fragments: list[bytes | None] = []
        self._reasons: dict[int, str] = {}
        self._emptied_at = clock.monotonic()
        self.bytes = 0
        """Memory in use, about."""

    def __len__(self) -> int:
        return len(self._fragments)

    def join(self, kept: NumberedList, wanted: int) -> Joined | None:
        """The first items of a list that may be shown; None if there are not as many as wanted, or no room for them.

        Args:
            kept: A list of the numbers of now.
            wanted: Items.
        """
        self._renew()
        found = first_numbers(kept, wanted)
        if len(found) < wanted:
            return None
        fragments = self._fragments
        try:
            # Where one is None it raises, which is rare.
            return Joined(b"[%b]" % b",".join([fragments[number] for number in found]), found)  # type: ignore[misc]
        except (TypeError, IndexError):
            return self._chosen(first_numbers(kept, len(kept)), wanted)

    def ids_of(self, numbers: Sequence[int]) -> list[str]:
        """The items of these numbers."""
        ids = self._numbers().ids
        return [ids[one] for one in numbers]

    def _chosen(
        self, found: Sequence[int], wanted: int, has_room: Callable[[int], bool] | None = None
    ) -> Joined | None:
        """The same where an item is not ready, or not to be shown; `has_room` has the last word."""
        dropped: dict[str, int] = {}
        shown: list[bytes] = []
        for first in range(0, len(found), wanted):
            some = found[first : first + wanted]
            self._make_ready(some)
            for place, number in enumerate(some, first + 1):
                fragment, reason = self._fragments[number], self._reasons.get(number)
                if reason is None and has_room is not None and not has_room(number):
                    reason = "max_per"
                if reason is not None:
                    dropped[reason] = dropped.get(reason, 0) + 1
                elif fragment is None:
                    return None
                else:
                    shown.append(fragment)
                if len(shown) == wanted:
                    return Joined(b"[" + b",".join(shown) + b"]", found[:place], tuple(dropped.items()))
        return None

    def _make_ready(self, numbers: Sequence[int]) -> None:
        fragments, reasons = self._fragments, self._reasons
        ids = self._numbers().ids
        if len(fragments) < len(ids):
            fragments.extend([None] * (len(ids) - len(fragments)))
        missing = [one for one in numbers if fragments[one] is None and one not in reasons]
        if not missing:
            return
        rules = self._rules.bind(_NOBODY)
        item_ids = [ids[one] for one in missing]
        for number, item_id, row in zip(missing, item_ids, rules.catalog.rows(item_ids), strict=True):
            if row is not None:
                self._note(number, item_id, row, rules.catalog)
            reason = reason_to_drop(item_id, row, rules)
            if reason is not None:
                reasons[number] = reason
            elif row is not None and self._has_room(len(row.fragment) + READY_BYTES):
                fragments[number] = row.fragment
                self.bytes += len(row.fragment) + READY_BYTES

    def _note(self, number: int, item_id: str, row: CatalogRow, catalog: ItemCatalog) -> None:
        """See an item of the catalogue whose fragment is made ready."""

    def _has_room(self, size: int) -> bool:
        if self.bytes + size <= self._max_bytes:
            return True
        now = self._clock.monotonic()
        if now - self._emptied_at >= EMPTY_SECONDS:
            self._emptied_at = now
            self._fragments[:] = [None] * len(self._fragments)
            self.bytes = 0
        return self.bytes + size <= self._max_bytes

    def _renew(self) -> None:
        """Forget what was decided by other rules, or for other numbers."""
        if self._version == self._rules.version and self._of is self._numbers():
            return
        self._version, self._of = self._rules.version, self._numbers()
        self._fragments = [None] * len(self._of)
        self._reasons.clear()
        self.bytes = 0
