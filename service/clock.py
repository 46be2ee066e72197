"""The two clocks: what the service asks of them, and the machine's own."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks, injected so that tests own the time."""

    def time(self) -> float:
        """Unix seconds; the same on every replica, may jump."""

    def monotonic(self) -> float:
        """Seconds of this process; never jumps. Deadlines are points on this clock."""


class SystemClock:
    """Real time."""

    def time(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """The clock that asyncio's loops run on."""
        return time.monotonic()
