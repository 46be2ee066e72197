"""What is kept of a user who is forgotten while a set is loaded, so that lists still to come are left out.

A tombstone finds the user's lists among others without naming the user: two bytes of the user prefix, which one user in
65,536 shares, and a hash of the whole prefix.
"""

from hashlib import blake2b
from typing import Final

from service.lists.keys import UserPrefix

BUCKET_BYTES: Final = 2

_HASH_BYTES: Final = 16


def tombstone(user_prefix: UserPrefix) -> bytes:
    """The tombstone of a user."""
    return user_prefix[:BUCKET_BYTES] + bytes([len(user_prefix)]) + _hash(user_prefix)


def buries(stone: bytes, key: bytes) -> bool:
    """Whether the key is one of the tombstone's user. A key with other first two bytes never is."""
    return _hash(key[: stone[BUCKET_BYTES]]) == stone[BUCKET_BYTES + 1 :]


def _hash(user_prefix: bytes) -> bytes:
    return blake2b(user_prefix, digest_size=_HASH_BYTES).digest()
