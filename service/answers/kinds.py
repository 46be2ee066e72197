"""At most so many of a kind, by the items' numbers: what `room_within` decides, several times as fast.

The kinds of an item are looked up once. Each kind has a place in a list that says of how many more an answer has room.
Behind each answer the list is as it was, so that an answer costs by what it shows, however many kinds there are.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

_PLENTY: Final = 1 << 40
"""More than any answer shows."""

_COPIED: Final = 200
"""As long as there are no more kinds, a copy of their room costs less than to put it back."""


class UnknownKind(Exception):
    """The kinds of an item have not been noted yet."""


class Kinds(ABC):
    """The kinds of items, by number."""

    def __init__(self) -> None:
        # Of each item one kind or several; None as long as they are not known.
        self._kinds: list[Any] = []
        # The first is of what is not shown at all.
        self._room: list[int] = [0]

    @classmethod
    def of(cls, bounds: Sequence[int]) -> "Kinds":
        """Kinds of no item yet.

        Args:
            bounds: How many items of the same value are shown at most, for each column that is bounded.
        """
        return _KindsOfOne(bounds[0]) if len(bounds) == 1 else _KindsOfMany(bounds)

    def renew(self, size: int) -> None:
        """Forget all, and have room for so many items."""
        self._kinds = [None] * size
        self._room = [0]

    def grow(self, size: int) -> None:
        """Have room for so many items."""
        self._kinds.extend([None] * (size - len(self._kinds)))

    def unknown(self, numbers: Sequence[int]) -> list[int]:
        """Those of the items whose kinds have not been noted."""
        return [number for number in numbers if self._kinds[number] is None]

    @abstractmethod
    def note(self, number: int, values: Sequence[object] | None) -> None:
        """Note an item's values of the bounded columns; None: the item is not to be shown."""

    @abstractmethod
    def choose(self, order: Iterable[int], wanted: int, standing: Sequence[int]) -> tuple[list[int], list[int]]:
        """The first items that there is room for, and the others before the last of them.

        Args:
            order: In which the items are looked at.
            wanted: Items to find, at least 1; fewer are found where there are no more.
            standing: Items that are shown in any case, and count.

        Raises:
            UnknownKind: One of the items has not been noted.
        """


class _KindsOfOne(Kinds):
    """Of one column, which is the rule: half of the time of `_KindsOfMany`."""

    def __init__(self, bound: int) -> None:
        super().__init__()
        self._bound = bound
        self._kind_of: dict[object, int] = {}

    def renew(self, size: int) -> None:
        super().renew(size)
        # The second kind is of what has no value.
        self._room.append(_PLENTY)
        self._kind_of = {None: 1}

    def note(self, number: int, values: Sequence[object] | None) -> None:
        if values is None:
            self._kinds[number] = 0
            return
        kind = self._kinds[number] = self._kind_of.setdefault(values[0], len(self._room))
        if kind == len(self._room):
            self._room.append(self._bound)

    def choose(self, order: Iterable[int], wanted: int, standing: Sequence[int]) -> tuple[list[int], list[int]]:
        is_copied = len(self._room) <= _COPIED
        room, kinds = self._room.copy() if is_copied else self._room, self._kinds
        shown: list[int] = []
        skipped: list[int] = []
        for number in standing:
            room[kinds[number]] -= 1
        try:
            for number in order:
                kind = kinds[number]
                if room[kind]:
                    room[kind] -= 1
                    shown.append(number)
                    wanted -= 1
                    if not wanted:
                        break
                else:
                    skipped.append(number)
        except TypeError:
            raise UnknownKind from None
        finally:
            if not is_copied:
                for number in (*shown, *standing):
                    room[kinds[number]] += 1
        return shown, skipped


class _KindsOfMany(Kinds):
    """Of several columns; an item is of as many kinds as it has values."""

    def __init__(self, bounds: Sequence[int]) -> None:
        super().__init__()
        self._bounds = tuple(bounds)
        self._kind_of: dict[tuple[int, object], int] = {}

    def renew(self, size: int) -> None:
        super().renew(size)
        self._kind_of = {}

    def note(self, number: int, values: Sequence[object] | None) -> None:
        self._kinds[number] = (0,) if values is None else tuple(self._each(values))

    def _each(self, values: Sequence[object]) -> list[int]:
        kinds = []
        for place, (bound, value) in enumerate(zip(self._bounds, values, strict=True)):
            if value is not None:
                kind = self._kind_of.setdefault((place, value), len(self._room))
                if kind == len(self._room):
                    self._room.append(bound)
                kinds.append(kind)
        return kinds

    def choose(self, order: Iterable[int], wanted: int, standing: Sequence[int]) -> tuple[list[int], list[int]]:
        room, kinds = self._room, self._kinds
        shown: list[int] = []
        skipped: list[int] = []
        for kind in self._of_each(standing):
            room[kind] -= 1
        try:
            for number in order:
                for kind in kinds[number]:
                    if not room[kind]:
                        skipped.append(number)
                        break
                else:
                    for kind in kinds[number]:
                        room[kind] -= 1
                    shown.append(number)
                    wanted -= 1
                    if not wanted:
                        break
        except TypeError:
            raise UnknownKind from None
        finally:
            for kind in self._of_each(shown):
                room[kind] += 1
            for kind in self._of_each(standing):
                room[kind] += 1
        return shown, skipped

    def _of_each(self, numbers: Sequence[int]) -> Iterator[int]:
        return (kind for number in numbers for kind in self._kinds[number])
