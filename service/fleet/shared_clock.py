"""Redis's clock, as a replica knows it; all replicas agree on it."""

from typing import Final

from service.clock import Clock

MAX_COMPARISON_SECONDS: Final = 30.0
"""A comparison of the two clocks counts for this long; monotonic clocks drift by some 3 ms in it."""


class SharedClock:
    """Redis's clock in Unix seconds, read from this process's monotonic one.

    Every answer of Redis compares the two. The comparison with the shortest round trip counts, for at most
    `MAX_COMPARISON_SECONDS`.

    Args:
        clock: Its monotonic time is compared.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_seconds = 0.0
        self._compared_at = float("-inf")
        self.error_seconds = float("inf")
        """How wrong `time()` may be; infinite before the first comparison."""

    def time(self) -> float:
        """Redis's time now, in Unix seconds; meaningless before the first comparison."""
        return self._clock.monotonic() + self._offset_seconds

    def compare(self, redis_seconds: float, *, sent_at: float) -> None:
        """Learn from an answer that has just arrived.

        Args:
            redis_seconds: Redis's clock when it answered.
            sent_at: Monotonic time at which the question left.
        """
        now = self._clock.monotonic()
        error = (now - sent_at) / 2
        if error <= self.error_seconds or now - self._compared_at > MAX_COMPARISON_SECONDS:
            self._offset_seconds = redis_seconds - (sent_at + now) / 2
            self.error_seconds, self._compared_at = error, now

    def distrust(self) -> None:
        """Let the next comparison count, however long its round trip."""
        self._compared_at = float("-inf")
