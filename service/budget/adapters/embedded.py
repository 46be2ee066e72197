"""The whole budget in one process."""

from service.budget.ports import Lane, Reservation
from service.budget.schedule import LEAD_SECONDS, SlotSchedule
from service.clock import Clock


class EmbeddedGovernor:
    """The whole budget in one process; it never fails and knows of no other replica.

    Args:
        max_tps: `PERSONALIZE_TPS`.
        clock: Its monotonic time carries the slots.
    """

    def __init__(self, max_tps: float, *, clock: Clock) -> None:
        self.max_tps = max_tps
        self._schedule = SlotSchedule(max_tps)
        self._clock = clock

    async def reserve(self, lane: Lane, within_seconds: float, slots: int = 1) -> Reservation:
        """See `TpsGovernor.reserve`; answers without suspending."""
        return self._schedule.reserve(lane, within_seconds, self._clock.monotonic(), slots)

    async def throttled(self) -> None:
        """Halve the rate, at most once a second; it climbs back within 30 s."""
        self._schedule.throttled(self._clock.monotonic())

    @property
    def tps_in_use(self) -> float:
        """At most `max_tps`."""
        return self._schedule.rate(self._clock.monotonic())

    @property
    def slot_seconds(self) -> float:
        """Seconds between two slots at the rate in use."""
        return 1.0 / self.tps_in_use

    @property
    def lead_seconds(self) -> float:
        """How long before its beginning a lower lane may reserve a slot."""
        return LEAD_SECONDS
