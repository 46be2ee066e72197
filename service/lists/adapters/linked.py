"""Lists shared through Redis, and through the owners of their keys while Redis is away."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace

from service.clock import Clock
from service.constants import PIN_SECONDS
from service.errors import SharedStateUnavailable
from service.lists.adapters.owned import Ages, Ended
from service.lists.adapters.owners import Owners
from service.lists.adapters.redis import RedisLists
from service.lists.envelope import Envelope, newer
from service.lists.keys import UserKey
from service.lists.ports import ABANDONED, Boarding, Landed, Landing, Outcome

_Boards = Callable[[], Awaitable[Boarding]]


class LinkedLists:
    """A `SharedLists` that asks owners while they decide; see `Owners`.

    Flights that were begun for nobody are the exception: without Redis they find nothing out. Looking, noting and
    forgetting go to Redis only.

    Args:
        redis: The lists in Redis.
        owners: The replicas that decide while Redis is away.
        clock: Unix time decides what is fresh.
    """

    def __init__(self, redis: RedisLists, owners: Owners, clock: Clock) -> None:
        self._redis = redis
        self._owners = owners
        self._clock = clock

    async def board(
        self, key: UserKey, *, lease_seconds: float, background: bool = False, renew: bool = False
    ) -> Boarding:
        """See `SharedLists.board`."""

        async def in_redis() -> Boarding:
            return await self._redis.board(key, lease_seconds=lease_seconds, background=background, renew=renew)

        async def with_owner() -> Boarding:
            return await self._owners.board(key, self._fresh(key), lease_seconds=lease_seconds, renew=renew)

        if background:
            return await in_redis()
        if self._owners.decide():
            return await self._first_with_owner(key, in_redis, with_owner)
        try:
            boarding = await in_redis()
        except SharedStateUnavailable:
            self._owners.begin()
            return await self._first_with_owner(key, in_redis, with_owner)
        if boarding.leader and self._owners.decide():
            # Redis was lost meanwhile, perhaps before others had asked it.
            return await self._also_with_owner(key, boarding, with_owner)
        return boarding

    async def _first_with_owner(self, key: UserKey, in_redis: _Boards, with_owner: _Boards) -> Boarding:
        withheld = self._owners.knows_who_was_forgotten()
        try:
            here = await with_owner()
        except SharedStateUnavailable:
            return await in_redis()
        if not here.leader:
            return here
        try:
            there = await in_redis()
        except SharedStateUnavailable:
            if not withheld:
                return here
            # An owner that had lost Redis before this replica did says what it has only now.
            there = await with_owner()
        if not there.leader:
            await self._leave(key, there)
            return there
        return replace(there, envelope=newer(there.envelope, here.envelope))

    async def _also_with_owner(self, key: UserKey, there: Boarding, with_owner: _Boards) -> Boarding:
        try:
            here = await with_owner()
        except SharedStateUnavailable:
            return there
        if here.leader:
            return there
        with suppress(SharedStateUnavailable):
            await self._redis.land(key, ABANDONED, led=True)
        return here

    async def land(self, key: UserKey, outcome: Outcome, *, led: bool) -> Landed:
        """See `SharedLists.land`."""
        if not self._owners.concerns(key):
            try:
                return await self._redis.land(key, outcome, led=led)
            except SharedStateUnavailable:
                self._owners.begin()
        if outcome.source == "personalize":
            # Redis keeps a live list, although something else may be shown for the moment.
            ended, landed = await asyncio.gather(self._at_owner(key, outcome, led), self._in_redis(key, outcome, led))
            before = self._answered_before(key, ended, outcome)
        else:
            ended = await self._at_owner(key, outcome, led)
            before = self._answered_before(key, ended, outcome)
            landed = await self._in_redis(key, outcome if before is None else before.outcome, led)
        if before is not None:
            return replace(before, shared=landed is not None)
        if landed is None and ended is None:
            raise SharedStateUnavailable("neither Redis nor the owner of this list answers")
        return landed or Landed(outcome, shared=False)

    async def _at_owner(self, key: UserKey, outcome: Outcome, led: bool) -> Ended | None:  # noqa: FBT001  # as in `land`
        with suppress(SharedStateUnavailable):
            return await self._owners.land(key, outcome, self._shown_lately(key), led=led)
        return None

    async def _in_redis(self, key: UserKey, outcome: Outcome, led: bool) -> Landed | None:  # noqa: FBT001  # as in `land`
        with suppress(SharedStateUnavailable):
            return await self._redis.land(key, outcome, led=led)
        return None

    def note(self, key: UserKey, *, shared: bool) -> None:
        """See `SharedLists.note`."""
        self._redis.note(key, shared=shared)

    def follow(self, key: UserKey) -> AbstractAsyncContextManager[Landing]:
        """See `SharedLists.follow`; where Redis is lost meanwhile, followers board again."""
        return self._redis.channel.waiting(key, when_lost=ABANDONED)

    async def look(self, key: UserKey) -> Envelope | None:
        """See `SharedLists.look`."""
        return await self._redis.look(key)

    async def made_at(self, keys: Sequence[UserKey]) -> list[float | None]:
        """See `SharedLists.made_at`."""
        return await self._redis.made_at(keys)

    async def _leave(self, key: UserKey, there: Boarding) -> None:
        """Let the owner know what Redis has: a fresh list, or else that another replica leads."""
        fresh = self._fresh(key)
        found = Outcome(there.envelope, "cache") if fresh.hold(there.envelope) else ABANDONED
        with suppress(SharedStateUnavailable):
            await self._owners.land(key, found, fresh, led=True)

    def _answered_before(self, key: UserKey, ended: Ended | None, outcome: Outcome) -> Landed | None:
        if ended is None:
            return None
        if ended.pin is not None:
            return Landed(*ended.pin)
        if ended.envelope is None:
            return None
        if self._fresh(key).hold(ended.envelope):
            return Landed(Outcome(ended.envelope, "cache"))
        return Landed(Outcome(ended.envelope, "stale", outcome.degraded_reason))

    def _fresh(self, key: UserKey) -> Ages:
        now, freshness = self._clock.time(), self._redis.freshness
        return Ages(freshness.earliest(now, key), freshness.latest(now))

    def _shown_lately(self, key: UserKey) -> Ages:
        """Of a list that another part of the message may have shown, fresh or not."""
        fresh = self._fresh(key)
        return Ages(min(fresh.earliest, self._clock.time() - PIN_SECONDS), fresh.latest)
