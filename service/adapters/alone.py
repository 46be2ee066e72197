"""What stands in for shared state when one replica runs alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cachetools import TTLCache

from service.ports import Boarding, Clock, Landing, Outcome

MOST_PINS = 50_000
"""Users whose degraded answer is remembered; about 10 MB. Beyond it the oldest pin goes, which costs at most
that one message's parts differ."""


class LocalPins:
    """What users of this replica were answered moments ago when no live list could be had."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._pins: TTLCache[bytes, Outcome] = TTLCache(MOST_PINS, seconds, timer=clock.monotonic)

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

    async def forget_user(self, stem: bytes) -> None:
        """Discard the answers whose keys begin so."""
        # What has lapsed stays in memory until somebody looks.
        self._pins.expire()
        for key in [key for key in self._pins if key.startswith(stem)]:
            self.discard(key)


class AloneLists:
    """`SharedLists` of a replica that has nobody to share with: it always leads."""

    async def board(self, key: bytes, *, lease_seconds: float) -> Boarding:
        """Lead, with nothing known."""
        del key, lease_seconds
        return Boarding(leader=True)

    async def land(self, key: bytes, outcome: Outcome, *, led: bool) -> None:
        """Nobody listens."""

    @asynccontextmanager
    async def follow(self, key: bytes) -> AsyncIterator[Landing]:
        """Never entered as a follower."""
        del key
        yield _Nowhere()


class _Nowhere:
    async def wait(self, timeout_seconds: float) -> Outcome | None:
        del timeout_seconds
        return None
