"""Redis's clock, as a replica knows it; all replicas agree on it."""

import math
from dataclasses import dataclass
from typing import Final

import structlog

from service.clock import Clock

MAX_COMPARISON_SECONDS: Final = 30.0
"""A comparison of the two clocks counts for this long at most."""

DRIFT: Final = 0.001
"""By how much two clocks part in a second at most: something that sets one slowly moves it by half of this."""

MIN_STEP_SECONDS: Final = 0.005
"""Two comparisons that differ by less than this, and what their errors allow, agree."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ClockStep:
    """Redis's clock was set.

    Attributes:
        seconds: By so much; below zero: back.
        after: Monotonic time at which the clock was last seen as it had been.
    """

    seconds: float
    after: float


class SharedClock:
    """Redis's clock in Unix seconds, read from this process's monotonic one.

    Every answer of Redis compares the two. The comparison with the shortest round trip counts; it gets worse with its
    age. A comparison that contradicts it shows that Redis's clock was set.

    Args:
        clock: Its monotonic time is compared.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_seconds = 0.0
        self._distrusted = False
        self._compared_at = float("-inf")
        self.error_seconds = float("inf")
        """How wrong `time()` was at the comparison that counts; infinite before the first one."""
        self.step: ClockStep | None = None
        """How Redis's clock was set since somebody has last taken this away."""
        self.set_at = float("-inf")
        """Monotonic time at which it was last found to be set; what was asked before may be of either time."""

    @property
    def is_known(self) -> bool:
        """Whether there was a comparison."""
        return self.error_seconds < math.inf

    def time(self) -> float:
        """Redis's time now, in Unix seconds; meaningless before the first comparison."""
        return self._clock.monotonic() + self._offset_seconds

    def compare(self, redis_seconds: float, *, sent_at: float) -> None:
        """Learn from an answer that has just arrived.

        Args:
            redis_seconds: Redis's clock when it answered.
            sent_at: Monotonic time at which the question left.
        """
        if sent_at < self.set_at:
            return
        now = self._clock.monotonic()
        error, offset = (now - sent_at) / 2, redis_seconds - (sent_at + now) / 2
        age = now - self._compared_at
        step = offset - self._offset_seconds
        if abs(step) > self.error_seconds + error + max(MIN_STEP_SECONDS, DRIFT * age):
            self._found(step, now)
        elif not self._distrusted and age <= MAX_COMPARISON_SECONDS and error > self.error_seconds + DRIFT * age:
            return
        self._offset_seconds, self.error_seconds, self._compared_at = offset, error, now
        self._distrusted = False

    def distrust(self) -> None:
        """Let the next comparison count, however long its round trip."""
        self._distrusted = True

    def _found(self, seconds: float, now: float) -> None:
        _log.warning("redis_clock_set", seconds=round(seconds, 3))
        before = self.step
        after = self._compared_at if before is None else before.after
        self.step = ClockStep(seconds + (0.0 if before is None else before.seconds), after)
        self.set_at = now
