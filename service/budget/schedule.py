"""When the slots of the budget begin: the rule that every governor follows."""

from typing import Final

from service.budget.ports import Lane, Reservation

LEAD_SECONDS: Final = 0.005
"""How long before its beginning a lower lane may reserve a slot, besides the time that asking takes. It is more than an
event loop is ever late while it has little to do, so that no slot is lost between two questions."""

FLOOR_SHARE: Final = 0.05
"""Lowest rate in use after throttling, as a share of TPS: low enough to stop it, high enough to notice its end."""

CLIMB_SECONDS: Final = 30.0
"""From a lowered rate back to the full one."""

THROTTLED_PAUSE_SECONDS: Final = 1.0
"""A burst of refusals halves the rate once: all its transactions left before the first refusal came."""

_NOW_SECONDS: Final = 1e-6
"""A slot nearer than this begins now; floats cannot tell the difference."""


class Throttle:
    """The share of the rate that is in use after refusals for the rate. Pure: callers pass the time."""

    __slots__ = ("_low", "_since")

    def __init__(self) -> None:
        self._low = 1.0
        self._since = float("-inf")

    def throttled(self, now: float) -> None:
        """Halve the share, unless it was halved within the last second."""
        if now - self._since >= THROTTLED_PAUSE_SECONDS:
            self._low = max(FLOOR_SHARE, self.share(now) / 2)
            self._since = now

    def share(self, now: float) -> float:
        """Of the full rate, 0..1; it climbs back within `CLIMB_SECONDS`."""
        climbed = (now - self._since) / CLIMB_SECONDS
        return 1.0 if climbed >= 1.0 else self._low + (1.0 - self._low) * max(0.0, climbed)


def slots_within(seconds: float, interval: float, most: int) -> int:
    """How many slots begin within so long, the first of them now; none if the time is below zero."""
    return 0 if seconds < 0 else min(most, 1 + int(seconds / interval + 1e-6))


class SlotSchedule:
    """Evenly spaced slots without bursts. Pure: callers pass the time.

    Slots lie at least `1 / max_tps` apart, so half-open seconds hold at most `max_tps` of them. `reserve.lua` is this
    rule again on Redis's clock: a change here is a change there.

    Args:
        max_tps: Slots per second, above zero.
        lead_seconds: How long before its beginning a lower lane may reserve a slot.
    """

    __slots__ = ("_lead_seconds", "_max_tps", "_stale_waiting_until", "_throttle", "next_free")

    def __init__(self, max_tps: float, lead_seconds: float = LEAD_SECONDS) -> None:
        self._max_tps = max_tps
        self._lead_seconds = lead_seconds
        self._throttle = Throttle()
        self._stale_waiting_until = float("-inf")
        self.next_free = float("-inf")
        """When the first slot not yet given away begins, at the earliest."""

    def reserve(self, lane: Lane, within_seconds: float, now: float, slots: int = 1) -> Reservation:
        """Give away the next slots, by the rules of `TpsGovernor.reserve`."""
        interval = 1.0 / self.rate(now)
        begins = max(self.next_free, now)
        wait = begins - now
        if wait < _NOW_SECONDS:
            wait = 0.0
        if lane is not Lane.NO_LIST:
            within_seconds = min(within_seconds, self._lead_seconds)
        granted = slots_within(within_seconds - wait, interval, slots)
        if lane is Lane.STALE and granted < slots:
            self._stale_waiting_until = now + max(wait, within_seconds) + interval
        elif lane is Lane.PREWARM and self._stale_waiting_until > now + _NOW_SECONDS:
            # A refused stale list is about to ask again. Without the mark, a prewarm that asks first would win.
            granted, wait = 0, max(wait, self._stale_waiting_until - now)
        if granted:
            self.next_free = begins + granted * interval
        return Reservation(granted, wait, interval)

    def throttled(self, now: float) -> None:
        """Halve the rate, unless it was halved within the last second."""
        self._throttle.throttled(now)

    def rate(self, now: float) -> float:
        """Slots per second in use; at most `max_tps`."""
        return self._max_tps * self._throttle.share(now)
