"""Checks of credentials against slow hashes: each once, in a thread, one at a time, and never most of a core.

A caller who tries many credentials waits in a line that is short. The credential that most callers send goes first: the
callers of a send all send the same one, and somebody who guesses never sends one twice.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from service.clock import Clock
from service.credentials import SlowlyHashedSecret

MAX_WAITING: Final = 64
"""Credentials that wait to be checked; one more is refused at once."""

MAX_WAIT_SECONDS: Final = 1.2
"""How long a caller waits for its credential's check."""

REST: Final = 3.0
"""How many times as long as a check took nothing is checked after it."""

MAX_REFUSED: Final = 10_000
"""Refused credentials that are remembered, by their marks."""


@dataclass(slots=True)
class _Check:
    secret: bytes
    done: "asyncio.Future[bool]"
    callers: int = 1


class SlowChecks:
    """Of one gate.

    Args:
        hashes: What a credential may match, by its place among the credentials that are written.
        clock: Measures how long a check takes.
        on_known: Called with the mark of a credential that matches, and its place.
    """

    def __init__(
        self, hashes: Mapping[int, SlowlyHashedSecret], clock: Clock, on_known: Callable[[bytes, int], None]
    ) -> None:
        self._hashes = hashes
        self._clock = clock
        self._on_known = on_known
        self._waiting: dict[bytes, _Check] = {}
        self._refused: OrderedDict[bytes, None] = OrderedDict()
        self._worker: asyncio.Task[None] | None = None

    async def check(self, mark: bytes, secret: bytes) -> bool:
        """Whether a credential matches one of the hashes; False too when the line is full or moves too slowly."""
        if mark in self._refused:
            return False
        waiting = self._waiting.get(mark)
        if waiting is not None:
            waiting.callers += 1
        elif len(self._waiting) >= MAX_WAITING:
            return False
        else:
            waiting = self._waiting[mark] = _Check(secret, asyncio.get_running_loop().create_future())
            if self._worker is None or self._worker.done():
                self._worker = asyncio.create_task(self._work())
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                return await asyncio.shield(waiting.done)
        except TimeoutError:
            return False

    async def _work(self) -> None:
        while self._waiting:
            mark, check = max(self._waiting.items(), key=_callers)
            began = self._clock.monotonic()
            place = await asyncio.to_thread(self._place_of, check.secret)
            took = self._clock.monotonic() - began
            del self._waiting[mark]
            if place is not None:
                self._on_known(mark, place)
            else:
                self._refused[mark] = None
                if len(self._refused) > MAX_REFUSED:
                    self._refused.popitem(last=False)
            check.done.set_result(place is not None)
            await asyncio.sleep(REST * took)

    def _place_of(self, secret: bytes) -> int | None:
        return next((place for place, one in self._hashes.items() if one.matches(secret)), None)


def _callers(entry: tuple[bytes, _Check]) -> int:
    return entry[1].callers
