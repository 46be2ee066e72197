"""What rules made of a list, kept behind its numbers, so that later answers find it there.

A choice is a tag and the numbers of the items that are shown. Its maker knows by the tag what else it depends on,
and whether it still holds. It goes where its list goes.

    each choice: tag u32 | size u16 | numbers        the latest first; at the end of all: their length u16

The tag's upper bytes say who made it. The lowest bit of the size says that numbers take four bytes instead of two.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from service.lists.numbers import CHOICES_END, CHOSEN, FEW, NARROW_AT, NumberedList, end_of_numbers, unpacked

MAX_CHOICES: Final = 8
"""Kept with one list: as many placements with rules of their own may show it, or as many lengths of answers."""

MAX_CHOSEN: Final = 1_000
"""Items of one choice; with more it is not kept."""

MAX_CHOOSERS: Final = 1 << 12
TAGS_EACH: Final = 1 << 20
"""A chooser's tags begin with its number times this."""

_CHOICE: Final = struct.Struct("<IH")
_FLAGS: Final = tuple(bytes((flags,)) for flags in range(256))


def _struct_of(count: int, kind: str = "H") -> struct.Struct:
    return struct.Struct(f"{_CHOICE.format}{count}{kind}")


_NARROW: Final = tuple(map(_struct_of, range(FEW)))

# Bound once: every hit of a placement with rules asks them.
_head_at: Final = _CHOICE.unpack_from
_length_at: Final = CHOICES_END.unpack_from

Known = TypeVar("Known")


def choice_in(kept: NumberedList, known: Mapping[int, Known]) -> tuple[Known, tuple[int, ...]] | None:
    """What is known of the first choice with one of these tags, and its numbers; None if there is none."""
    if not kept[2] & CHOSEN:
        return None
    end = len(kept) - CHOICES_END.size
    start = end - _length_at(kept, end)[0]
    while start < end:
        tag, size = _head_at(kept, start)
        start += _CHOICE.size
        found = known.get(tag)
        if found is not None:
            if size & 1:
                return found, unpacked(kept, start, size >> 2, wide=True)
            count = size >> 1
            return found, NARROW_AT[count](kept, start) if count < FEW else unpacked(kept, start, count, wide=False)
        start += size & ~1
    return None


def with_choice(kept: NumberedList, tag: int, shown: Sequence[int], lives: Callable[[int], bool]) -> NumberedList:
    """The list with one more choice, or as it is if that is too large.

    Args:
        kept: The list.
        tag: Of the choice.
        shown: Its numbers.
        lives: Whether another choice of the same maker, by its tag, stays.
    """
    count = len(shown)
    if count > MAX_CHOSEN:
        return kept
    try:
        choice = (_NARROW[count] if count < FEW else _struct_of(count)).pack(tag, 2 * count, *shown)
    except struct.error:
        choice = _struct_of(count, "I").pack(tag, 4 * count | 1, *shown)
    if not kept[2] & CHOSEN:
        return NumberedList(
            b"".join((kept[:2], _FLAGS[kept[2] | CHOSEN], kept[3:], choice, CHOICES_END.pack(len(choice))))
        )
    start = end_of_numbers(kept)
    others = _others(kept, start, tag // TAGS_EACH, lives)
    return NumberedList(b"".join((kept[:start], choice, others, CHOICES_END.pack(len(choice) + len(others)))))


def _others(kept: NumberedList, start: int, chooser: int, lives: Callable[[int], bool]) -> bytes:
    """The choices that stay, the latest of them."""
    end = len(kept) - CHOICES_END.size
    found: list[bytes] = []
    while start < end and len(found) < MAX_CHOICES - 1:
        tag, size = _CHOICE.unpack_from(kept, start)
        behind = start + _CHOICE.size + (size & ~1)
        if tag // TAGS_EACH != chooser or lives(tag):
            found.append(kept[start:behind])
        start = behind
    return b"".join(found)
