"""The schedule of a replica that cannot ask the others: its points among those of all replicas."""

import math
from typing import Final

from service.budget.ports import Lane, Reservation
from service.budget.schedule import CREDIT_SHARE, Throttle
from service.fleet.share import Share

KEPT_BACK_SHARE: Final = 0.25
"""The part of a replica's share that is spent beside the budget while replicas disagree on who reaches Redis: by the
replica while it is in doubt, by the others once it counts as missing. `reserve.lua` has it too."""

MAX_LATE_SECONDS: Final = 0.005
"""A lower lane cannot reserve a later point, so it may take one that began this long ago, or a quarter of the distance
between two points if that is longer."""

_SAME_POINT: Final = 1e-3
"""Points nearer than this share of a period are one: floats are that coarse at today's Unix times."""


class ShareSchedule:
    """Evenly spaced points in time, of which every replica owns each n-th, so that all together spend `max_tps`.

    Pure: callers pass the time, on the clock that the replicas share.

    Args:
        max_tps: Points per second, of all replicas.
    """

    def __init__(self, max_tps: float) -> None:
        self._max_tps = max_tps
        self._last = float("-inf")
        self.throttle = Throttle()

    def reserve(self, share: Share, lane: Lane, within_seconds: float, now: float, whole_from: float) -> Reservation:
        """The next point of this replica's share, by the rules of `TpsGovernor.reserve`.

        Args:
            share: This replica's.
            lane: The lower ones get a point only if it is now; `Lane.PREWARM` gets none.
            within_seconds: How long the caller can wait.
            now: On the shared clock.
            whole_from: Before this time the replica has only the part of the share that is kept back.
        """
        if lane is Lane.PREWARM:
            return Reservation(granted=False, wait_seconds=1.0)
        earliest = now if lane is Lane.NO_LIST else now - max(CREDIT_SHARE / self._max_tps, MAX_LATE_SECONDS)
        begins = self._point(share, earliest, KEPT_BACK_SHARE, now)
        if share.whole and begins >= whole_from:
            begins = self._point(share, max(earliest, whole_from), 1.0, now)
        wait = max(0.0, begins - now)
        granted = wait <= within_seconds if lane is Lane.NO_LIST else wait == 0.0
        if granted:
            self._last = begins
        return Reservation(granted, wait)

    def rate(self, share: Share, now: float, whole_from: float) -> float:
        """Slots per second of this share now."""
        part = 1.0 if share.whole and now >= whole_from else KEPT_BACK_SHARE
        return self._max_tps * part * self.throttle.share(now) / share.replicas

    def _point(self, share: Share, earliest: float, part: float, now: float) -> float:
        """The first point from `earliest` on, when only this part of every share is spent."""
        distance = 1.0 / (self._max_tps * part)
        period = share.replicas * distance
        phase = share.position * distance
        earliest = max(earliest, self._last + period / self.throttle.share(now))
        return phase + math.ceil((earliest - phase) / period - _SAME_POINT) * period
