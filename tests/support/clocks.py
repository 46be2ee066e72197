"""Clocks that a test moves. One that jumps from timer to timer by itself is in `virtual_time.py`."""

import time
from dataclasses import dataclass

from tests.support.virtual_time import EPOCH


@dataclass(slots=True)
class MovingClock:
    """Real time, moved forward at will; `skew_seconds` sets only the Unix time, in either direction."""

    moved_seconds: float = 0.0
    skew_seconds: float = 0.0

    def time(self) -> float:
        return time.time() + self.moved_seconds + self.skew_seconds

    def monotonic(self) -> float:
        return time.monotonic() + self.moved_seconds


@dataclass(slots=True)
class StandingClock:
    """Stands still until it is moved."""

    now: float = 0.0

    def time(self) -> float:
        return EPOCH + self.now

    def monotonic(self) -> float:
        return self.now
