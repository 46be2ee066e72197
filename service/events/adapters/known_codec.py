"""How Redis keeps what is known of a user: packed, an item as a digest, since item ids are long and users many.

`accept.lua` packs it. Of each type: its digest (3 bytes), the number of items (1 byte), and of each item the digest
(6 bytes) and the time (Unix seconds, 4 bytes), the oldest first.
"""

from hashlib import blake2b
from struct import Struct
from typing import Final

ITEM_DIGEST_BYTES: Final = 6
"""Two of a million items share theirs with a chance of 1 in 500; then buying one hides both."""

KIND_DIGEST_BYTES: Final = 3
"""Two of ten types share theirs with a chance of 1 in 400,000."""

_ENTRY: Final = Struct(f">{ITEM_DIGEST_BYTES}sI")


def digest_of(item_id: str) -> bytes:
    """What stands for an item."""
    return blake2b(item_id.encode("utf-8", "surrogatepass"), digest_size=ITEM_DIGEST_BYTES).digest()


def digest_of_kind(event_type: str) -> bytes:
    """What stands for a type of event."""
    return blake2b(event_type.encode("utf-8", "surrogatepass"), digest_size=KIND_DIGEST_BYTES).digest()


def unpacked(packed: bytes) -> list[tuple[bytes, bytes, float]]:
    """Digests of type and item, and Unix seconds of each event, by type; of bytes that were cut, what is whole."""
    found: list[tuple[bytes, bytes, float]] = []
    at = 0
    while at + KIND_DIGEST_BYTES < len(packed):
        kind = packed[at : at + KIND_DIGEST_BYTES]
        at += KIND_DIGEST_BYTES + 1
        end = at + packed[at - 1] * _ENTRY.size
        entries = packed[at:end]
        whole = entries[: len(entries) // _ENTRY.size * _ENTRY.size]
        found += [(kind, digest, float(seconds)) for digest, seconds in _ENTRY.iter_unpack(whole)]
        at = end
    return found
