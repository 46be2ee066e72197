"""How a user is forgotten: what is kept here, what the replicas share, and what is still on its way."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

from cachetools import TTLCache

from service.clock import Clock
from service.constants import MAX_LISTS_WITH_VALUES
from service.errors import SharedStateUnavailable
from service.lists.keys import KEY_BYTES, UserKeys
from service.lists.memory import BytesBoundedCache, envelope_bytes
from service.lists.ports import ABANDONED, Outcome, Pins, SharedLists

USER_PREFIX_BYTES: Final = 8
"""Of a key: the user, whatever the filter values. Two of ten million users share them with a chance of 1 in 400,000,
and then are forgotten together."""

MAX_FORGOTTEN: Final = 100_000
"""Users forgotten within the time of a flight; beyond it the first of them could come back with theirs."""

_AT_ONCE: Final = 5_000
"""Entries looked through before the event loop has its turn; about half a millisecond."""

_Kept = TypeVar("_Kept")

_log = logging.getLogger(__name__)


class UserStems(UserKeys):
    """Keys of one user begin alike, so that all of them are found without an index."""

    def of(self, user_id: str, filter_values: Iterable[tuple[str, str]] = ()) -> bytes:
        """See `UserKeys.of`."""
        plain = super().of(user_id)
        values = tuple(filter_values)
        # A byte longer, so that they are told from others by the key alone: see `prefix_of_values`.
        return plain[:USER_PREFIX_BYTES] + super().of(user_id, values)[USER_PREFIX_BYTES - 1 :] if values else plain


def prefix_of_values(key: bytes) -> bytes | None:
    """How all keys of the user begin if this is one with filter values, of which few are kept; else None."""
    return key[:USER_PREFIX_BYTES] if len(key) > KEY_BYTES else None


class Forgetting:
    """Forgets users, here and on every other replica.

    For as long as a flight may be in the air, nothing that lands is kept of a user just forgotten.
    """

    def __init__(self, *, keys: UserKeys, clock: Clock, flight_seconds: float) -> None:
        self._keys = keys
        self._flight_seconds = flight_seconds
        self._lately: TTLCache[bytes, None] = TTLCache(MAX_FORGOTTEN, flight_seconds, timer=clock.monotonic)
        self._here: list[Callable[[bytes], Awaitable[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.everywhere: Callable[[bytes], Awaitable[None]] | None = None
        """Deletes what the replicas share and tells them; None for a replica that is alone."""

    def also(self, forget: Callable[[bytes], Awaitable[None]]) -> None:
        """Call this with the first bytes of a user's keys too, after what was given before."""
        self._here.append(forget)

    def lately(self, key: bytes) -> bool:
        """Whether the user was forgotten while a flight of before may still be in the air."""
        return key[:USER_PREFIX_BYTES] in self._lately

    def guard(self, keep: Callable[[bytes, _Kept], None]) -> Callable[[bytes, _Kept], None]:
        """The same, for users who were not forgotten lately."""

        def keep_unless_forgotten(key: bytes, value: _Kept) -> None:
            if not self.lately(key):
                keep(key, value)

        return keep_unless_forgotten

    async def forget(self, user_id: str) -> None:
        """Forget a user.

        Raises:
            SharedStateUnavailable: Not every replica is known to have heard it; try again.
        """
        user_prefix = self._keys.of(user_id)[:USER_PREFIX_BYTES]
        await self._forget_here(user_prefix)
        if self.everywhere is not None:
            await self.everywhere(user_prefix)
            self._run(self._once_more(user_prefix, self.everywhere))

    def heard(self, key: bytes) -> None:
        """Another replica was asked to forget a user whose keys begin so."""
        self._run(self._forget_here(key[:USER_PREFIX_BYTES]))

    async def close(self) -> None:
        """Leave what is not done."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _forget_here(self, user_prefix: bytes) -> None:
        self._lately[user_prefix] = None
        for forget in self._here:
            await forget(user_prefix)

    async def _once_more(self, user_prefix: bytes, everywhere: Callable[[bytes], Awaitable[None]]) -> None:
        # A flight of another replica may have landed in the moment before that replica heard of it.
        await asyncio.sleep(self._flight_seconds)
        try:
            await everywhere(user_prefix)
        except SharedStateUnavailable:
            _log.warning("user_perhaps_not_forgotten")

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class ForgettableLists(BytesBoundedCache[bytes]):
    """Lists in memory; of those with filter values a user keeps the latest `MAX_LISTS_WITH_VALUES`."""

    def __init__(self, max_bytes: int, forgetting: Forgetting) -> None:
        super().__init__(max_bytes, envelope_bytes)
        self._forgetting = forgetting
        # Tuples of bytes, which the collector does not walk. About 140 bytes for each such user, beside `max_bytes`.
        self._with_values: dict[bytes, tuple[bytes, ...]] = {}

    def put(self, key: bytes, value: bytes) -> None:
        """Keep a list, unless its user was forgotten while it was on its way."""
        if self._forgetting.lately(key):
            return
        super().put(key, value)
        user_prefix = prefix_of_values(key)
        if user_prefix is not None and key in self:
            keys = (*self._with_values.get(user_prefix, ()), key)
            self._with_values[user_prefix] = keys
            if len(keys) > MAX_LISTS_WITH_VALUES:
                self.discard(keys[0])

    def __delitem__(self, key: bytes) -> None:
        """Every way out, eviction included, leads through here."""
        super().__delitem__(key)
        user_prefix = prefix_of_values(key)
        if user_prefix is None:
            return
        left = tuple(one for one in self._with_values.pop(user_prefix, ()) if one != key)
        if left:
            self._with_values[user_prefix] = left

    async def forget_user(self, user_prefix: bytes) -> None:
        """Discard the lists whose keys begin so."""
        await discard_where(self, lambda key, _: key.startswith(user_prefix))


class PinsUnlessForgotten:
    """`Pins` that do not get the answer to a user who was forgotten while it was on its way."""

    def __init__(self, pins: Pins, forgetting: Forgetting) -> None:
        self.get = pins.get
        self.put = forgetting.guard(pins.put)


class SharedUnlessForgotten:
    """`SharedLists` that do not get the list of a user who was forgotten while it was on its way."""

    def __init__(self, lists: SharedLists, forgetting: Forgetting) -> None:
        self._forgetting = forgetting
        self._lists = lists
        self.board = lists.board
        self.follow = lists.follow

    async def land(self, key: bytes, outcome: Outcome, *, led: bool) -> None:
        """See `SharedLists.land`."""
        await self._lists.land(key, ABANDONED if self._forgetting.lately(key) else outcome, led=led)


async def discard_where(cache: BytesBoundedCache[_Kept], belongs: Callable[[bytes, _Kept], bool]) -> None:
    """Discard the entries of a cache that belong to somebody, without holding up the event loop."""
    for number, key in enumerate(list(cache)):
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        value = cache.get(key)
        if value is not None and belongs(key, value):
            cache.erase(key)
