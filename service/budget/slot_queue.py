"""Waiting for a slot of the budget, in this process.

A caller without a list::

                       the slot begins now, and nobody waits
                +-----------------------------------------------------------+
                |                                                           v
    acquire -> asking --- the slot begins later ---> waiting --- its ----> slot
                |  ^                                  |   |      turn
                |  +-- lost: the loop stood still ----+   |
                |                                         |
                +--------------> refused <----------------+
         no slot begins before `until`    its place goes to a sender who has fewer, or the queue closes

A caller of a lower lane waits until a slot begins that no higher lane wants, or until its time is over.

Slots and waiting callers are two queues. A slot that begins goes to the highest lane that waits, for whichever caller
it was reserved. Among callers without a list the senders take turns, see `turns`. A caller that leaves takes no slot
along, so its slot goes to the next caller, and nobody asks the governor for it again.

Callers without a list reserve their slots themselves. For the lower lanes the queue does, while nobody without a list
waits: as many slots as they want, but no earlier than the governor's lead before each begins. So the way to the
governor may be longer than a slot, and still no slot is lost.

Longer than 300 lines: the two queues change together, so one class holds both.
"""

import asyncio
import bisect
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Final

from service.budget.ports import Lane, TpsGovernor
from service.budget.rate_window import RateWindow, is_late
from service.budget.turns import Turns
from service.clock import Clock
from service.errors import BudgetExhausted
from service.models import NOBODY, Sender

MIN_PAUSE_SECONDS: Final = 0.001
"""Between two questions to the governor for the lower lanes."""


@dataclass(slots=True, eq=False)
class _Caller:
    """One who waits for the beginning of its slot; None tells it to ask again."""

    sender: Sender
    until: float
    slot: asyncio.Future[float | None]


