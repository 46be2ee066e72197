"""Stale lists that were served wait here for a free slot of the budget."""

import asyncio
import logging
from contextlib import suppress

from service.constants import REFRESH_QUEUE_LIMIT
from service.core.flights import Flights
from service.core.slots import SlotDesk
from service.errors import BudgetExhausted
from service.models import RecommendationRequest
from service.ports import Clock, Lane

_log = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0
"""A wait for one slot; then the worker looks whether there is still something to do."""


class Refresher:
    """One worker per replica, in the lane behind all users without a list."""

    def __init__(self, *, desk: SlotDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock
        self._queue: dict[bytes, RecommendationRequest] = {}
        self._filled = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Lists that wait."""
        return len(self._queue)

    def add(self, key: bytes, request: RecommendationRequest) -> None:
        """Queue a list; a full queue drops it, since its next caller will queue it again."""
        if len(self._queue) < REFRESH_QUEUE_LIMIT:
            self._queue.setdefault(key, request)
            self._filled.set()

    def forget(self, key: bytes) -> None:
        """Take a user out of the queue."""
        self._queue.pop(key, None)

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
        refreshing: set[asyncio.Task[None]] = set()
        try:
            while True:
                if not self._queue:
                    self._filled.clear()
                    await self._filled.wait()
                try:
                    await self._desk.acquire(Lane.STALE, until=self._clock.monotonic() + PATIENCE_SECONDS)
                except BudgetExhausted:
                    continue
                if self._queue:
                    key = next(iter(self._queue))
                    task = asyncio.create_task(flights.refresh(key, self._queue.pop(key)))
                    refreshing.add(task)
                    task.add_done_callback(refreshing.discard)
        finally:
            for task in refreshing:
                task.cancel()
