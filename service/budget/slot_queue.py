"""Waiting for a slot of the budget, in this process.

Slots and waiters are two queues: whoever waits longest gets the slot that begins next. So a slot whose caller
is gone goes to the next one by itself, and nobody asks twice.
"""

import asyncio
import bisect
from collections import deque
from itertools import chain

from service.budget.ports import Lane, TpsGovernor
from service.clock import Clock
from service.errors import BudgetExhausted

SECOND = 1.0 + 1e-6
"""Two starts so far apart are not in one closed second, whatever floats do."""

LATE_SECONDS = 0.025
"""A slot is used at most this late, or half a slot; what is later still is lost."""


class RateWindow:
    """When transactions last began; pure, every method is told the time."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=1)

    def crowded_seconds(self, slot_seconds: float, now: float) -> float:
        """How long until another start keeps every second at the rate and one; late slots crowd the next."""
        most = int(1.0 / slot_seconds + 1e-6) + 1
        last = self._last
        if most > (last.maxlen or 0):
            last = self._last = deque(last, maxlen=most)
        if len(last) < (last.maxlen or 0):
            return 0.0
        return max(0.0, last[0] + SECOND - now)

    def add(self, now: float) -> None:
        """One begins."""
        self._last.append(now)

    def withdraw(self) -> None:
        """The last one was not to be."""
        if self._last:
            self._last.pop()


def held_back(lane: Lane, no_list_waiting: int, stale_waiting: int) -> bool:
    """Whether a lower lane must not even ask for a slot, since a higher one is in line."""
    return no_list_waiting > 0 or (lane is Lane.PREWARM and stale_waiting > 0)


class SlotQueue:
    """Hands the governor's slots to the callers of this replica, in the order of their lanes."""

    def __init__(self, governor: TpsGovernor, clock: Clock) -> None:
        self._governor = governor
        self._clock = clock
        self._slots: list[float] = []
        self._waiters: deque[asyncio.Future[bool]] = deque()
        self._patient: dict[Lane, deque[asyncio.Future[bool]]] = {Lane.STALE: deque(), Lane.PREWARM: deque()}
        self._first_in_line = 0
        self._rate_window = RateWindow()
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
        if self._closed:
            raise BudgetExhausted
        if lane is Lane.NO_LIST:
            self._first_in_line += 1
            try:
                while not await self._reserved(until):
                    pass
            finally:
                self._first_in_line -= 1
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
            wait_seconds = max(reservation.wait_seconds, self._crowded_seconds())
            if wait_seconds <= 0 and not self._waiters:
                self._started()
                return True
            self._add_slot(self._clock.monotonic() + wait_seconds)
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            else:
                self._hand_back(waiter)
            raise

    async def _patiently(self, lane: Lane, until: float) -> None:
        while True:
            wait_seconds = self._crowded_seconds() or self._governor.slot_seconds
            # Between two reservations of its own a higher lane must not be overtaken.
            if not held_back(lane, self._first_in_line, len(self._patient[Lane.STALE])) and not self._crowded_seconds():
                reservation = await self._governor.reserve(lane, 0.0)
                if reservation.granted:
                    self._started()
                    return
                wait_seconds = reservation.wait_seconds
            now = self._clock.monotonic()
            if now >= until or self._closed:
                raise BudgetExhausted
            if await self._handed(lane, min(max(wait_seconds, 0.001), until - now)):
                return

    async def _handed(self, lane: Lane, timeout_seconds: float) -> bool:
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._patient[lane].append(waiter)
        try:
            await asyncio.wait({waiter}, timeout=timeout_seconds)
        except asyncio.CancelledError:
            self._hand_back(waiter)
            raise
        finally:
            self._patient[lane].remove(waiter)
        return waiter.done() and waiter.result()

    def _add_slot(self, begins: float) -> None:
        bisect.insort(self._slots, begins)
        loop = asyncio.get_running_loop()
        loop.call_later(max(0.0, begins - self._clock.monotonic()), self._begin, begins)

    def _begin(self, begins: float) -> None:
        self._slots.remove(begins)
        late = self._clock.monotonic() - begins
        if late > max(self._governor.slot_seconds / 2, LATE_SECONDS):
            # The loop stood still. The slots are in the past, so whoever has none left now reserves again.
            while len(self._waiters) > len(self._slots):
                waiter = self._waiters.pop()
                if not waiter.done():
                    waiter.set_result(False)
            return
        crowded = self._crowded_seconds()
        if crowded:
            self._add_slot(self._clock.monotonic() + crowded)
        else:
            self._hand_on()

    def _crowded_seconds(self) -> float:
        return self._rate_window.crowded_seconds(self._governor.slot_seconds, self._clock.monotonic())

    def _started(self) -> None:
        self._rate_window.add(self._clock.monotonic())

    def _hand_back(self, waiter: asyncio.Future[bool]) -> None:
        if _has_slot(waiter):
            self._rate_window.withdraw()
            self._hand_on()

    def _hand_on(self) -> None:
        for queue in (self._waiters, *self._patient.values()):
            for waiter in queue:
                if not waiter.done():
                    if queue is self._waiters:
                        queue.remove(waiter)
                    waiter.set_result(True)
                    self._started()
                    return


def _has_slot(waiter: asyncio.Future[bool]) -> bool:
    return waiter.done() and not waiter.cancelled() and waiter.exception() is None and waiter.result()
