"""The schedule of a replica that cannot ask the others: its points among those of all replicas."""

import math
from dataclasses import dataclass
from typing import Final

from service.budget.ports import Lane, Reservation
from service.budget.schedule import LEAD_SECONDS, Throttle
from service.fleet.share import Share

KEPT_BACK_SHARE: Final = 0.25
"""The part of a replica's share that is spent beside the budget while replicas disagree on who reaches Redis: by the
replica while it is in doubt, by the others once it counts as missing. `reserve.lua` has it too."""

_SAME_POINT: Final = 1e-3
"""Points nearer than this share of a period are one: floats are that coarse at today's Unix times."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on two clocks. The shared one may be set anew at any time, the other one never.

    Attributes:
        shared: On the clock that the replicas share.
        monotonic: On this process's own.
    """

    shared: float
    monotonic: float


class ShareSchedule:
    """Evenly spaced points in time, of which every replica owns each n-th, so that all together spend `max_tps`.

    Pure: callers pass the time. The points lie on the shared clock; their distances are kept on the process's own.

    Args:
        max_tps: Points per second, of all replicas.
    """

    def __init__(self, max_tps: float) -> None:
        self._max_tps = max_tps
        self._last = float("-inf")
        self.throttle = Throttle()
        """On the process's own clock."""

    def reserve(self, share: Share, lane: Lane, within_seconds: float, now: Moment, whole_from: float) -> Reservation:
        """The next point of this replica's share, by the rules of `TpsGovernor.reserve`; never more than one.

        Args:
            share: This replica's.
            lane: Of the caller; prewarms have no share.
            within_seconds: How long the caller can wait.
            now: The time.
            whole_from: Before this point on the monotonic clock the replica has only the part that is kept back.
        """
        if lane is not Lane.NO_LIST:
            within_seconds = min(within_seconds, LEAD_SECONDS)
        # Nothing is kept back for a replica that Redis has granted nothing yet. It waits until Redis's slots are used.
        earliest = now.monotonic if share.whole else max(now.monotonic, whole_from)
        begins = self._point(share, now, earliest, KEPT_BACK_SHARE)
        if share.whole and begins >= whole_from:
            begins = self._point(share, now, max(now.monotonic, whole_from), 1.0)
        wait = max(0.0, begins - now.monotonic)
        granted = wait <= within_seconds
        if granted:
            self._last = begins
        return Reservation(int(granted), wait, 1.0 / self.rate(share, now, whole_from))

    def rate(self, share: Share, now: Moment, whole_from: float) -> float:
        """Slots per second of this share now."""
        part = 1.0 if share.whole and now.monotonic >= whole_from else KEPT_BACK_SHARE
        return self._max_tps * part * self.throttle.share(now.monotonic) / share.replicas

    def _point(self, share: Share, now: Moment, earliest: float, part: float) -> float:
        """The first point from `earliest` on, monotonic, when only this part of every share is spent."""
        distance = 1.0 / (self._max_tps * part)
        period = share.replicas * distance
        phase = share.position * distance - now.shared + now.monotonic
        earliest = max(earliest, self._last + period / self.throttle.share(now.monotonic))
        return phase + math.ceil((earliest - phase) / period - _SAME_POINT) * period
