"""How a credential is written in a setting: as it is, or hashed. Settings check the format, and the gate uses it.

A single keyed digest is enough for a key that nobody can guess, and it costs a microsecond. A slow hash would only let
callers with wrong keys keep the service busy. That is why `hash_key` refuses a short key.
"""

import hmac
import re
import secrets
from hashlib import blake2b
from typing import Final, Literal, NamedTuple, Self

Access = Literal["open", "keyed", "off"]
"""Who gets a page about the service: everybody; everybody who may read recommendations; nobody."""

HASH_PREFIX: Final = "blake2b:"
"""What a hashed secret begins with."""

MIN_KEY_CHARACTERS: Final = 24
"""Shortest key, as it is or as a fast hash: 24 random hexadecimal digits are 96 bits, too many to try out."""

_SALT_BYTES: Final = 16
_DIGEST_BYTES: Final = 32
_HASHED = re.compile(rf"{HASH_PREFIX}([0-9a-f]{{{2 * _SALT_BYTES}}}):([0-9a-f]{{{2 * _DIGEST_BYTES}}})")


class HashedSecret(NamedTuple):
    """A secret of which only a salted digest is known."""

    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, written: str) -> Self | None:
        """The hash that `hash_key` wrote; None for anything else, such as a secret as it is."""
        parts = _HASHED.fullmatch(written)
        return None if parts is None else cls(bytes.fromhex(parts[1]), bytes.fromhex(parts[2]))

    def matches(self, secret: bytes) -> bool:
        """Whether this is the hash of that secret; the time taken says nothing about either."""
        return hmac.compare_digest(_digest(secret, self.salt), self.digest)


def hash_key(key: str) -> str:
    """A key as it may stand in a file that others read.

    Raises:
        ValueError: It is so short that it could be found from its hash.
    """
    if len(key) < MIN_KEY_CHARACTERS:
        raise ValueError(f"at least {MIN_KEY_CHARACTERS} characters, not {len(key)}")
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"{HASH_PREFIX}{salt.hex()}:{_digest(key.encode(), salt).hex()}"


def is_hashed(written: str) -> bool:
    """Whether this is what `hash_key` makes."""
    return HashedSecret.parse(written) is not None


def is_cut_short(written: str) -> bool:
    """Whether this begins as a hash does and is none; read as a secret, it would open to nobody."""
    return written.startswith(HASH_PREFIX) and not is_hashed(written)


def _digest(secret: bytes, salt: bytes) -> bytes:
    return blake2b(secret, key=salt, digest_size=_DIGEST_BYTES).digest()


def is_short(written: str) -> bool:
    """Whether this is a key as it is that somebody could guess."""
    return not written.startswith(HASH_PREFIX) and len(written) < MIN_KEY_CHARACTERS
