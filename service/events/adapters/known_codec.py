"""How Redis keeps what is known of a user: packed, an item as a digest, since item ids are long and users many.

`accept.lua` packs it. Of each type: its length (2 bytes), the type, the number of items (1 byte), and of each item the
digest (6 bytes) and the time (Unix seconds, 4 bytes), the oldest first.
"""

from hashlib import blake2b
from struct import Struct
from typing import Final

ITEM_DIGEST_BYTES: Final = 6
"""Two of a million items share theirs with a chance of 1 in 500; then buying one hides both."""

_ENTRY: Final = Struct(f">{ITEM_DIGEST_BYTES}sI")


def digest_of(item_id: str) -> bytes:
    """What stands for an item."""
    return blake2b(item_id.encode("utf-8", "surrogatepass"), digest_size=ITEM_DIGEST_BYTES).digest()


def unpacked(packed: bytes) -> list[tuple[str, bytes, float]]:
    """Type, digest of the item and Unix seconds of each event, by type."""
    found: list[tuple[str, bytes, float]] = []
    at = 0
    while at < len(packed):
        length = int.from_bytes(packed[at : at + 2])
        kind = packed[at + 2 : at + 2 + length].decode()
        at += 2 + length
        end = at + 1 + packed[at] * _ENTRY.size
        found += [(kind, digest, float(seconds)) for digest, seconds in _ENTRY.iter_unpack(packed[at + 1 : end])]
        at = end
    return found
