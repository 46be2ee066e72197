"""The budget of one campaign: its slots, and the queue of those who wait for one."""

from collections.abc import Callable

from service.budget.ports import Lane, TpsGovernor
from service.budget.rate_window import is_late
from service.budget.slot_queue import SlotQueue
from service.clock import Clock
from service.models import NOBODY, Sender
from service.spans import span


class Budget:
    """All slots of one campaign's TPS, as this replica gets them.

    Args:
        governor: Hands them out.
        clock: Its monotonic time carries them.
        weight_of: Of each sender, among those whose callers wait.
    """

    def __init__(
        self, governor: TpsGovernor, clock: Clock, weight_of: Callable[[Sender], float] = lambda _: 1.0
    ) -> None:
        self._governor = governor
        self._clock = clock
        self._queue = SlotQueue(governor, clock, weight_of)

    @property
    def tps_in_use(self) -> float:
        """The rate at which slots are handed out now; at most the TPS that is configured."""
        return self._governor.tps_in_use

    @property
    def slot_seconds(self) -> float:
        """Seconds between two slots."""
        return self._governor.slot_seconds

    @property
    def lower_callers(self) -> int:
        """So many callers of a lower lane must wait at a time that no slot is lost for want of one."""
        return self._queue.lower_callers

    def is_late(self, slot_at: float) -> bool:
        """Whether the slot that began at this point on the monotonic clock is lost by now."""
        return is_late(self._clock.monotonic() - slot_at, self._governor.slot_seconds)

    async def acquire(self, lane: Lane, until: float, sender: Sender = NOBODY) -> float:
        """When the slot began that is ours; the transaction must start now. See `SlotQueue.acquire`.

        Raises:
            BudgetExhausted: No slot can be had by then; raised as soon as it is known.
        """
        with span("budget wait"):
            return await self._queue.acquire(lane, until, sender)

    async def throttled(self) -> None:
        """Personalize refused a transaction for its rate: lower the rate at once."""
        await self._governor.throttled()

    def close(self) -> None:
        """Refuse everyone who still waits."""
        self._queue.close()
