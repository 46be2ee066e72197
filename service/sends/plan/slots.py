"""The budget of the simulated replica."""

from collections import deque
from collections.abc import Callable, Sequence

from service.budget.ports import Lane
from service.budget.rate_window import RateWindow
from service.budget.schedule import LEAD_SECONDS, SlotSchedule
from service.sends.plan.timeline import Timeline


class SimulatedSlots:
    """What `SlotQueue` does, by the same rules in virtual time.

    Args:
        rate: Slots a second.
        timeline: On which a slot begins.
    """

    def __init__(self, rate: float, timeline: Timeline) -> None:
        self._schedule = SlotSchedule(rate)
        self._rate_window = RateWindow()
        self._timeline = timeline
        self._waiting: deque[tuple[Callable[[], None], float]] = deque()
        self.longest_wait_seconds = 0.0
        """Longest wait of a call that got a slot."""

    def ask(self, lane: Lane, starts: Sequence[Callable[[], None]]) -> tuple[int, float]:
        """Reserve slots for a lower lane, unless a call without a list waits.

        Args:
            lane: The lane.
            starts: Each begins a transaction; called when its slot begins, perhaps before this returns.

        Returns:
            How many got a slot, and how long to wait before asking again makes sense.
        """
        now = self._timeline.now
        crowded = self._crowded_seconds()
        if crowded or self._waiting:
            return 0, crowded or 1.0 / self._schedule.rate(now)
        reservation = self._schedule.reserve(lane, LEAD_SECONDS, now, len(starts))
        for start, begins in zip(starts, reservation.begins(now), strict=False):
            if begins <= now:
                start()
            else:
                self._timeline.call_at(begins, start)
        wait = reservation.wait_seconds + reservation.granted * reservation.apart_seconds
        return reservation.granted, wait - LEAD_SECONDS / 2

    def wait(self, until: float, start: Callable[[], None]) -> bool:
        """Reserve a slot for a call without a list; whether one begins in time.

        Args:
            until: Latest begin of the slot.
            start: Begins the transaction; called when the slot begins, perhaps before this returns.
        """
        now = self._timeline.now
        reservation = self._schedule.reserve(Lane.NO_LIST, until - now, now)
        if not reservation.granted:
            return False
        wait = max(reservation.wait_seconds, self._crowded_seconds())
        if wait <= 0 and not self._waiting:
            start()
        else:
            self._waiting.append((start, now))
            self._timeline.call_at(now + wait, self._begin)
        return True

    def use(self) -> None:
        """A slot is used now, or lost."""
        self._rate_window.add(self._timeline.now)

    def _begin(self) -> None:
        now = self._timeline.now
        crowded = self._crowded_seconds()
        if crowded:
            self._timeline.call_at(now + crowded, self._begin)
            return
        start, since = self._waiting.popleft()
        self.longest_wait_seconds = max(self.longest_wait_seconds, now - since)
        start()

    def _crowded_seconds(self) -> float:
        now = self._timeline.now
        return self._rate_window.crowded_seconds(1.0 / self._schedule.rate(now), now)
