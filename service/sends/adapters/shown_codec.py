"""What a user was shown in the last sends, as bytes: for each send its digest, the number of items, their digests."""

from collections.abc import Sequence

from service.sends.ports import MAX_ITEMS_OF_A_SEND, MAX_SENDS, SHORT_BYTES, ShownItems


def unpack_shown(packed: bytes) -> list[ShownItems]:
    """The sends, the latest last; what is cut short is left out."""
    found, at = [], 0
    while at + SHORT_BYTES < len(packed):
        send, count = packed[at : at + SHORT_BYTES], packed[at + SHORT_BYTES]
        first = at + SHORT_BYTES + 1
        at = first + count * SHORT_BYTES
        if at > len(packed):
            break
        found.append(ShownItems(send, tuple(packed[n : n + SHORT_BYTES] for n in range(first, at, SHORT_BYTES))))
    return found


def pack_shown(shown: Sequence[ShownItems]) -> bytes:
    """The same as bytes."""
    return b"".join(one.send + bytes([len(one.items)]) + b"".join(one.items) for one in shown)


def with_shown(packed: bytes, new: ShownItems) -> bytes:
    """With what was shown now, at the end; a send that is there already gets the items that it lacks."""
    kept = unpack_shown(packed)
    place = next((place for place, one in enumerate(kept) if one.send == new.send), len(kept))
    before = kept[place].items if place < len(kept) else ()
    items = tuple(dict.fromkeys((*before, *new.items)))[:MAX_ITEMS_OF_A_SEND]
    kept[place : place + 1] = [ShownItems(new.send, items)]
    return pack_shown(kept[-MAX_SENDS:])
