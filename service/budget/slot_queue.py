"""Waiting for a slot of the budget, in this process.

A caller without a list::

                       the slot begins now, and nobody waits
                +-----------------------------------------------------------+
                |                                                           v
    acquire -> asking --- the slot begins later ---> waiting --- first ---> slot
                |  ^                                  |   |    in the queue
                |  +-- lost: the loop stood still ----+   |
                |                                         |
                +--------------> refused <----------------+
         no slot begins before `until`    the queue closes

A caller with a stale list, or a prewarm::

                       a slot is free now
                +-----------------------------------------------------------+
                |                                                           v
    acquire -> asking --- no slot is free ---------> pausing -- handed ---> slot
                |  ^                                  |   |    a slot of a caller
                |  +-- the governor's wait is over ---+   |    that left
                |                                         |
                +--------------> refused <----------------+
                `until` is over    the queue closes

A lower lane does not ask the governor while a higher one waits, or while one more transaction would make a second
hold more than TPS + 1 of them.

Slots and waiting callers are two queues: the caller that has waited longest gets the slot that begins next. A caller
that leaves takes no slot along, so its slot goes to the next caller, and nobody asks the governor for it again.
"""

import asyncio
import bisect
from collections import deque
from itertools import chain
from typing import Final

from service.budget.ports import Lane, TpsGovernor
from service.clock import Clock
from service.errors import BudgetExhausted

SECOND: Final = 1.0 + 1e-6
"""Two transactions that begin this far apart are not in one closed second, whatever floats do."""

MAX_LATE_SECONDS: Final = 0.025
"""A slot is used at most this late, or half a slot if that is longer; a later one is lost."""

MIN_PAUSE_SECONDS: Final = 0.001
"""Between two questions of a lower lane to the governor."""


class RateWindow:
    """When the last transactions began. Pure: callers pass the time."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=1)

    def crowded_seconds(self, slot_seconds: float, now: float) -> float:
        """How long until one more transaction keeps every second at TPS + 1; slots used late crowd the next ones."""
        most = int(1.0 / slot_seconds + 1e-6) + 1
        last = self._last
        if most > (last.maxlen or 0):
            last = self._last = deque(last, maxlen=most)
        if len(last) < (last.maxlen or 0):
            return 0.0
        return max(0.0, last[0] + SECOND - now)

    def add(self, now: float) -> None:
        """A transaction begins."""
        self._last.append(now)

    def withdraw(self) -> None:
        """The last transaction did not begin after all."""
        if self._last:
            self._last.pop()


def held_back(lane: Lane, no_list_waiting: int, stale_waiting: int) -> bool:
    """Whether a lower lane must not even ask for a slot, since a higher one waits."""
    return no_list_waiting > 0 or (lane is Lane.PREWARM and stale_waiting > 0)


class SlotQueue:
    """Hands the governor's slots to the callers of this replica, in the order of their lanes."""

    def __init__(self, governor: TpsGovernor, clock: Clock) -> None:
        self._governor = governor
        self._clock = clock
        self._slots: list[float] = []
        """When the slots begin that are reserved for `_waiters`, or for callers that have left."""
        self._waiters: deque[asyncio.Future[bool]] = deque()
        self._pausing: dict[Lane, deque[asyncio.Future[bool]]] = {Lane.STALE: deque(), Lane.PREWARM: deque()}
        self._no_list_callers = 0
        self._rate_window = RateWindow()
        self._closed = False

    async def acquire(self, lane: Lane, until: float) -> None:
        """Return when the caller has a slot of the budget; its transaction must begin at once.

        Args:
            lane: The order of claims.
            until: Point on the monotonic clock after which a slot is of no use. For a lower lane a point that
                is not in the future means: only if a slot is free at once.

        Raises:
            BudgetExhausted: No slot begins by then; raised as soon as that is known.
        """
        if self._closed:
            raise BudgetExhausted
        if lane is Lane.NO_LIST:
            self._no_list_callers += 1
            try:
                while not await self._waited(until):
                    pass
            finally:
                self._no_list_callers -= 1
        else:
            await self._acquire_free(lane, until)

    def close(self) -> None:
        """Refuse every caller that still waits."""
        self._closed = True
        for waiter in chain(self._waiters, *self._pausing.values()):
            if not waiter.done():
                waiter.set_exception(BudgetExhausted())
        self._waiters.clear()

    async def _waited(self, until: float) -> bool:
        """Whether the caller has a slot now; False when its slot was lost and it has to ask again."""
        waiting = len(self._waiters)
        if waiting < len(self._slots):
            # A caller left without its slot.
            if self._slots[waiting] > until:
                raise BudgetExhausted
        else:
            now = self._clock.monotonic()
            reservation = await self._governor.reserve(Lane.NO_LIST, until - now)
            if not reservation.granted or self._closed:
                raise BudgetExhausted
            wait_seconds = max(reservation.wait_seconds, self._crowded_seconds())
            if wait_seconds <= 0 and not self._waiters:
                self._use_slot()
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

    async def _acquire_free(self, lane: Lane, until: float) -> None:
        while True:
            wait_seconds = self._crowded_seconds() or self._governor.slot_seconds
            # A caller without a list keeps its turn also between two reservations of its own.
            held = held_back(lane, self._no_list_callers, len(self._pausing[Lane.STALE]))
            if not held and not self._crowded_seconds():
                reservation = await self._governor.reserve(lane, 0.0)
                if reservation.granted:
                    self._use_slot()
                    return
                wait_seconds = reservation.wait_seconds
            now = self._clock.monotonic()
            if now >= until or self._closed:
                raise BudgetExhausted
            if await self._paused(lane, min(max(wait_seconds, MIN_PAUSE_SECONDS), until - now)):
                return

    async def _paused(self, lane: Lane, seconds: float) -> bool:
        """Whether the caller got a slot that another one left, while it paused."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pausing[lane].append(waiter)
        try:
            await asyncio.wait({waiter}, timeout=seconds)
        except asyncio.CancelledError:
            self._hand_back(waiter)
            raise
        finally:
            self._pausing[lane].remove(waiter)
        return waiter.done() and waiter.result()

    def _add_slot(self, begins: float) -> None:
        bisect.insort(self._slots, begins)
        loop = asyncio.get_running_loop()
        loop.call_later(max(0.0, begins - self._clock.monotonic()), self._begin, begins)

    def _begin(self, begins: float) -> None:
        self._slots.remove(begins)
        late = self._clock.monotonic() - begins
        if late > max(self._governor.slot_seconds / 2, MAX_LATE_SECONDS):
            # The loop stood still, and the slot is lost. The callers for whom none is left reserve again.
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

    def _use_slot(self) -> None:
        self._rate_window.add(self._clock.monotonic())

    def _hand_back(self, waiter: asyncio.Future[bool]) -> None:
        if _has_slot(waiter):
            self._rate_window.withdraw()
            self._hand_on()

    def _hand_on(self) -> None:
        """Give the slot that begins now to the first waiting caller of the highest lane."""
        for queue in (self._waiters, *self._pausing.values()):
            for waiter in queue:
                if not waiter.done():
                    if queue is self._waiters:
                        queue.remove(waiter)
                    waiter.set_result(True)
                    self._use_slot()
                    return


def _has_slot(waiter: asyncio.Future[bool]) -> bool:
    return waiter.done() and not waiter.cancelled() and waiter.exception() is None and waiter.result()
