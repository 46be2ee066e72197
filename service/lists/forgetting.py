"""How a user is forgotten: here, on every replica, and what is still on its way.

Everything that keeps something of users is `Forgettable`. What one process keeps is added with `add`; what the
replicas share is passed as `shared`, and tells the other replicas by itself.
"""

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, Final

import structlog
from cachetools import TTLCache

from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.lists.keys import UserKey, UserKeys, UserPrefix, prefix_of
from service.lists.ports import Forgettable, Searchable
from service.lists.tombstone import Tombstones
from service.tasks import for_each

MAX_FORGOTTEN: Final = 100_000
"""Users forgotten within the time of a flight; beyond it the first of them could come back with theirs."""

_KEYS_AT_ONCE: Final = 5_000
"""Keys looked through before the event loop has its turn; about a millisecond."""

_log = structlog.stdlib.get_logger(__name__)


class ForgottenLately:
    """The one guard: users forgotten so recently that a flight of before may still bring something of them."""

    def __init__(self, *, clock: Clock, flight_seconds: float) -> None:
        self._clock = clock
        self._forgotten_at: TTLCache[UserPrefix, float] = TTLCache(MAX_FORGOTTEN, flight_seconds, timer=clock.monotonic)

    def add(self, user_prefix: UserPrefix) -> None:
        """Keep nothing of this user from now on, until no flight of before can be in the air."""
        self._forgotten_at[user_prefix] = self._clock.monotonic()

    def holds(self, key: UserKey, asked_at: float | None = None) -> bool:
        """Whether nothing may be kept under this key.

        Args:
            key: Begins with the user's prefix.
            asked_at: Monotonic time at which this process asked for what is to be kept. What it asked for since it
                knows of the user is not of before. None: it may have been asked for at any time.
        """
        forgotten_at = self._forgotten_at.get(prefix_of(key)) if self._forgotten_at else None
        return forgotten_at is not None and (asked_at is None or asked_at <= forgotten_at)


class Forgetting:
    """Forgets users, here and on every other replica.

    Args:
        keys: Knows a user's prefix.
        lately: Holds back what is on its way.
        flight_seconds: How long something of before may be on its way on another replica.
        shared: Stores that the replicas share; forgetting there reaches every replica.
    """

    def __init__(
        self,
        *,
        keys: UserKeys,
        lately: ForgottenLately,
        flight_seconds: float,
        shared: Sequence[Forgettable] = (),
    ) -> None:
        self._keys = keys
        self.lately = lately
        """Of these users nothing is kept."""
        self._flight_seconds = flight_seconds
        self._shared = list(shared)
        self._here: list[Forgettable] = []
        self._searched: list[Searchable] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, holder: Forgettable) -> None:
        """Ask this holder of something in this process too, after those added before."""
        self._here.append(holder)

    def search(self, holder: Searchable) -> None:
        """Ask this holder too, and look in it for users of whom only a tombstone is known."""
        self.add(holder)
        self._searched.append(holder)

    def share(self, *stores: Forgettable) -> None:
        """Ask these stores too, which all replicas share."""
        self._shared += stores

    async def forget(self, user_id: str) -> None:
        """Forget a user.

        Raises:
            SharedStateUnavailable: Not every replica is known to have heard it; try again.
        """
        user_prefix = self._keys.prefix(user_id)
        await self._forget_here(user_prefix)
        if self._shared:
            await self._forget_shared(user_prefix)
            self._run(self._once_more(user_prefix))

    def heard(self, user_prefix: UserPrefix) -> None:
        """Another replica was asked to forget a user whose keys begin so."""
        self._run(self._forget_here(user_prefix))

    def found_forgotten(self, stones: Collection[bytes]) -> None:
        """Users were forgotten whom this process may not have heard of, because it was cut off."""
        self._run(self._bury(Tombstones(stones)))

    def missed_some(self) -> None:
        """Users were forgotten of whom nothing is known any more: nobody's lists are kept here."""
        _log.warning("lists_dropped", reason="this replica was cut off for too long to know who was forgotten")
        for holder in self._searched:
            holder.clear()

    async def close(self) -> None:
        """Leave what is not done."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _forget_here(self, user_prefix: UserPrefix) -> None:
        self.lately.add(user_prefix)
        for holder in self._here:
            await holder.forget_user(user_prefix)

    async def _bury(self, stones: Tombstones) -> None:
        keys = [key for holder in self._searched for key in holder.kept_keys()]
        found = set()

        def look(key: bytes) -> None:
            if stones.bury(key):
                found.add(prefix_of(UserKey(key)))

        await for_each(keys, look, at_once=_KEYS_AT_ONCE)
        for user_prefix in found:
            await self._forget_here(user_prefix)

    async def _forget_shared(self, user_prefix: UserPrefix) -> None:
        for store in self._shared:
            await store.forget_user(user_prefix)

    async def _once_more(self, user_prefix: UserPrefix) -> None:
        # A flight of another replica may have landed in the moment before that replica heard of it.
        await asyncio.sleep(self._flight_seconds)
        try:
            await self._forget_shared(user_prefix)
        except SharedStateUnavailable:
            _log.warning("user_perhaps_not_forgotten")

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
