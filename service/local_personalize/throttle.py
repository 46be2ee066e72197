"""The ceiling on transactions per second."""

from collections.abc import Callable

_ROUNDING = 1e-9
"""Tokens. Forgives the float error of calls spaced exactly one token apart."""


class TokenBucket:
    """Admits `tokens_per_second` calls a second on average, and at most one second's worth at once.

    A rate below one still admits a single call as soon as a whole token has gathered. The bucket
    starts full. A rate of 0 means no limit.

    Args:
        tokens_per_second: The rate, 0 or more.
        clock: Seconds that never run backwards.
    """

    def __init__(self, *, tokens_per_second: float, clock: Callable[[], float]) -> None:
        self._rate = tokens_per_second
        self._capacity = max(1.0, tokens_per_second)
        self._clock = clock
        self._tokens = self._capacity
        self._counted_at = clock()

    def try_take(self) -> bool:
        """Whether a call may pass now; one that may not costs nothing."""
        if self._rate == 0:
            return True
        now = self._clock()
        gathered = (now - self._counted_at) * self._rate
        self._tokens = min(self._capacity, self._tokens + gathered)
        self._counted_at = now
        if self._tokens < 1 - _ROUNDING:
            return False
        self._tokens -= 1
        return True
