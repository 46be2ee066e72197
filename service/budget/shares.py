"""Slots of a replica that cannot ask the others, on a grid that all of them know."""

import math
from typing import Final

from service.budget.ports import Lane, Reservation
from service.budget.schedule import CREDIT_SHARE, Throttle
from service.fleet.share import Place

KEPT_BACK_SHARE: Final = 0.25
"""Of a replica's share, what is spent beside the budget at most while replicas disagree on who still reaches Redis:
by the replica while it is in doubt, by the others once it counts as missing. `reserve.lua` has it too."""

LATE_SECONDS: Final = 0.005
"""A lower lane, which cannot reserve ahead, may be so late for its point of the grid, or a quarter of the grid."""

_SAME_POINT: Final = 1e-3
"""Points nearer than this share of a period are one, whatever floats do to times of today."""


class ShareSchedule:
    """Every replica owns its points of one common grid, so that all together spend `max_tps`, evenly spaced.

    Pure: every method is told the time, on the clock that the replicas share.

    Args:
        max_tps: Points per second, of all replicas.
    """

    def __init__(self, max_tps: float) -> None:
        self._max_tps = max_tps
        self._last = float("-inf")
        self.throttle = Throttle()

    def reserve(self, place: Place, lane: Lane, within_seconds: float, now: float, whole_from: float) -> Reservation:
        """The next point of ours, by the rules of `TpsGovernor.reserve`.

        Args:
            place: Our share.
            lane: The lower ones get a point only if it is now; lists made ahead get none.
            within_seconds: How long the caller can wait.
            now: On the shared clock.
            whole_from: Earlier points are to be had only of the share kept back.
        """
        if lane is Lane.PREWARM:
            return Reservation(granted=False, wait_seconds=1.0)
        earliest = now if lane is Lane.NO_LIST else now - max(CREDIT_SHARE / self._max_tps, LATE_SECONDS)
        start = self._point(place, earliest, KEPT_BACK_SHARE, now)
        if place.whole and start >= whole_from:
            start = self._point(place, max(earliest, whole_from), 1.0, now)
        wait = max(0.0, start - now)
        granted = wait <= within_seconds if lane is Lane.NO_LIST else wait == 0.0
        if granted:
            self._last = start
        return Reservation(granted, wait)

    def rate(self, place: Place, now: float, whole_from: float) -> float:
        """Slots per second to be had now."""
        share = 1.0 if place.whole and now >= whole_from else KEPT_BACK_SHARE
        return self._max_tps * share * self.throttle.share(now) / place.replicas

    def _point(self, place: Place, earliest: float, share: float, now: float) -> float:
        grid = 1.0 / (self._max_tps * share)
        period = place.replicas * grid
        phase = place.position * grid
        earliest = max(earliest, self._last + period / self.throttle.share(now))
        return phase + math.ceil((earliest - phase) / period - _SAME_POINT) * period
