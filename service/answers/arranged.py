"""Ready items in the operator's order: boosted ones first, buried ones last, and at most so many of a kind."""

from collections.abc import Callable

from service.answers.arrangement import Arrangement, room_within
from service.answers.ready import Joined, ReadyItems
from service.answers.rules import ItemRules
from service.catalog.item import CatalogRow
from service.catalog.ports import ItemCatalog
from service.clock import Clock
from service.lists.numbers import ItemNumbers, NumberedList, first_numbers

_NEITHER = 1, ()
"""What the catalogue does not hold is neither boosted nor buried, and is not shown."""


class ArrangedItems(ReadyItems):
    """The fragments of one set of rules, and what the order asks of each item.

    Args:
        rules: What may be shown.
        numbers: Those that lists have now.
        clock: Tells when the fragments may make room again.
        max_bytes: Of all fragments together.
        arrangement: The operator's order, the same for all users and without pins.
    """

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
        self._arrangement = arrangement
        self._bounds = arrangement.bounds
        # Tuples of numbers and texts, which the garbage collector lets go.
        self._traits: dict[int, tuple[int, tuple[object, ...]]] = {}

    def join(self, kept: NumberedList, wanted: int) -> Joined | None:
        """See `ReadyItems.join`."""
        self._renew()
        found = first_numbers(kept, len(kept))
        self._make_ready(found)
        traits = self._traits
        ordered = sorted(found, key=lambda number: traits.get(number, _NEITHER)[0])
        return self._chosen(ordered, wanted, self._room() if self._bounds else None)

    def _room(self) -> Callable[[int], bool]:
        """A test for one answer: whether one more item may be shown, which then counts."""
        traits, takes = self._traits, room_within(self._bounds)
        return lambda number: takes(traits[number][1])

    def _note(self, number: int, item_id: str, row: CatalogRow, catalog: ItemCatalog) -> None:
        self._traits[number] = self._arrangement.trait_of(item_id, row, catalog)

    def _renew(self) -> None:
        before = self._version, self._of
        super()._renew()
        if before != (self._version, self._of):
            self._traits.clear()
