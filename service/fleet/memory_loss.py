"""Whether Redis has forgotten this replica."""

from typing import Final

import structlog

LOG_SECONDS: Final = 60.0
"""Between two log lines of a Redis that forgets again and again."""

_log = structlog.stdlib.get_logger(__name__)


class MemoryLoss:
    """The last time at which that was found; the log says it too."""

    def __init__(self) -> None:
        self.at: float | None = None
        """Monotonic time; None if it never was."""
        self._logged_at = float("-inf")

    def found(self, now: float) -> None:
        """Redis did not know this replica, which has beaten lately."""
        self.at = now
        if now - self._logged_at < LOG_SECONDS:
            return
        self._logged_at = now
        _log.warning(
            "redis_memory_lost",
            until_then="a part of the budget is not spent, since nobody knows what was",
            remedy="if Redis was not emptied or restarted, give it more memory, or maxmemory-policy volatile-lru",
        )
