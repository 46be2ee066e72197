"""Stale lists that were served wait here for a free slot of the budget."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

from service.budget.budget import Budget
from service.budget.ports import Lane
from service.clock import Clock
from service.constants import MAX_REFRESHES
from service.errors import BudgetExhausted
from service.lists.keys import UserKey, UserPrefix
from service.models import ListRequest
from service.personalize.flights import Flights

PATIENCE_SECONDS: Final = 30.0
"""A wait for one slot; then the worker looks whether there is still something to do."""


Key = TypeVar("Key")
Request = TypeVar("Request")


class RefreshQueue(Generic[Key, Request]):
    """Lists that wait for a refresh, each once, the longest first; bounded."""

    def __init__(self, limit: int = MAX_REFRESHES) -> None:
        self._waiting: dict[Key, Request] = {}
        self._limit = limit

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._waiting)

    def add(self, key: Key, request: Request) -> bool:
        """Queue one; False when there is no room, since the next caller will queue it again."""
        if len(self._waiting) >= self._limit:
            return False
        self._waiting.setdefault(key, request)
        return True

    def take(self) -> tuple[Key, Request]:
        """The one that waits longest."""
        key = next(iter(self._waiting))
        return key, self._waiting.pop(key)

    def forget(self, key: Key) -> None:
        """Take one out; unknown keys are fine."""
        self._waiting.pop(key, None)


class Refresher:
    """One worker for each campaign, in the lane behind all users without a list."""

    def __init__(self, *, budget: Budget, clock: Clock) -> None:
        self._budget = budget
        self._clock = clock
        self._queue = RefreshQueue[UserKey, ListRequest]()
        self._changed = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._claims: set[asyncio.Task[None]] = set()
        self._refreshing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Lists that wait."""
        return len(self._queue)

    def add(self, key: UserKey, request: ListRequest) -> None:
        """Queue a list; a full queue drops it, since its next caller will queue it again."""
        if self._queue.add(key, request):
            self._changed.set()

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`."""
        for key in [key for key in self._queue if key.startswith(user_prefix)]:
            self._queue.forget(key)

    def start(self, flights: Flights) -> None:
        """Begin working; `close` ends it."""
        self._worker = asyncio.create_task(self._work(flights), name="refresher")

    async def close(self) -> None:
        """Drop what waits."""
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker

    async def _work(self, flights: Flights) -> None:
        """Have as many claims on the budget as there are lists, or as can be of use at a time."""
        try:
            while True:
                self._changed.clear()
                while len(self._claims) < min(len(self._queue), self._budget.lower_callers):
                    self._keep(self._claims, self._claim(flights))
                await self._changed.wait()
        finally:
            tasks = [*self._claims, *self._refreshing]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _claim(self, flights: Flights) -> None:
        """Wait for one slot, and begin a refresh in it."""
        try:
            slot_at = await self._budget.acquire(Lane.STALE, until=self._clock.monotonic() + PATIENCE_SECONDS)
        except BudgetExhausted:
            return
        if self._queue:
            self._keep(self._refreshing, flights.refresh(*self._queue.take(), slot_at))

    def _keep(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: self._changed.set())
