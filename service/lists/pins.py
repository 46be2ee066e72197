"""Answers that are repeated for some seconds."""

from collections.abc import Iterable
from typing import Final

from cachetools import TTLCache

from service.clock import Clock
from service.lists.keys import UserKey, UserPrefix
from service.lists.ports import Outcome

MAX_PINS: Final = 50_000
"""Users whose degraded answer is remembered; about 10 MB. Beyond it the oldest pin goes, which costs at most that one
message's parts differ."""


class LocalPins:
    """Degraded answers that users got moments ago, here or on another replica.

    Args:
        seconds: How long an answer is repeated.
        clock: Its monotonic time tells when that is over.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        # With the point in time at which each ends, since some began elsewhere. TLRUCache is no use: it keeps keys in
        # memory that were taken out of it.
        self._pins: TTLCache[UserKey, tuple[Outcome, float]] = TTLCache(MAX_PINS, seconds, timer=clock.monotonic)
        # Most of the time there is none, which every hit asks.
        self._last_ends = float("-inf")

    def get(self, key: UserKey) -> Outcome | None:
        """The answer to repeat, if there is one."""
        if self._last_ends <= self._clock.monotonic():
            return None
        pin = self._pins.get(key)
        return None if pin is None or pin[1] <= self._clock.monotonic() else pin[0]

    def lasting(self, key: UserKey) -> tuple[Outcome, float] | None:
        """The same, and the seconds for which it is still repeated."""
        if (outcome := self.get(key)) is None:
            return None
        return outcome, self._pins[key][1] - self._clock.monotonic()

    def put(self, key: UserKey, outcome: Outcome, seconds: float | None = None) -> None:
        """Repeat this answer from now on; the first answer of a moment is the one repeated.

        Args:
            key: Whose answer.
            outcome: The answer.
            seconds: What is left of a pin that began on another replica.
        """
        if self.get(key) is None:
            lasts = self._seconds if seconds is None else min(seconds, self._seconds)
            ends = self._clock.monotonic() + lasts
            self._pins[key] = (outcome, ends)
            self._last_ends = max(self._last_ends, ends)

    def kept_keys(self) -> Iterable[bytes]:
        """See `Searchable`."""
        return list(self._pins)

    def clear(self) -> None:
        """See `Searchable`."""
        self._pins.clear()

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`."""
        # What has lapsed stays in memory until somebody looks.
        self._pins.expire()
        for key in [key for key in self._pins if key.startswith(user_prefix)]:
            self._pins.pop(key, None)
