"""The machine's clocks."""

import time


class SystemClock:
    """Real time."""

    def time(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """The clock that asyncio's loops run on."""
        return time.monotonic()
