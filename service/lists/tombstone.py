"""What is remembered of a user who was forgotten, so that no store brings back what it had of them.

It finds the user's lists among others without saying which user it was: two bytes of the user prefix, shared with
one in 65,536, and a hash of the whole.
"""

from collections import defaultdict
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from service.lists.keys import UserPrefix

BUCKET_BYTES: Final = 2

_HASH_BYTES: Final = 16

STONE_BYTES: Final = BUCKET_BYTES + 1 + _HASH_BYTES


def tombstone(user_prefix: UserPrefix) -> bytes:
    """The tombstone of a user."""
    return user_prefix[:BUCKET_BYTES] + bytes([len(user_prefix)]) + _hash(user_prefix)


def buries(stone: bytes, key: bytes) -> bool:
    """Whether the key is one of the tombstone's user. A key with other first two bytes never is."""
    return _hash(key[: stone[BUCKET_BYTES]]) == stone[BUCKET_BYTES + 1 :]


class Tombstones:
    """Some tombstones, to look keys up among."""

    def __init__(self, stones: Iterable[bytes]) -> None:
        self._by_bucket: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for stone in stones:
            if len(stone) == STONE_BYTES:
                self._by_bucket[stone[:BUCKET_BYTES]].append(stone)

    def bury(self, key: bytes) -> bool:
        """Whether the key is one of a forgotten user's."""
        stones = self._by_bucket.get(key[:BUCKET_BYTES])
        return stones is not None and any(buries(stone, key) for stone in stones)


def _hash(user_prefix: bytes) -> bytes:
    return blake2b(user_prefix, digest_size=_HASH_BYTES).digest()
