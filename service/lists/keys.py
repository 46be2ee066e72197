"""The keys of a user's lists: keyed hashes, so that nobody who sees a store sees a user id.

    | user prefix, 8 bytes | 4 more of the user | 3 of the scope |     the user's plain list
    | user prefix, 8 bytes | 8 of what changes the list, scope included |  with filter values, context, items, ...

All keys of a user begin alike in every scope, so that all of a user's lists are found without an index. The two kinds
differ in length.
"""

import hashlib
from collections.abc import Callable
from typing import Final, NewType

from service.models import ListRequest

UserKey = NewType("UserKey", bytes)
"""Key of one list."""

UserPrefix = NewType("UserPrefix", bytes)
"""What all of a user's keys begin with."""

KEY_BYTES: Final = 15
"""Of a plain list's key. A Python bytes object of it takes 48 bytes instead of 64. 96 bits name the user, so that no
two of any number of users meet."""

USER_PREFIX_BYTES: Final = 8
"""Two of ten million users share them with a chance of 1 in 400,000, and then are forgotten together."""

_USER_BYTES: Final = 12


class UserKeys:
    """Makes the keys of one scope."""

    def __init__(self, *, secret: str, scope: str) -> None:
        """Make keys.

        Args:
            secret: Same on every replica; without it a user id cannot be tested against a key.
            scope: What the lists depend on besides the request: the campaign and the filter.
        """
        self._seed = hashlib.sha256(secret.encode()).digest()
        self._keyed = hashlib.blake2b(key=self._seed, digest_size=_USER_BYTES)
        scope_seed = hashlib.blake2b(scope.encode(), key=self._seed).digest()
        self._scope = scope_seed[: KEY_BYTES - _USER_BYTES]
        self._scope_keyed = hashlib.blake2b(key=scope_seed, digest_size=KEY_BYTES + 1 - USER_PREFIX_BYTES)

    def of(self, request: ListRequest) -> UserKey:
        """The key of the list that answers this request; the same on every replica."""
        user = self._user(_owner(request))
        changes = _written(request)
        return self._changed(user, changes) if changes else UserKey(user + self._scope)

    def of_users(self, request: ListRequest) -> Callable[[str], UserKey]:
        """Makes the keys of lists that differ from this request's in their user only, who has an id."""
        changes = _written(request)
        if not changes:
            return self.of_user
        return lambda user_id: self._changed(self._user(f"{len(user_id)}:{user_id}"), changes)

    def of_user(self, user_id: str) -> UserKey:
        """The key of a user's plain list."""
        return UserKey(self._user(f"{len(user_id)}:{user_id}") + self._scope)

    def prefix(self, user_id: str) -> UserPrefix:
        """What all of this user's keys begin with, in every scope of the same secret."""
        return UserPrefix(self._user(f"{len(user_id)}:{user_id}")[:USER_PREFIX_BYTES])

    def _changed(self, user: bytes, changes: bytes) -> UserKey:
        digest = self._scope_keyed.copy()
        digest.update(user + changes)
        return UserKey(user[:USER_PREFIX_BYTES] + digest.digest())

    def _user(self, owner: str) -> bytes:
        # A copy of one that has taken in the key costs half of a new one.
        digest = self._keyed.copy()
        digest.update(owner.encode("utf-8", "surrogatepass"))
        return digest.digest()


def prefix_of(key: UserKey) -> UserPrefix:
    """What all keys of this key's user begin with."""
    return UserPrefix(key[:USER_PREFIX_BYTES])


def prefix_of_values(key: bytes) -> UserPrefix | None:
    """The user prefix of a list that filter values or the like have changed, of which few are kept; else None."""
    return UserPrefix(key[:USER_PREFIX_BYTES]) if len(key) > KEY_BYTES else None


def _written(request: ListRequest) -> bytes:
    """What changes a list, besides its user."""
    # Each with its length, so that no value reads like another pair.
    pairs = (f"\0{name}={len(value)}:{value}" for name, value in request.changes())
    return "".join(pairs).encode("utf-8", "surrogatepass")


def _owner(request: ListRequest) -> str:
    # A user's begins with a digit; a list that is kept for an item is nobody's.
    if request.user_id or not request.item_id:
        return f"{len(request.user_id)}:{request.user_id}"
    return f"item:{request.item_id}"
