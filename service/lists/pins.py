"""Answers that are repeated for some seconds."""

from typing import Final

from cachetools import TTLCache

from service.clock import Clock
from service.lists.keys import UserKey, UserPrefix
from service.lists.ports import Outcome

MAX_PINS: Final = 50_000
"""Users whose degraded answer is remembered; about 10 MB. Beyond it the oldest pin goes, which costs at most that one
message's parts differ."""


class LocalPins:
    """Degraded answers that users of this replica got moments ago."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._pins: TTLCache[UserKey, Outcome] = TTLCache(MAX_PINS, seconds, timer=clock.monotonic)

    def get(self, key: UserKey) -> Outcome | None:
        """The answer to repeat, if there is one."""
        return self._pins.get(key)

    def put(self, key: UserKey, outcome: Outcome) -> None:
        """Repeat this answer from now on; the first answer of a moment is the one repeated."""
        if key not in self._pins:
            self._pins[key] = outcome

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`."""
        # What has lapsed stays in memory until somebody looks.
        self._pins.expire()
        for key in [key for key in self._pins if key.startswith(user_prefix)]:
            self._pins.pop(key, None)
