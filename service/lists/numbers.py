"""Items as numbers: a list in this process is numbers instead of ids, and an answer finds its items by them.

A list of 25 numbers takes 50 bytes; 25 ids take 400 and more. Each id gets its number when it is first seen, whether or
not the catalogue holds it. Numbers are never given anew: what is no longer in any list goes when the lists are
renumbered, see `ListMemory.renumber`.

    0 u8 | series u8 | flags u8 | created_at f64 | id length u8 | recommendation id | promoted | numbers | choices

It begins with 0, where an envelope has its version. A number takes two bytes; flag 1 says that it takes four. Flag 8
says that the recommendation id can stand in a header, flag 16 that there are choices; see `service.lists.choices`. The
other flags, and what is promoted, are those of the envelope.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from itertools import chain, filterfalse
from itertools import count as counted
from typing import Final, NamedTuple, NewType

from service.lists import envelope as envelopes
from service.lists.envelope import Envelope

NumberedList = NewType("NumberedList", bytes)
"""A packed list of numbers."""

MAX_NUMBERS: Final = 500_000
"""Of ids that have one. Lists with others are kept as envelopes; the ids that most lists hold come first."""

NUMBER_BYTES: Final = 150
"""What a number costs besides its id's letters: the text, an entry of a dictionary, a place in a list."""

SERIES: Final = 256

_HEAD: Final = struct.Struct("<BBBdB")
_MADE_AT: Final = struct.Struct("<d")
_NUMBERED: Final = 0
_WIDE: Final = 1
_PROMOTED: Final = 2
_POPULAR: Final = 4
_VISIBLE_ID: Final = 8
CHOSEN: Final = 16
"""Flag of a list with choices."""

CHOICES_END: Final = struct.Struct("<H")
"""The last two bytes of such a list: what its choices take, without these."""

_MAX_NARROW: Final = 1 << 16

_VISIBLE: Final = re.compile(rb"[\x20-\x7e]+")
FEW: Final = 128
"""Fewer numbers are read, and written, by a form that is made once."""

# Bound once: every hit asks them.
NARROW_AT: Final = tuple(struct.Struct(f"<{count}H").unpack_from for count in range(FEW))
_WIDE_AT: Final = tuple(struct.Struct(f"<{count}I").unpack_from for count in range(FEW))


class ItemNumbers:
    """The numbers of one series.

    Args:
        series: Says which numbers a list holds; one of `SERIES`.
        max_numbers: Ids that get one.
    """

    def __init__(self, series: int = 0, max_numbers: int = MAX_NUMBERS) -> None:
        self.series: Final = series % SERIES
        self.ids: Final[list[str]] = []
        """By number."""
        self.bytes = 0
        """Memory in use, about."""
        self.max_numbers: Final = max_numbers
        self.choosers: Final = counted()
        """Each of those who keep choices with lists of these numbers takes one, and nobody else has it."""
        self._number_of: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, item_ids: Sequence[str]) -> list[int] | None:
        """The number of each id; None if there is no room for one of them."""
        number_of = self._number_of
        found = list(map(number_of.get, item_ids))
        for place, number in enumerate(found):
            if number is None:
                item_id = item_ids[place]
                found[place] = number_of.setdefault(item_id, len(self.ids))
                if found[place] == len(self.ids):
                    if len(self.ids) >= self.max_numbers:
                        del number_of[item_id]
                        return None
                    self.ids.append(item_id)
                    self.bytes += NUMBER_BYTES + len(item_id)
        return [number for number in found if number is not None]


class GivenNumbers(NamedTuple):
    """Numbers of given items."""

    order: tuple[int, ...]
    """As they were given."""

    members: frozenset[int]
    """The same."""

    def are_all_of(self, found: Sequence[int]) -> bool:
        """Whether a list, which holds none twice, has all of them and nothing else."""
        return len(found) == len(self.order) and self.members.issuperset(found)

    def ranked(self, found: Sequence[int]) -> tuple[Sequence[int], frozenset[int]]:
        """Those that a list has in its order, the others behind them as given; and which it has."""
        listed = self.members.intersection(found)
        return [*filter(listed.__contains__, found), *(one for one in self.order if one not in listed)], listed


