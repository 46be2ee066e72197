"""Sessions without a store: a cookie that is signed with what all replicas know, and tokens that go with it."""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from itsdangerous import BadSignature, Signer, TimestampSigner

from service.clock import Clock
from service.credentials import is_hashed

SESSION_SECONDS: Final = 8 * 3600
"""How long a login lasts: a working day."""

VISIT_SECONDS: Final = 24 * 3600
"""How long a login page may lie open before its form is refused."""

MAX_COOKIE_CHARACTERS: Final = 200
"""Longest cookie that is looked at; ours have about a hundred."""

_NONCE_BYTES: Final = 16


def signing_key_of(secret: str, admin_keys: Sequence[str]) -> bytes | None:
    """What signs sessions, the same wherever the same is configured; None if nothing secret is.

    All admin keys go into it, so a key that is taken away ends the sessions that it opened, and all others with them.
    A hash is no secret: that one may see it and still not get in is what it is for. So hashes sign nothing by
    themselves.

    Args:
        secret: CONSOLE_SECRET; empty if there is none.
        admin_keys: As they are written, hashed or not.
    """
    if not secret and all(is_hashed(key) for key in admin_keys):
        return None
    key = hashlib.blake2b(person=b"console", digest_size=32)
    for one in (secret, *sorted(admin_keys)):
        key.update(hashlib.blake2b(one.encode()).digest())
    return key.digest()


class Sessions:
    """Makes and knows cookies of one kind.

    Args:
        key: Signs them.
        kind: A cookie of another kind is not known.
        clock: Tells their age.
        seconds: How long they are good.
    """

    def __init__(self, key: bytes, kind: str, clock: Clock, seconds: int) -> None:
        self.seconds = seconds
        self._cookies = _ClockedSigner(clock, key, salt=f"console {kind}", digest_method=hashlib.sha256)
        self._tokens = Signer(key, salt=f"console {kind} token", digest_method=hashlib.sha256)

    def new(self) -> str:
        """A cookie."""
        return self._cookies.sign(secrets.token_urlsafe(_NONCE_BYTES)).decode()

    def knows(self, cookie: str) -> bool:
        """Whether it is one of these, and young enough."""
        if not cookie or len(cookie) > MAX_COOKIE_CHARACTERS:
            return False
        try:
            self._cookies.unsign(cookie, max_age=self.seconds)
        except (BadSignature, UnicodeError):
            return False
        return True

    def token_of(self, cookie: str) -> str:
        """What a page with this cookie sends with every POST."""
        return self._tokens.get_signature(cookie).decode()

    def goes_with(self, token: str, cookie: str) -> bool:
        """Whether this is that token."""
        return len(token) <= MAX_COOKIE_CHARACTERS and self._tokens.verify_signature(cookie, token)


class _ClockedSigner(TimestampSigner):
    def __init__(self, clock: Clock, key: bytes, **kinds: object) -> None:
        super().__init__(key, **kinds)  # type: ignore[arg-type]  # the parameters of its base
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock.time())
