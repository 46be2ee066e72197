"""Lists fetched before anybody asks for them, in the slots that nobody else wants."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from service.budget.ports import Lane, TpsGovernor
from service.budget.slot_queue import SlotQueue
from service.clock import Clock
from service.errors import BudgetExhausted
from service.lists.envelope import created_at
from service.lists.keys import UserKeys
from service.lists.ports import LocalLists
from service.models import ListRequest
from service.personalize.flights import Flights
from service.personalize.list_length import ListLength
from service.sends.ports import PrewarmReport, PrewarmTerms

LOOKED_UP_AT_ONCE: Final = 500
"""Users whose lists are looked at in one step; some milliseconds."""

MAX_IN_FLIGHT: Final = 256
"""Transactions made ahead under way at a time. At 0.1 s each they are the TPS of a whole account."""

CATCH_UP_SECONDS: Final = 1.0
"""A share that live traffic kept from being spent may be spent so much later."""

BREAKER_PAUSE_SECONDS: Final = 1.0
"""While Personalize is left alone, its slots are too."""

KeptSince = Callable[[Sequence[bytes], float], Awaitable[list[bool]]]
"""Whether the list kept under each key was made since a Unix second."""


def kept_here_since(lists: LocalLists) -> KeptSince:
    """Looks into the memory of a replica that is alone."""

    async def kept_since(keys: Sequence[bytes], since: float) -> list[bool]:
        envelopes = map(lists.get, keys)
        return [envelope is not None and created_at(envelope) >= since for envelope in envelopes]

    return kept_since


class Prewarmer:
    """A `ListMaker` that spends the budget of this process, or the one that it shares."""

    def __init__(
        self,
        *,
        clock: Clock,
        keys: UserKeys,
        flights: Flights,
        slot_queue: SlotQueue,
        governor: TpsGovernor,
        length: ListLength,
        kept_since: KeptSince,
    ) -> None:
        self._clock = clock
        self._keys = keys
        self._flights = flights
        self._slot_queue = slot_queue
        self._governor = governor
        self._length = length
        self._kept_since = kept_since
        self._turn = asyncio.Lock()
        self._next_at = float("-inf")
        self._paused_until = float("-inf")

    async def make(
        self, users: Sequence[str], terms: PrewarmTerms, *, seconds: float, on_done: Callable[[], None] = lambda: None
    ) -> PrewarmReport:
        """See `ListMaker.make`."""
        now = self._clock.monotonic()
        until = now + seconds
        self._next_at = max(self._next_at, now)
        made = PrewarmReport(tps=self._governor.tps_in_use, fresh_seconds=self._flights.fresh_seconds)
        waiting: deque[str] = deque()
        for first in range(0, len(users), LOOKED_UP_AT_ONCE):
            waiting += await self._without_list(users[first : first + LOOKED_UP_AT_ONCE], terms)
        made.kept = len(users) - len(waiting)
        for _ in range(made.kept):
            on_done()
        if seconds > 0:
            most = min(len(waiting), MAX_IN_FLIGHT)
            async with asyncio.TaskGroup() as workers:
                for _ in range(most):
                    workers.create_task(self._work(waiting, terms, until, made, on_done))
        made.left += waiting
        return made

    async def _without_list(self, users: Sequence[str], terms: PrewarmTerms) -> list[str]:
        since = self._clock.time() - max(terms.max_age_seconds, self._flights.fresh_seconds)
        kept = await self._kept_since([self._keys.of(user) for user in users], since)
        return [user for user, has_one in zip(users, kept, strict=True) if not has_one]

    async def _work(
        self, waiting: deque[str], terms: PrewarmTerms, until: float, made: PrewarmReport, on_done: Callable[[], None]
    ) -> None:
        slot_at: float | None = None
        while waiting:
            now = self._clock.monotonic()
            if slot_at is None or now - slot_at > self._governor.slot_seconds / 2:
                try:
                    slot_at = await self._slot(waiting, terms.spare, until)
                except BudgetExhausted:
                    return
            if not waiting:
                return
            user = waiting.popleft()
            request = ListRequest(user_id=user, num_results=self._length.to_fetch(terms.num_results))
            outcome, spent = await self._flights.prewarm(self._keys.of(user), request, slot_at)
            if spent:
                slot_at = None
            if outcome.source == "personalize":
                made.fetched += 1
            elif outcome.source == "cache":
                made.kept += 1
            elif spent:
                made.failed[user] = outcome.degraded_reason
                continue
            else:
                made.left.append(user)
                if outcome.degraded_reason == "breaker":
                    self._paused_until = self._clock.monotonic() + BREAKER_PAUSE_SECONDS
                continue
            on_done()

    async def _slot(self, waiting: deque[str], spare: float, until: float) -> float:
        # One at a time: more would ask the governor more often, and get no more.
        async with self._turn:
            while waiting:
                now = self._clock.monotonic()
                wait = max(self._next_at, self._paused_until) - now
                if now >= until or now + wait >= until:
                    raise BudgetExhausted
                if wait <= 0:
                    await self._slot_queue.acquire(Lane.PREWARM, until)
                    now = self._clock.monotonic()
                    share_seconds = self._governor.slot_seconds / spare
                    self._next_at = max(self._next_at, now - CATCH_UP_SECONDS) + share_seconds
                    return now
                await asyncio.sleep(wait)
        raise BudgetExhausted