class SlotQueue:
    """Hands the governor's slots to the callers of this replica, in the order of their lanes.

    Args:
        governor: Hands out slots.
        clock: Its monotonic time carries them.
        weight_of: Of each sender, among those who wait.
    """

    def __init__(
        self, governor: TpsGovernor, clock: Clock, weight_of: Callable[[Sender], float] = lambda _: 1.0
    ) -> None:
        self._governor = governor
        self._clock = clock
        self._slots: list[float] = []
        """When the slots begin that are reserved for those who wait, or for callers that have left."""
        self._waiting = Turns[_Caller](weight_of)
        """Callers without a list."""
        self._asking = 0
        """Callers without a list who wait or ask the governor."""
        self._at_once: deque[_Caller] = deque()
        """Callers of a lower lane who wait for the moment that is left until their slot."""
        self._lower: dict[Lane, deque[_Caller]] = {Lane.STALE: deque(), Lane.PREWARM: deque()}
        self._reserving: asyncio.Task[None] | None = None
        self._asking_again: asyncio.Handle | None = None
        self._changed = asyncio.Event()
        self._rate_window = RateWindow()
        self._closed = False

    @property
    def lower_callers(self) -> int:
        """So many callers of a lower lane must wait at a time that no slot is lost for want of one."""
        return 1 + math.ceil(2 * self._governor.lead_seconds / self._governor.slot_seconds)

    async def acquire(self, lane: Lane, until: float, sender: Sender = NOBODY) -> float:
        """When the slot began that the caller has now, monotonic; its transaction must begin at once.

        Args:
            lane: The order of claims.
            until: Point on the monotonic clock after which a slot is of no use. For a lower lane a point that
                is not in the future means: only if a slot is free at once, or within the governor's lead.
            sender: Whose call it is; senders who wait for lists that nobody has take turns.

        Raises:
            BudgetExhausted: No slot begins by then; raised as soon as that is known.
        """
        if self._closed:
            raise BudgetExhausted
        if lane is not Lane.NO_LIST:
            if until <= self._clock.monotonic():
                return await self._acquire_at_once(lane)
            return await self._acquire_lower(lane, until)
        self._asking += 1
        try:
            while True:
                begins = await self._acquire_first(until, sender)
                if begins is not None:
                    return begins
        finally:
            self._asking -= 1
            self._changed.set()

    def close(self) -> None:
        """Refuse every caller that still waits."""
        self._closed = True
        while (caller := self._waiting.next()) is not None:
            _refuse(caller)
        for caller in chain(self._at_once, *self._lower.values()):
            _refuse(caller)
        if self._reserving is not None:
            self._reserving.cancel()

    async def _acquire_first(self, until: float, sender: Sender) -> float | None:
        """When the slot of a caller without a list began; None when it was lost and the caller has to ask again."""
        if not self._has_spare_slot(until):
            reservation = await self._governor.reserve(Lane.NO_LIST, until - self._clock.monotonic())
            if self._closed:
                raise BudgetExhausted
            now = self._clock.monotonic()
            if reservation.granted:
                [begins] = reservation.begins(now)
                if self._is_late(begins):
                    return None
                if begins <= now and not self._waiting and not self._crowded_seconds():
                    self._use_slot()
                    return begins
                self._add_slot(begins)
            elif not self._has_spare_slot(until):
                self._take_place_of_another(until, sender)
        caller = _Caller(sender, until, asyncio.get_running_loop().create_future())
        self._waiting.add(caller, sender)
        try:
            return await caller.slot
        except asyncio.CancelledError:
            if not self._waiting.remove(caller, sender):
                self._hand_back(caller)
            raise

    def _has_spare_slot(self, until: float, *, behind: int = 0) -> bool:
        """Whether a slot in time is no higher lane's: a caller left it, or a lower lane wants it."""
        place = len(self._waiting) + behind
        return place < len(self._slots) and self._slots[place] <= until

    def _take_place_of_another(self, until: float, sender: Sender) -> None:
        # Every slot in time has its caller. Another sender may have more of them than its turns.
        if not self._slots or self._slots[0] > until or self._waiting.would_be_last(sender):
            raise BudgetExhausted
        caller = self._waiting.last()
        if caller is not None:
            _refuse(caller)

    async def _acquire_at_once(self, lane: Lane) -> float:
        now, lead = self._clock.monotonic(), self._governor.lead_seconds
        # A caller goes before what is fetched in the background, and may have its slot.
        spare = lane is Lane.STALE and self._has_spare_slot(now + lead, behind=len(self._at_once))
        if self._asking or self._crowded_seconds():
            raise BudgetExhausted
        if not spare:
            reservation = await self._governor.reserve(lane, lead)
            if not reservation.granted:
                raise BudgetExhausted
            now = self._clock.monotonic()
            [begins] = reservation.begins(now)
            if self._is_late(begins):
                raise BudgetExhausted
            if begins <= now and not self._waiting and not self._crowded_seconds():
                self._use_slot()
                return begins
            self._add_slot(begins)
        return await self._wait_in(self._at_once, now + 2 * lead + self._governor.slot_seconds)

    async def _acquire_lower(self, lane: Lane, until: float) -> float:
        self._changed.set()
        if self._reserving is None or self._reserving.done():
            self._reserving = asyncio.create_task(self._keep_reserving(), name="slots-of-lower-lanes")
        return await self._wait_in(self._lower[lane], until)

    async def _wait_in(self, queue: deque[_Caller], until: float) -> float:
        caller = _Caller(NOBODY, until, asyncio.get_running_loop().create_future())
        queue.append(caller)
        try:
            await asyncio.wait({caller.slot}, timeout=max(0.0, until - self._clock.monotonic()))
        except asyncio.CancelledError:
            self._hand_back(caller)
            raise
        finally:
            queue.remove(caller)
        begins = caller.slot.result() if caller.slot.done() else None
        if begins is None:
            raise BudgetExhausted
        return begins

    async def _keep_reserving(self) -> None:
        """Reserve slots for the lower lanes, while somebody of them waits."""
        await asyncio.sleep(0)
        while any(self._lower.values()):
            self._changed.clear()
            lane, missing = self._missing()
            if missing and not self._asking:
                await self._pause(lane, await self._reserve_lower(lane, missing))
            else:
                await self._changed.wait()

    async def _pause(self, lane: Lane, seconds: float) -> None:
        """Pause, unless a higher lane than this one is to ask."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._missing()[0] >= lane:
                    self._changed.clear()
                    await self._changed.wait()

    def _missing(self) -> tuple[Lane, int]:
        """The highest of the lower lanes that has not a slot for each who waits, and how many it wants."""
        spare = max(0, len(self._slots) - len(self._waiting) - len(self._at_once))
        stale = len(self._lower[Lane.STALE])
        if stale > spare:
            return Lane.STALE, stale - spare
        return Lane.PREWARM, max(0, len(self._lower[Lane.PREWARM]) - (spare - stale))

    async def _reserve_lower(self, lane: Lane, wanted: int) -> float:
        """Reserve slots; how long to wait before the governor is asked again."""
        crowded = self._crowded_seconds()
        if crowded:
            return crowded
        lead = self._governor.lead_seconds
        reservation = await self._governor.reserve(lane, lead, min(wanted, self.lower_callers))
        for begins in reservation.begins(self._clock.monotonic()):
            if not self._is_late(begins):
                self._add_slot(begins)
        wait = reservation.wait_seconds + reservation.granted * reservation.apart_seconds
        return max(wait - lead / 2, MIN_PAUSE_SECONDS)

    def _add_slot(self, begins: float) -> None:
        bisect.insort(self._slots, begins)
        loop = asyncio.get_running_loop()
        loop.call_later(max(0.0, begins - self._clock.monotonic()), self._begin, begins)

    def _begin(self, begins: float) -> None:
        self._slots.remove(begins)
        self._changed.set()
        if self._is_late(begins):
            self._lose_slot()
            return
        crowded = self._crowded_seconds()
        if not crowded:
            self._hand_on(begins)
        elif not self._is_late(begins - crowded):
            self._add_slot(self._clock.monotonic() + crowded)
        else:
            self._lose_slot()

    def _lose_slot(self) -> None:
        # The loop stood still. Others may begin in this same turn of the loop, and go first to those who wait.
        if self._asking_again is None:
            self._asking_again = asyncio.get_running_loop().call_soon(self._ask_again)

    def _ask_again(self) -> None:
        """Let callers without a list reserve again, for whom no slot is left."""
        self._asking_again = None
        now, slot_seconds = self._clock.monotonic(), self._governor.slot_seconds
        for gone in self._waiting.remove_all(lambda one: one.slot.done() or is_late(now - one.until, slot_seconds)):
            _refuse(gone)
        while len(self._waiting) > len(self._slots) and (caller := self._waiting.last()) is not None:
            caller.slot.set_result(None)

    def _is_late(self, begins: float) -> bool:
        return is_late(self._clock.monotonic() - begins, self._governor.slot_seconds)

    def _crowded_seconds(self) -> float:
        return self._rate_window.crowded_seconds(1.0 / self._governor.max_tps, self._clock.monotonic())

    def _use_slot(self) -> None:
        self._rate_window.add(self._clock.monotonic())

    def _hand_back(self, caller: _Caller) -> None:
        slot = caller.slot
        if slot.done() and not slot.cancelled() and slot.exception() is None and (begins := slot.result()) is not None:
            self._rate_window.withdraw()
            self._hand_on(begins)

    def _hand_on(self, begins: float) -> None:
        """Give the slot that has begun to the highest lane that waits."""
        while (caller := self._waiting.next()) is not None:
            if self._is_late(caller.until):
                # Others had the turns before it.
                _refuse(caller)
            elif not caller.slot.done():
                self._give(caller, begins)
                return
        for caller in chain(self._at_once, *self._lower.values()):
            if not caller.slot.done():
                self._give(caller, begins)
                return

    def _give(self, caller: _Caller, begins: float) -> None:
        caller.slot.set_result(begins)
        self._use_slot()


def _refuse(caller: _Caller) -> None:
    if not caller.slot.done():
        caller.slot.set_exception(BudgetExhausted())
