"""A campaign's transactions per second: its minimum at once, and more when traffic has asked for it for a while.

Amazon adds capacity when traffic exceeds the minimum, and calls may be lost until it is there.
Source: https://docs.aws.amazon.com/personalize/latest/dg/campaigns.html
"""

from collections.abc import Callable
from math import inf
from typing import Final

LAG_SECONDS: Final = 120.0
"""Until more capacity is there, in Amazon's time; how long it really takes is not published."""

MAX_TPS: Final = 500.0
"""Of one campaign. Source: https://docs.aws.amazon.com/personalize/latest/dg/limits.html"""

_HEADROOM: Final = 1.2
"""Capacity that is added, over what was asked for."""


class Capacity:
    """Admits calls of one campaign.

    Args:
        clock: Seconds that never run backwards.
        lag_seconds: Until more capacity is there, by this clock.
    """

    def __init__(self, *, clock: Callable[[], float], lag_seconds: float) -> None:
        self._clock = clock
        self._lag_seconds = lag_seconds
        self._tokens = inf
        self._counted_at = clock()
        self._window_began_at = clock()
        self._asked = 0
        self._scaled_tps = 0.0

    def try_take(self, minimum_tps: float) -> bool:
        """Whether a call may pass now, where so many calls a second are provisioned at least."""
        now = self._clock()
        self._asked += 1
        if now - self._window_began_at >= self._lag_seconds:
            demand = self._asked / (now - self._window_began_at)
            self._scaled_tps = min(demand * _HEADROOM, MAX_TPS) if demand > minimum_tps else 0.0
            self._window_began_at, self._asked = now, 0
        tps = max(minimum_tps, self._scaled_tps)
        self._tokens = min(max(1.0, tps), self._tokens + (now - self._counted_at) * tps)
        self._counted_at = now
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True
