"""How long a refusal waits: some a second are sent at once, the others a little later.

A client that asks again as soon as it is refused costs a connection each time, and a request. Two hundred such clients
would take a whole core. Kept waiting for a second or so each, they take a fifth of it. An honest mistake still hears
what is wrong before Braze gives up.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

UNDELAYED: Final = 20
"""Refusals in a second that are sent at once, as after a rotation that forgot a template."""

MIN_DELAY_SECONDS: Final = 0.5
MAX_DELAY_SECONDS: Final = 1.5
"""How long each beyond is kept waiting: not all equally long, since they would come back in one moment."""

MAX_DELAYED: Final = 200
"""Refusals that wait at a time."""

_STEP: Final = (5**0.5 - 1) / 2
"""Of the golden ratio: fractions of its multiples are spread evenly, however many there are."""


class Delays:
    """Of refusals of one kind.

    Args:
        monotonic: The clock that they are counted by.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._tokens = float(UNDELAYED)
        self._at = monotonic()
        self._place = 0.0

    def seconds(self) -> float:
        """How long the next refusal waits."""
        now = self._monotonic()
        self._tokens, self._at = min(self._tokens + (now - self._at) * UNDELAYED, UNDELAYED), now
        if self._tokens < 1:
            self._place = (self._place + _STEP) % 1
            return MIN_DELAY_SECONDS + self._place * (MAX_DELAY_SECONDS - MIN_DELAY_SECONDS)
        self._tokens -= 1
        return 0.0


class WrongCredentials:
    """Slows down a caller who tries many credentials, wherever they are tried.

    Of those that are kept waiting there are so few at a time that their memory is nothing; the rest is answered at once
    too, so that wrong ones cannot pile up.
    """

    def __init__(self) -> None:
        self._delays = Delays()
        self._delayed = 0

    async def wait(self) -> None:
        """Return when the refusal may be sent."""
        seconds = self._delays.seconds()
        if seconds and self._delayed < MAX_DELAYED:
            self._delayed += 1
            try:
                await asyncio.sleep(seconds)
            finally:
                self._delayed -= 1
