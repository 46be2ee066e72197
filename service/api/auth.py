"""Who may ask. No comparison takes longer the more of a secret was guessed.

`service.credentials` says how secrets may be written. Credentials are counted and measured before they are looked at.
"""

import base64
import binascii
import secrets
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from starlette.exceptions import HTTPException

from service.api.slow_checks import SlowChecks
from service.clock import Clock, SystemClock
from service.credentials import MAX_SECRET_BYTES, Access, HashedSecret, SlowlyHashedSecret
from service.errors import Unauthorized
from service.models import NOBODY, Sender, sender_of_key, sender_of_password

Headers = Iterable[tuple[bytes, bytes]]

MAX_CREDENTIALS: Final = 4
"""Of a request; with more, none of them is looked at. Braze sends one."""

CREDENTIALS: Final = frozenset({b"x-api-key", b"authorization"})
"""Headers that hold them."""

_MAX_WRITTEN_BYTES: Final = MAX_SECRET_BYTES * 2
"""Of a header: Base64 makes four bytes of three, and a scheme stands before it."""


class Gate:
    """Knows the credentials that Braze can send: `X-API-Key`, `Authorization: Bearer`, HTTP Basic.

    Args:
        api_keys: Any of them opens; several at once for rotation; each as it is or hashed.
        basic: `user:password`, one or several, each as it is or hashed; or None.
        admin_keys: Open what an API key opens, and the administration.
        anonymous: Whether recommendations need no credential.
        clock: Measures slow hashes.
    """

    def __init__(
        self,
        *,
        api_keys: Sequence[str],
        basic: Sequence[str] | None,
        admin_keys: Sequence[str],
        anonymous: bool,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._keys = _Secrets([*api_keys, *admin_keys], clock)
        self._admin_keys = _Secrets(admin_keys, clock)
        self._basic = _Secrets([basic] if isinstance(basic, str) else basic or (), clock)
        self._anonymous = anonymous
        self.takes_basic = bool(basic)
        """Whether HTTP Basic opens it."""
        self.takes_keys = bool(api_keys)
        """Whether a key opens it, other than one of an administrator."""

    @property
    def anonymous(self) -> bool:
        """Whether recommendations need no credential."""
        return self._anonymous

    def admits(self, headers: Headers) -> bool:
        """Whether these headers may read recommendations, as far as that is known without a wait."""
        if self._anonymous:
            return True
        keys, pairs = _sent(headers)
        return self._keys.hold(keys) | self._basic.hold(pairs)

    def admits_admin(self, headers: Headers) -> bool:
        """Whether these headers may administrate, as far as that is known without a wait."""
        return self._admin_keys.hold(_sent(headers)[0])

    async def lets_in(self, headers: Headers) -> bool:
        """Whether these headers may read recommendations."""
        if self.admits(headers):
            return True
        keys, pairs = _sent(headers)
        return await self._keys.hold_slowly(keys) or await self._basic.hold_slowly(pairs)

    async def lets_administrate(self, headers: Headers) -> bool:
        """Whether these headers may administrate; never without an admin key."""
        return self.admits_admin(headers) or await self._admin_keys.hold_slowly(_sent(headers)[0])

    def sender_of(self, headers: Headers) -> Sender:
        """Whose credential is among these headers that were let in; nobody's where none is needed and none known."""
        keys, pairs = _sent(headers)
        for sender_at, known, sent in ((sender_of_key, self._keys, keys), (sender_of_password, self._basic, pairs)):
            for secret in sent:
                place = known.place_of(secret)
                if place is not None:
                    return sender_at(place)
        return NOBODY

    async def let_in(self, access: Access, headers: Headers) -> None:
        """Do nothing if these headers may see a page of this access.

        Raises:
            HTTPException: The page is off; 404.
            Unauthorized: The page is keyed, and no known credential was sent.
        """
        if access == "off":
            raise HTTPException(404)
        if access == "keyed" and not await self.lets_in(headers):
            raise Unauthorized


class _Secrets:
    """Marks of secrets, keyed with what only this process knows: looking one up tells nothing about the secret."""

    def __init__(self, written: Iterable[str], clock: Clock) -> None:
        self._mark_key = secrets.token_bytes(32)
        self._known: dict[bytes, int] = {}
        """The place of the secret, among those that are written."""
        self._hashed: dict[int, HashedSecret] = {}
        slow: dict[int, SlowlyHashedSecret] = {}
        for place, one in enumerate(written):
            if hashed := HashedSecret.parse(one):
                self._hashed[place] = hashed
            elif slowly_hashed := SlowlyHashedSecret.parse(one):
                slow[place] = slowly_hashed
            else:
                self._known[self._mark(one.encode())] = place
        self._slow = SlowChecks(slow, clock, self._known.__setitem__) if slow else None

    def place_of(self, secret: bytes) -> int | None:
        """Of a secret that has been held; None of any other."""
        return self._known.get(self._mark(secret))

    def hold(self, sent: Sequence[bytes]) -> bool:
        """Whether one of these is known without a wait."""
        found = False
        for secret in sent:
            found |= self._hold(secret)
        return found

    async def hold_slowly(self, sent: Sequence[bytes]) -> bool:
        """Whether one of these, none of which is known without a wait, matches a slow hash."""
        if self._slow is None:
            return False
        for secret in sent:
            if await self._slow.check(self._mark(secret), secret):
                return True
        return False

    def _hold(self, secret: bytes) -> bool:
        mark = self._mark(secret)
        if mark in self._known:
            return True
        found = [place for place, hashed in self._hashed.items() if hashed.matches(secret)]
        if found:
            # One for each hash at most, since no other secret has it.
            self._known[mark] = found[0]
        return bool(found)

    def _mark(self, secret: bytes) -> bytes:
        return blake2b(secret, key=self._mark_key, digest_size=16).digest()


def _sent(headers: Headers) -> tuple[list[bytes], list[bytes]]:
    """The keys and the `user:password` of a request; none of either if there are more than there may be."""
    keys: list[bytes] = []
    pairs: list[bytes] = []
    count = 0
    for name, value in headers:
        if name not in CREDENTIALS:
            continue
        count += 1
        if count > MAX_CREDENTIALS:
            return [], []
        if len(value) > _MAX_WRITTEN_BYTES:
            continue
        if name == b"x-api-key":
            keys.append(value.strip())
            continue
        scheme, _, credential = value.partition(b" ")
        scheme, credential = scheme.lower(), credential.strip()
        if scheme == b"bearer":
            keys.append(credential)
        elif scheme == b"basic":
            try:
                pairs.append(base64.b64decode(credential, validate=True))
            except binascii.Error:
                continue
    return keys, pairs
