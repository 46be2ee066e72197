"""Lists fetched before a send, in the slots that no caller wants."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from service.budget.ports import Lane
from service.clock import Clock
from service.errors import BudgetExhausted
from service.lists.keys import UserKeys
from service.lists.lists import Lists
from service.models import ListRequest
from service.personalize.campaign import PersonalizeCampaign
from service.sends.ports import PrewarmReport, PrewarmTerms

MAX_LOOKED_UP: Final = 500
"""Users whose lists are looked at in one step; some milliseconds."""

MAX_IN_FLIGHT: Final = 256
"""Prewarm transactions under way at a time. At 0.1 s each they are the TPS of a whole account."""

CATCH_UP_SECONDS: Final = 1.0
"""How much later a share may be spent that live traffic kept from being spent."""

BREAKER_PAUSE_SECONDS: Final = 1.0
"""While Personalize is left to recover, its slots are too."""


class Prewarmer:
    """A `ListMaker` that spends the budget of this process, or the one that it shares."""

    def __init__(self, *, clock: Clock, keys: UserKeys, lists: Lists, campaign: PersonalizeCampaign) -> None:
        self._clock = clock
        self._keys = keys
        self._lists = lists
        self._campaign = campaign
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
        report = PrewarmReport(tps=self._campaign.budget.tps_in_use, fresh_seconds=self._lists.fresh_seconds)
        waiting: deque[str] = deque()
        for first in range(0, len(users), MAX_LOOKED_UP):
            waiting += await self._without_list(users[first : first + MAX_LOOKED_UP], terms)
        report.kept = len(users) - len(waiting)
        for _ in range(report.kept):
            on_done()
        if seconds > 0:
            workers_wanted = min(len(waiting), MAX_IN_FLIGHT)
            async with asyncio.TaskGroup() as workers:
                for _ in range(workers_wanted):
                    workers.create_task(self._work(waiting, terms, until, report, on_done))
        report.left += waiting
        return report

    async def _without_list(self, users: Sequence[str], terms: PrewarmTerms) -> list[str]:
        since = self._clock.time() - max(terms.max_age_seconds, self._lists.fresh_seconds)
        kept = await self._lists.kept_since([self._keys.of(ListRequest(user)) for user in users], since)
        return [user for user, has_one in zip(users, kept, strict=True) if not has_one]

    async def _work(
        self,
        waiting: deque[str],
        terms: PrewarmTerms,
        until: float,
        report: PrewarmReport,
        on_done: Callable[[], None],
    ) -> None:
        slot_at: float | None = None
        while waiting:
            now = self._clock.monotonic()
            if slot_at is None or now - slot_at > self._campaign.budget.slot_seconds / 2:
                try:
                    slot_at = await self._slot(waiting, terms.spare, until)
                except BudgetExhausted:
                    return
            if not waiting:
                return
            user = waiting.popleft()
            request = ListRequest(user, self._campaign.length.to_fetch(terms.num_results))
            outcome, spent = await self._campaign.flights.prewarm(self._keys.of(request), request, slot_at)
            if spent:
                slot_at = None
            if outcome.source == "personalize":
                report.fetched += 1
            elif outcome.source == "cache":
                report.kept += 1
            elif spent:
                report.failed[user] = outcome.degraded_reason or "error"
                continue
            else:
                report.left.append(user)
                if outcome.degraded_reason == "breaker":
                    self._paused_until = self._clock.monotonic() + BREAKER_PAUSE_SECONDS
                continue
            on_done()

    async def _slot(self, waiting: deque[str], spare: float, until: float) -> float:
        # One at a time: more would ask the governor more often, and get no more.
        budget = self._campaign.budget
        async with self._turn:
            while waiting:
                now = self._clock.monotonic()
                wait = max(self._next_at, self._paused_until) - now
                if now >= until or now + wait >= until:
                    raise BudgetExhausted
                if wait <= 0:
                    await budget.acquire(Lane.PREWARM, until)
                    now = self._clock.monotonic()
                    share_seconds = budget.slot_seconds / spare
                    self._next_at = max(self._next_at, now - CATCH_UP_SECONDS) + share_seconds
                    return now
                await asyncio.sleep(wait)
        raise BudgetExhausted
