"""Who may ask. Secrets are compared in constant time, all of them each time, so that time tells nothing."""

import base64
import hmac
from collections.abc import Iterable, Sequence

Headers = Iterable[tuple[bytes, bytes]]


class Gate:
    """Knows the credentials that Braze can send: `X-API-Key`, `Authorization: Bearer`, HTTP Basic.

    Args:
        api_keys: Any of them opens; several at once for rotation.
        basic: `user:password`, or None.
        admin_keys: Open what an API key opens, and the administration.
        anonymous: Whether recommendations need no credential.
    """

    def __init__(
        self, *, api_keys: Sequence[str], basic: str | None, admin_keys: Sequence[str], anonymous: bool
    ) -> None:
        self._keys = [key.encode() for key in (*api_keys, *admin_keys)]
        self._admin_keys = [key.encode() for key in admin_keys]
        self._basic = base64.b64encode(basic.encode()) if basic else None
        self._anonymous = anonymous

    @property
    def anonymous(self) -> bool:
        """Whether recommendations need no credential."""
        return self._anonymous

    def admits(self, headers: Headers) -> bool:
        """Whether these headers may read recommendations."""
        return self._anonymous or self._known(headers, self._keys, self._basic)

    def admits_admin(self, headers: Headers) -> bool:
        """Whether these headers may administrate; never without an admin key."""
        return self._known(headers, self._admin_keys, None)

    @staticmethod
    def _known(headers: Headers, keys: Sequence[bytes], basic: bytes | None) -> bool:
        found = False
        for name, value in headers:
            if name == b"x-api-key":
                found |= _any_equal(value.strip(), keys)
            elif name == b"authorization":
                scheme, _, credential = value.partition(b" ")
                credential = credential.strip()
                if scheme.lower() == b"bearer":
                    found |= _any_equal(credential, keys)
                elif scheme.lower() == b"basic" and basic is not None:
                    found |= hmac.compare_digest(credential, basic)
        return found


def _any_equal(value: bytes, keys: Sequence[bytes]) -> bool:
    found = False
    for key in keys:
        found |= hmac.compare_digest(value, key)
    return found