class GivenItems:
    """Items that callers give again and again, such as an edit that is ranked for each user.

    Args:
        item_ids: Each once, in the order given.
    """

    def __init__(self, item_ids: Sequence[str]) -> None:
        self._item_ids = tuple(item_ids)
        self._of: ItemNumbers | None = None
        self._numbers: GivenNumbers | None = None

    def numbers(self, numbers: ItemNumbers) -> GivenNumbers | None:
        """Their numbers of this series; None if there is no room for one of them."""
        if self._of is not numbers:
            found = numbers.of(self._item_ids)
            if found is None:
                return None
            self._of, self._numbers = numbers, GivenNumbers(tuple(found), frozenset(found))
        return self._numbers


def numbered(envelope: Envelope, numbers: ItemNumbers) -> NumberedList | None:
    """The list as numbers; None where it can only be kept as it is."""
    ids = list(envelopes.item_ids(envelope))
    found = numbers.of(ids)
    # An id that comes twice is left to the rules.
    if found is None or len(set(found)) != len(found):
        return None
    promoted = envelopes.promoted_bytes(envelope)
    wide = max(found, default=0) >= _MAX_NARROW
    flags = wide * _WIDE | bool(promoted) * _PROMOTED | envelopes.is_popular(envelope) * _POPULAR
    recommendation_id = envelopes.recommendation_id_bytes(envelope)
    if _VISIBLE.fullmatch(recommendation_id):
        flags |= _VISIBLE_ID
    head = _HEAD.pack(_NUMBERED, numbers.series, flags, envelopes.created_at(envelope), len(recommendation_id))
    packed = struct.pack(f"<{len(found)}{'I' if wide else 'H'}", *found)
    return NumberedList(head + recommendation_id + promoted + packed)


def beginning_of(numbers: ItemNumbers) -> bytes:
    """What all lists of these numbers begin with."""
    return bytes((_NUMBERED, numbers.series))


def series_of(kept: bytes) -> int | None:
    """Whose numbers a list holds; None if it is an envelope."""
    return kept[1] if kept[0] == _NUMBERED else None


def envelope_of(kept: NumberedList, numbers: ItemNumbers) -> Envelope:
    """The list as it was, from the numbers of its series."""
    _, _, flags, made_at, length = _HEAD.unpack_from(kept)
    start = _HEAD.size + length
    promoted = b""
    if flags & _PROMOTED:
        promoted = kept[start : envelopes.end_of_promoted(kept, start)]
        start += len(promoted)
    size = 4 if flags & _WIDE else 2
    ids = numbers.ids
    found = struct.unpack_from(f"<{(end_of_numbers(kept) - start) // size}{'I' if flags & _WIDE else 'H'}", kept, start)
    return envelopes.sealed(
        [ids[number] for number in found],
        made_at,
        recommendation_id=kept[_HEAD.size : _HEAD.size + length],
        promoted=promoted,
        is_popular=bool(flags & _POPULAR),
    )


def made_at(kept: NumberedList) -> float:
    """Unix seconds at which the list was made."""
    made: float = _MADE_AT.unpack_from(kept, 3)[0]
    return made


def visible_id(kept: NumberedList) -> bytes:
    """Personalize's id of the list; empty when it has none, or one that no header can hold."""
    if not kept[2] & _VISIBLE_ID:
        return b""
    return kept[_HEAD.size : _HEAD.size + kept[_HEAD.size - 1]]


def first_numbers(kept: NumberedList, count: int) -> tuple[int, ...]:
    """The numbers of its first items, at most so many."""
    flags = kept[2]
    start = _HEAD.size + kept[_HEAD.size - 1]
    if flags & _PROMOTED:
        start = envelopes.end_of_promoted(kept, start)
    end = end_of_numbers(kept) if flags & CHOSEN else len(kept)
    wide = flags & _WIDE
    there = (end - start) >> (2 if wide else 1)
    return unpacked(kept, start, min(count, there), wide=wide)


def end_of_numbers(kept: NumberedList) -> int:
    """Where its numbers end."""
    if not kept[2] & CHOSEN:
        return len(kept)
    end = len(kept) - CHOICES_END.size
    length: int = CHOICES_END.unpack_from(kept, end)[0]
    return end - length


def unpacked(kept: NumberedList, start: int, count: int, *, wide: int) -> tuple[int, ...]:
    """So many numbers of two bytes from here on, or of four."""
    if count < FEW:
        return (_WIDE_AT if wide else NARROW_AT)[count](kept, start)
    return struct.unpack_from(f"<{count}{'I' if wide else 'H'}", kept, start)


def behind(found: Sequence[int], further: Sequence[int]) -> Iterable[int]:
    """A list, and behind it what it does not hold; looked for as far as it is needed."""
    return chain(found, filterfalse(frozenset(found).__contains__, further)) if further else found
