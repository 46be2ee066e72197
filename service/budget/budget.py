"""The budget of one campaign: its slots, and the queue of those who wait for one."""

from service.budget.ports import Lane, TpsGovernor
from service.budget.slot_queue import SlotQueue
from service.clock import Clock
from service.spans import span


class Budget:
    """All slots of one campaign's TPS, as this replica gets them."""

    def __init__(self, governor: TpsGovernor, clock: Clock) -> None:
        self._governor = governor
        self._queue = SlotQueue(governor, clock)

    @property
    def tps_in_use(self) -> float:
        """The rate at which slots are handed out now; at most the TPS that is configured."""
        return self._governor.tps_in_use

    @property
    def slot_seconds(self) -> float:
        """Seconds between two slots."""
        return self._governor.slot_seconds

    async def acquire(self, lane: Lane, until: float) -> None:
        """Return when a slot is ours; the transaction must start now. See `SlotQueue.acquire`.

        Raises:
            BudgetExhausted: No slot can be had by then; raised as soon as it is known.
        """
        with span("budget wait"):
            await self._queue.acquire(lane, until)

    async def throttled(self) -> None:
        """Personalize refused a transaction for its rate: lower the rate at once."""
        await self._governor.throttled()

    def close(self) -> None:
        """Refuse everyone who still waits."""
        self._queue.close()
