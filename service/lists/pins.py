"""Answers that are repeated for some seconds."""

from cachetools import TTLCache

from service.clock import Clock
from service.lists.ports import Outcome

MAX_PINS = 50_000
"""Users whose degraded answer is remembered; about 10 MB. Beyond it the oldest pin goes, which costs at most
that one message's parts differ."""


class LocalPins:
    """What users of this replica were answered moments ago when no live list could be had."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._pins: TTLCache[bytes, Outcome] = TTLCache(MAX_PINS, seconds, timer=clock.monotonic)

    def get(self, key: bytes) -> Outcome | None:
        """The answer to repeat, if there is one."""
        return self._pins.get(key)

    def put(self, key: bytes, outcome: Outcome) -> None:
        """Repeat this answer from now on; the first answer of a moment is the one repeated."""
        if key not in self._pins:
            self._pins[key] = outcome

    def discard(self, key: bytes) -> None:
        """Forget a user."""
        self._pins.pop(key, None)

    async def forget_user(self, user_prefix: bytes) -> None:
        """Discard the answers whose keys begin so."""
        # What has lapsed stays in memory until somebody looks.
        self._pins.expire()
        for key in [key for key in self._pins if key.startswith(user_prefix)]:
            self.discard(key)
