"""The two clocks: what the service asks of them, and the machine's own. What is kept back of a deadline."""

from time import monotonic, time
from typing import Final, Protocol

MAX_MARGIN_SECONDS: Final = 0.05
"""Kept back at most from the time that is left, for what comes after a wait."""

MARGIN_SHARE: Final = 0.1
"""Of the time that is left, where that is less."""


def margin_seconds(left_seconds: float) -> float:
    """How much of the time that is left to keep back, for what comes after the wait."""
    return min(MAX_MARGIN_SECONDS, MARGIN_SHARE * max(0.0, left_seconds))


class Clock(Protocol):
    """Two clocks, injected so that tests own the time."""

    def time(self) -> float:
        """Unix seconds; the same on every replica, may jump."""

    def monotonic(self) -> float:
        """Seconds of this process; never jumps. Deadlines are points on this clock."""


class SystemClock:
    """Real time; the functions themselves, since a hit asks six times."""

    time = staticmethod(time)
    """Unix seconds."""

    monotonic = staticmethod(monotonic)
    """The clock that asyncio's loops run on."""
