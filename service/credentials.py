"""How a credential is written in a setting: as it is, or hashed. Settings check the format, and the gate uses it.

A single keyed digest is enough for a secret that nobody can guess, and it costs a microsecond. A password that a person
has made up can be guessed, so it gets a slow hash: the gate computes that once for each credential, in a thread.
"""

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, Self

Access = Literal["open", "keyed", "off"]
"""Who gets a page about the service: everybody; everybody who may read recommendations; nobody."""

HASH_PREFIX: Final = "blake2b:"
"""What a fast hash begins with."""

SLOW_HASH_PREFIX: Final = "scrypt:"
"""What a slow hash begins with."""

MIN_KEY_CHARACTERS: Final = 24
"""Shortest key, as it is or as a fast hash: 24 random hexadecimal digits are 96 bits, too many to try out."""

MIN_PASSWORD_CHARACTERS: Final = 8
"""Shortest password that may be kept as a slow hash."""

MAX_SECRET_BYTES: Final = 1_024
"""Longest credential; a longer one is not looked at."""

_SALT_BYTES: Final = 16
_DIGEST_BYTES: Final = 32
_SALT_AND_DIGEST = rf"([0-9a-f]{{{2 * _SALT_BYTES}}}):([0-9a-f]{{{2 * _DIGEST_BYTES}}})"
_HASHED = re.compile(HASH_PREFIX + _SALT_AND_DIGEST)
_SLOWLY_HASHED = re.compile(SLOW_HASH_PREFIX + r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2}):" + _SALT_AND_DIGEST)

_COST: Final = (14, 8, 5)
"""16 MiB and a fifth of a second of one core. Source: OWASP's Password Storage Cheat Sheet, scrypt."""

_MAX_MEMORY_BYTES: Final = 64 * 2**20

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Zl", "Zp"})
"""Unicode's categories of what no editor shows and no header carries."""


class HashedSecret(NamedTuple):
    """A secret of which only a salted digest is known."""

    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, written: str) -> Self | None:
        """The fast hash that `hash_key` wrote; None for anything else, such as a secret as it is."""
        parts = _HASHED.fullmatch(written)
        return None if parts is None else cls(bytes.fromhex(parts[1]), bytes.fromhex(parts[2]))

    def matches(self, secret: bytes) -> bool:
        """Whether this is the hash of that secret; the time taken says nothing about either."""
        return hmac.compare_digest(_digest(secret, self.salt), self.digest)


class SlowlyHashedSecret(NamedTuple):
    """A secret of which only the digest of a slow hash is known."""

    log2_n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, written: str) -> Self | None:
        """The slow hash that `hash_key` wrote; None for anything else, and for one that would take too long."""
        parts = _SLOWLY_HASHED.fullmatch(written)
        if parts is None:
            return None
        log2_n, r, p = map(int, parts.groups()[:3])
        memory_bytes = 128 * r * 2**log2_n
        if not (log2_n and r and p) or memory_bytes >= _MAX_MEMORY_BYTES or memory_bytes * p > 2 * _MAX_MEMORY_BYTES:
            return None
        return cls(log2_n, r, p, bytes.fromhex(parts[4]), bytes.fromhex(parts[5]))

    def matches(self, secret: bytes) -> bool:
        """Whether this is the hash of that secret; takes a good part of a second, and not the interpreter's lock."""
        return hmac.compare_digest(_slow_digest(secret, self.salt, self.log2_n, self.r, self.p), self.digest)


def hash_key(key: str) -> str:
    """A key, or `user:password`, as it may stand in a file that others read.

    Raises:
        ValueError: It is so short that it could be found from its hash, or could not be used.
    """
    key = key.strip().removeprefix("\ufeff")
    user, colon, password = key.partition(":")
    measured, fewest = (password, MIN_PASSWORD_CHARACTERS) if colon else (key, MIN_KEY_CHARACTERS)
    of = f" behind {user}:" if colon else ""
    if len(measured) < fewest:
        raise ValueError(f"at least {fewest} characters{of}, not {len(measured)}")
    for oddity in oddities(key):
        raise ValueError(oddity)
    if "," in key and not colon:
        raise ValueError("holds a comma, which stands between keys")
    salt = secrets.token_bytes(_SALT_BYTES)
    if len(measured) >= MIN_KEY_CHARACTERS:
        return f"{HASH_PREFIX}{salt.hex()}:{_digest(key.encode(), salt).hex()}"
    cost = ":".join(map(str, _COST))
    return f"{SLOW_HASH_PREFIX}{cost}:{salt.hex()}:{_slow_digest(key.encode(), salt, *_COST).hex()}"


def oddities(secret: str) -> Iterator[str]:
    """Why a credential would open to nobody, though it looks like one; it is not repeated."""
    if len(secret) > 1 and secret[0] == secret[-1] and secret[0] in "\"'`":
        yield "is in quotes; write it without them"
    for letter in secret:
        if unicodedata.category(letter) in _INVISIBLE:
            yield f"holds an invisible character, U+{ord(letter):04X}; write it anew"
            break
    if len(secret.encode(errors="replace")) > MAX_SECRET_BYTES:
        yield f"is longer than {MAX_SECRET_BYTES} bytes"


def is_hashed(written: str) -> bool:
    """Whether this is what `hash_key` makes."""
    return HashedSecret.parse(written) is not None or SlowlyHashedSecret.parse(written) is not None


def is_cut_short(written: str) -> bool:
    """Whether this begins as a hash does and is none; read as a secret, it would open to nobody."""
    return written.startswith((HASH_PREFIX, SLOW_HASH_PREFIX)) and not is_hashed(written)


def is_short(written: str) -> bool:
    """Whether this is a key as it is that somebody could guess."""
    return not written.startswith((HASH_PREFIX, SLOW_HASH_PREFIX)) and len(written) < MIN_KEY_CHARACTERS


def _digest(secret: bytes, salt: bytes) -> bytes:
    return hashlib.blake2b(secret, key=salt, digest_size=_DIGEST_BYTES).digest()


def _slow_digest(secret: bytes, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(secret, salt=salt, n=2**log2_n, r=r, p=p, maxmem=2 * _MAX_MEMORY_BYTES, dklen=_DIGEST_BYTES)
