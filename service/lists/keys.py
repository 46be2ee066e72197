"""The key of a user's lists: a keyed hash, so that nobody who sees the store sees a user id."""

import hashlib
from collections.abc import Iterable

KEY_BYTES = 15
"""120 bits: no two of any number of users meet, and a Python bytes object of it takes 48 bytes instead of
64."""


class UserKeys:
    """Makes keys for one source of lists."""

    def __init__(self, *, secret: str, scope: str) -> None:
        """Make keys.

        Args:
            secret: Same on every replica; without it a user id cannot be tested against a key.
            scope: What the lists depend on besides the user: the campaign and the filter.
        """
        self._seed = hashlib.blake2b(scope.encode(), key=hashlib.sha256(secret.encode()).digest()).digest()

    def of(self, user_id: str, filter_values: Iterable[tuple[str, str]] = ()) -> bytes:
        """15 bytes; the same for the same user and values on every replica."""
        # With its length, so that no user id reads like another's with filter values behind it.
        user = f"{len(user_id)}:{user_id}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(user, key=self._seed, digest_size=KEY_BYTES)
        for name, value in filter_values:
            digest.update(f"\0{name}={len(value)}:{value}".encode("utf-8", "surrogatepass"))
        return digest.digest()
