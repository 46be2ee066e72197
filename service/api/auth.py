"""Who may ask. No comparison takes longer the more of a secret was guessed.

`service.credentials` says how secrets may be written.
"""

import base64
import binascii
import secrets
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from starlette.exceptions import HTTPException

from service.credentials import Access, HashedSecret
from service.errors import Unauthorized

Headers = Iterable[tuple[bytes, bytes]]


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
        self._hashed: list[HashedSecret] = []
        for one in written:
            if hashed := HashedSecret.parse(one):
                self._hashed.append(hashed)
            else:
                self._known.add(self._mark(one.encode()))

    def hold(self, secret: bytes) -> bool:
        mark = self._mark(secret)
        if mark in self._known:
            return True
        found = False
        for hashed in self._hashed:
            found |= hashed.matches(secret)
        if found:
            # One for each hash at most, since no other secret has it.
            self._known.add(mark)
        return found

    def _mark(self, secret: bytes) -> bytes:
        return blake2b(secret, key=self._mark_key, digest_size=16).digest()


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
