"""What is remembered of a user who was forgotten while a set is loaded, so that lines still to come are left out.

It finds the user's lists among others without saying which user it was: two bytes of the user prefix, shared with
one in 65,536, and a hash of the whole.
"""

from hashlib import blake2b
from typing import Final

BUCKET_BYTES: Final = 2

_HASH_BYTES: Final = 16


def tombstone(user_prefix: bytes) -> bytes:
    """Of the user whose keys begin so."""
    return user_prefix[:BUCKET_BYTES] + bytes([len(user_prefix)]) + _hash(user_prefix)


def buries(stone: bytes, key: bytes) -> bool:
    """Whether the key is one of the user's; keys with other first two bytes never are."""
    return _hash(key[: stone[BUCKET_BYTES]]) == stone[BUCKET_BYTES + 1 :]


def _hash(user_prefix: bytes) -> bytes:
    return blake2b(user_prefix, digest_size=_HASH_BYTES).digest()
