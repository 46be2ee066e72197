"""A batch list as few bytes: its items are numbers into the set's own dictionary.

    created_at u32 | tokens

A token is a number of 7 bits a byte, the low ones first, the high bit on all bytes but the last.

- From 2 on it is the place of an item in the dictionary, plus 2.
- 1 is a UUID that is not in the dictionary, in the 16 bytes that follow.
- 0 is another id: its length (u16) and its UTF-8 follow.

`batch_get.lua` reads this format, too.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from service.models import ItemList

MAX_NUMBERED: Final = 262_144
"""Items in the dictionary of a set: those met first, which are those recommended most. A full one takes some 60 MB of
the loader; ids beyond it are written out."""

_FIRST: Final = 2
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class ItemCodes:
    """The dictionary of a set that is being loaded.

    Args:
        numbered: The items that have a number already, in its order.
    """

    def __init__(self, numbered: Iterable[str] = ()) -> None:
        self._codes = {item_id: _number(place + _FIRST) for place, item_id in enumerate(numbered)}
        self._new: list[tuple[int, str]] = []

    def pack(self, item_list: ItemList) -> bytes:
        """A list as bytes; items met for the first time get a number while there are any."""
        codes = self._codes
        try:
            tokens = b"".join([codes[item_id] for item_id in item_list.item_ids])
        except KeyError:
            tokens = b"".join([codes.get(item_id) or self._code(item_id) for item_id in item_list.item_ids])
        return int(item_list.created_at).to_bytes(4, "big") + tokens

    def take_new(self) -> list[tuple[int, str]]:
        """Places and items numbered since the last call."""
        new, self._new = self._new, []
        return new

    def _code(self, item_id: str) -> bytes:
        place = len(self._codes)
        if place < MAX_NUMBERED:
            self._new.append((place, item_id))
            return self._codes.setdefault(item_id, _number(place + _FIRST))
        if _UUID.fullmatch(item_id):
            return b"\1" + bytes.fromhex(item_id.replace("-", ""))
        text = item_id.encode()
        return b"\0" + len(text).to_bytes(2, "big") + text


def made_at(packed: bytes) -> float:
    """Unix seconds at which the list's file was made, rounded down."""
    return float(int.from_bytes(packed[:4], "big"))


def unpack(packed: bytes, items_at: Callable[[list[int]], Mapping[int, str]]) -> ItemList | None:
    """A list from its bytes; None when they are cut short or name an item that the dictionary lacks.

    Args:
        packed: As `ItemCodes.pack` made them.
        items_at: The dictionary's items at these places.
    """
    tokens = list(_tokens(packed))
    items = items_at([token for token in tokens if isinstance(token, int)])
    ids = tuple(items.get(token, "") if isinstance(token, int) else token for token in tokens)
    return ItemList(ids, "", made_at(packed)) if all(ids) else None


def _tokens(packed: bytes) -> Iterable[int | str]:
    at, end = 4, len(packed)
    while at < end:
        number = shift = 0
        while at < end:
            byte = packed[at]
            number |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:  # noqa: PLR2004  # the high bit says that more follows
                break
        if number >= _FIRST:
            yield number - _FIRST
        elif number == 1:
            digits = packed[at : at + 16].hex()
            yield "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
            at += 16
        else:
            length = int.from_bytes(packed[at : at + 2], "big")
            yield packed[at + 2 : at + 2 + length].decode(errors="replace")
            at += 2 + length


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:  # noqa: PLR2004  # seven bits a byte
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
