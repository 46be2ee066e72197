"""Who may ask. No comparison takes longer the more of a secret was guessed.

Secrets may be written as themselves or hashed, as `hash_key` does. A single keyed digest is enough for a key that
nobody can guess, and costs a microsecond; a slow one would add nothing but a way to keep the service busy with wrong
keys. That is why `hash_key` refuses what is short.
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final, Literal

from starlette.exceptions import HTTPException

from service.errors import Unauthorized

Headers = Iterable[tuple[bytes, bytes]]

Access = Literal["open", "keyed", "off"]
"""Who gets a page that tells about the service: everybody, whoever may read recommendations, nobody."""

HASH_PREFIX: Final = "blake2b:"
"""What a hashed secret begins with."""

MIN_HASHED_CHARACTERS: Final = 24
"""Of a secret that is kept as a fast hash: 24 random hexadecimal digits are 96 bits, which nobody tries out."""

_HASHED = re.compile(r"blake2b:([0-9a-f]{32}):([0-9a-f]{64})")


class Gate:
    """Knows the credentials that Braze can send: `X-API-Key`, `Authorization: Bearer`, HTTP Basic.

    Args:
        api_keys: Any of them opens; several at once for rotation; each as it is or hashed.
        basic: `user:password`, one or several, each as it is or hashed; or None.
        admin_keys: Open what an API key opens, and the administration.
        anonymous: Whether recommendations need no credential.
    """

    def __init__(
        self,
        *,
        api_keys: Sequence[str],
        basic: Sequence[str] | None,
        admin_keys: Sequence[str],
        anonymous: bool,
    ) -> None:
        self._keys = _Secrets([*api_keys, *admin_keys])
        self._admin_keys = _Secrets(admin_keys)
        self._basic = _Secrets([basic] if isinstance(basic, str) else basic or ())
        self._anonymous = anonymous

    @property
    def anonymous(self) -> bool:
        """Whether recommendations need no credential."""
        return self._anonymous

    def admits(self, headers: Headers) -> bool:
        """Whether these headers may read recommendations."""
        return self._anonymous or _known(headers, self._keys, self._basic)

    def admits_admin(self, headers: Headers) -> bool:
        """Whether these headers may administrate; never without an admin key."""
        return _known(headers, self._admin_keys, None)

    def let_in(self, access: Access, headers: Headers) -> None:
        """Do nothing if these headers may see a page of this access.

        Raises:
            HTTPException: The page is off; 404.
            Unauthorized: The page is keyed, and no known credential was sent.
        """
        if access == "off":
            raise HTTPException(404)
        if access == "keyed" and not self.admits(headers):
            raise Unauthorized


class _Secrets:
    """Marks of secrets, keyed with what only this process knows: looking one up tells nothing about the secret."""

    def __init__(self, written: Iterable[str]) -> None:
        self._mark_key = secrets.token_bytes(32)
        self._known: set[bytes] = set()
        self._hashed: list[tuple[bytes, bytes]] = []
        for one in written:
            if parts := _HASHED.fullmatch(one):
                self._hashed.append((bytes.fromhex(parts[1]), bytes.fromhex(parts[2])))
            else:
                self._known.add(self._mark(one.encode()))

    def hold(self, secret: bytes) -> bool:
        mark = self._mark(secret)
        if mark in self._known:
            return True
        found = False
        for salt, digest in self._hashed:
            found |= hmac.compare_digest(_digest(secret, salt), digest)
        if found:
            # One for each hash at most, since no other secret has it.
            self._known.add(mark)
        return found

    def _mark(self, secret: bytes) -> bytes:
        return blake2b(secret, key=self._mark_key, digest_size=16).digest()


def hash_key(key: str) -> str:
    """A key as it may stand in a file that others read.

    Raises:
        ValueError: It is so short that it could be found from its hash.
    """
    if len(key) < MIN_HASHED_CHARACTERS:
        raise ValueError(f"at least {MIN_HASHED_CHARACTERS} characters, not {len(key)}")
    salt = secrets.token_bytes(16)
    return f"{HASH_PREFIX}{salt.hex()}:{_digest(key.encode(), salt).hex()}"


def is_hashed(written: str) -> bool:
    """Whether this is what `hash_key` makes."""
    return _HASHED.fullmatch(written) is not None


def _digest(secret: bytes, salt: bytes) -> bytes:
    return blake2b(secret, key=salt, digest_size=32).digest()


def _known(headers: Headers, keys: _Secrets, basic: _Secrets | None) -> bool:
    found = False
    for name, value in headers:
        if name == b"x-api-key":
            found |= keys.hold(value.strip())
        elif name == b"authorization":
            scheme, _, credential = value.partition(b" ")
            scheme, credential = scheme.lower(), credential.strip()
            if scheme == b"bearer":
                found |= keys.hold(credential)
            elif scheme == b"basic" and basic is not None:
                try:
                    found |= basic.hold(base64.b64decode(credential, validate=True))
                except binascii.Error:
                    continue
    return found
