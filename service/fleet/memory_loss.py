"""Whether Redis has forgotten this replica."""

from typing import Final

import structlog

LOG_SECONDS: Final = 60.0
"""Between two log lines of a Redis that forgets again and again."""

_log = structlog.stdlib.get_logger(__name__)


class MemoryLossLog:
    """Says that Redis has lost its memory: once, however many budgets of this process it forgot."""

    def __init__(self) -> None:
        self._logged_at = float("-inf")

    def found(self, now: float) -> None:
        """Redis did not know this replica in one of its budgets."""
        if now - self._logged_at < LOG_SECONDS:
            return
        self._logged_at = now
        _log.warning(
            "redis_memory_lost",
            until_then="a part of the budget is not spent, since nobody knows what was",
            remedy="if Redis was not emptied or restarted, give it more memory, or maxmemory-policy volatile-lru",
        )


class MemoryLoss:
    """The last time at which that was found of one budget.

    Args:
        log: Of the Redis that all budgets share.
    """

    def __init__(self, log: MemoryLossLog) -> None:
        self.at: float | None = None
        """Monotonic time; None if it never was."""
        self._log = log

    def found(self, now: float) -> None:
        """Redis did not know this replica, which has beaten lately."""
        self.at = now
        self._log.found(now)
