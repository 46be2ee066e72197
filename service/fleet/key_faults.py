"""Faults of one key, which say nothing of Redis as a whole: the others are answered."""

import asyncio
from typing import Final

import structlog
from redis.exceptions import OutOfMemoryError, ResponseError

from service.errors import SharedStateFull, SharedStateUnavailable
from service.fleet.causes import cause_of

_OF_A_KEY: Final = ("WRONGTYPE", "NOGROUP", "no such key", "ERR no such key")
"""A value of another type, and a stream that a Redis without memory has lost, say nothing of Redis itself."""

LOG_SECONDS: Final = 60.0
"""Between two log lines of a kind."""

_MORE_MEMORY: Final = "give Redis more memory, or maxmemory-policy volatile-lru; until then new lists are not shared"
_OWN_KEYS: Final = "give the service a database or a Redis of its own; here, delete the keys that begin with pc:"

_log = structlog.stdlib.get_logger(__name__)


class KeyFaultLog:
    """Tells such faults from others, and says them in the log.

    Args:
        redis: Its hosts, for the log.
    """

    def __init__(self, redis: str) -> None:
        self._redis = redis
        self._logged_at: dict[str, float] = {}

    def shown(self, error: BaseException) -> SharedStateUnavailable | None:
        """What the users are to see of a fault of a key; None for any other error."""
        if isinstance(error, OutOfMemoryError):
            if self._is_due("redis_full"):
                _log.warning("redis_full", **self._words(error), remedy=_MORE_MEMORY)
            return SharedStateFull("Redis is full")
        if not (isinstance(error, ResponseError) and str(error).startswith(_OF_A_KEY)):
            return None
        if str(error).startswith("WRONGTYPE") and self._is_due("redis_key_foreign"):
            _log.warning("redis_key_foreign", **self._words(error), remedy=_OWN_KEYS)
        return SharedStateUnavailable(f"Redis failed: {type(error).__name__}")

    def _is_due(self, event: str) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._logged_at.get(event, float("-inf")) < LOG_SECONDS:
            return False
        self._logged_at[event] = now
        return True

    def _words(self, error: BaseException) -> dict[str, str]:
        return {"redis": self._redis, "cause": cause_of(error, tls=False).words}
