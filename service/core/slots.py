"""Waiting for a slot of the budget, in this process.

Slots and waiters are two queues: whoever waits longest gets the slot that begins next. So a slot whose caller
is gone goes to the next one by itself, and nobody asks twice.
"""

import asyncio
import bisect
from collections import deque
from itertools import chain

from service.errors import BudgetExhausted
from service.ports import Clock, Lane, TpsGovernor

LATE_SECONDS = 0.025
"""A slot is used at most this late, or half a slot: together with the next ones it would exceed the rate."""


class SlotDesk:
    """Hands the governor's slots to the callers of this replica, in the order of their lanes."""

    def __init__(self, governor: TpsGovernor, clock: Clock) -> None:
        self._governor = governor
        self._clock = clock
        self._slots: list[float] = []
        self._waiters: deque[asyncio.Future[bool]] = deque()
        self._patient: dict[Lane, deque[asyncio.Future[bool]]] = {Lane.STALE: deque(), Lane.AHEAD: deque()}
        self._closed = False

    async def acquire(self, lane: Lane, until: float) -> None:
        """Return when a slot of the budget is ours; a transaction must start now.

        Args:
            lane: Who goes first.
            until: Point on the monotonic clock after which a slot is of no use. For a lower lane a point that
                is not in the future means: only if a slot is free at once.

        Raises:
            BudgetExhausted: No slot can be had by then; said as soon as it is known.
        """
        if lane is Lane.NO_LIST:
            while not await self._reserved(until):
                pass
        else:
            await self._patiently(lane, until)

    def close(self) -> None:
        """Refuse everyone who still waits."""
        self._closed = True
        for waiter in chain(self._waiters, *self._patient.values()):
            if not waiter.done():
                waiter.set_exception(BudgetExhausted())
        self._waiters.clear()

    async def _reserved(self, until: float) -> bool:
        ahead = len(self._waiters)
        if ahead < len(self._slots):
            if self._slots[ahead] > until:
                raise BudgetExhausted
        else:
            now = self._clock.monotonic()
            reservation = await self._governor.reserve(Lane.NO_LIST, until - now)
            if not reservation.granted or self._closed:
                raise BudgetExhausted
            if reservation.wait_seconds <= 0 and not self._waiters:
                return True
            self._add_slot(self._clock.monotonic() + reservation.wait_seconds)
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif waiter.done() and not waiter.cancelled():
                self._hand_on()
            raise

    async def _patiently(self, lane: Lane, until: float) -> None:
        while True:
            reservation = await self._governor.reserve(lane, 0.0)
            if reservation.granted:
                return
            now = self._clock.monotonic()
            if now >= until or self._closed:
                raise BudgetExhausted
            waiter = asyncio.get_running_loop().create_future()
            self._patient[lane].append(waiter)
            try:
                async with asyncio.timeout(min(max(reservation.wait_seconds, 0.001), until - now)):
                    await waiter
                return
            except TimeoutError:
                continue
            finally:
                self._patient[lane].remove(waiter)

    def _add_slot(self, begins: float) -> None:
        bisect.insort(self._slots, begins)
        loop = asyncio.get_running_loop()
        loop.call_later(max(0.0, begins - self._clock.monotonic()), self._begin, begins)

    def _begin(self, begins: float) -> None:
        self._slots.remove(begins)
        late = self._clock.monotonic() - begins
        if late > max(self._governor.slot_seconds / 2, LATE_SECONDS):
            # The loop stood still. The slots are in the past, so whoever has none left now reserves again.
            if len(self._waiters) > len(self._slots):
                self._waiters.pop().set_result(False)
            return
        self._hand_on()

    def _hand_on(self) -> None:
        for queue in (self._waiters, *self._patient.values()):
            for waiter in queue:
                if not waiter.done():
                    if queue is self._waiters:
                        queue.remove(waiter)
                    waiter.set_result(True)
                    return
