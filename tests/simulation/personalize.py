"""A model of Personalize that remembers of each transaction what the promises speak of."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Final

from service.errors import RecommenderError, RecommenderRefused, RecommenderThrottled, RecommenderTimeout
from service.models import ItemList, ListRequest
from tests.support.replica import items_for
from tests.support.virtual_time import VirtualClock

FAILURES = {
    "fails": RecommenderError,
    "throttles": RecommenderThrottled,
    "refuses": RecommenderRefused,
    "hangs": RecommenderTimeout,
}

_OUTSIDE: Final = Context()
"""Of what goes on there while a replica stands still."""


@dataclass(slots=True)
class Transaction:
    user: str
    at: float
    """Monotonic."""

    had_list_at: float
    """When the user's last list had been made; minus infinity for none."""

    together: int
    """Of the same user under way, this one included."""


class Personalize:
    def __init__(self, clock: VirtualClock, chance: random.Random, latency: tuple[float, float]) -> None:
        self._clock = clock
        self._chance = chance
        self._latency = latency
        self._in_flight: Counter[str] = Counter()
        self.trouble = ""
        """`hangs`, or one of `FAILURES`."""
        self.slow_seconds = 0.0
        self.made_at: dict[str, float] = {}
        self.seen: list[Transaction] = []
        self.made: dict[str, float] = {}
        """When each list was made, by its RecommendationId."""

    async def recommend(self, request: ListRequest, *, timeout_seconds: float, now: Callable[[], float]) -> ItemList:
        user, clock = request.user_id, self._clock
        latency = self.slow_seconds or self._chance.uniform(*self._latency)
        trouble = self.trouble
        self._in_flight[user] += 1
        self.seen.append(
            Transaction(user, clock.monotonic(), self.made_at.get(user, float("-inf")), self._in_flight[user])
        )
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        if trouble == "hangs" or latency > timeout_seconds:
            latency, trouble = timeout_seconds, "hangs"
        ends = loop.call_later(latency, self._end, user, trouble, answer, context=_OUTSIDE)
        try:
            number = await answer
        except asyncio.CancelledError:
            if ends.when() > loop.time():
                ends.cancel()
                self._in_flight[user] -= 1
            raise
        return ItemList(tuple(items_for(user, request.num_results)), number, now())

    def _end(self, user: str, trouble: str, answer: asyncio.Future[str]) -> None:
        self._in_flight[user] -= 1
        if trouble:
            if not answer.done():
                answer.set_exception(FAILURES[trouble]())
            return
        now = self.made_at[user] = self._clock.monotonic()
        number = f"RID-{len(self.made) + 1}"
        self.made[number] = now
        if not answer.done():
            answer.set_result(number)
