"""Work that may wait a moment, a few pieces in each turn of the event loop.

In one turn the loop does all that is ready. Two hundred requests of strangers that are ready together would hold
everybody else for as long as all of them take. Here they wait in a line instead, and answers to callers go between.
"""

import asyncio
from collections import deque
from typing import Final

MAX_A_TURN: Final = 4
"""Requests that begin in one turn; each takes a third of a millisecond or so."""


class Turns:
    """A line, first come, first served. Nobody waits while the line is short."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._left = MAX_A_TURN
        self._is_next_due = False

    def __len__(self) -> int:
        return len(self._waiting)

    async def take(self) -> bool:
        """Return when it is the caller's turn; True if that was not at once."""
        loop = asyncio.get_running_loop()
        if not self._is_next_due:
            self._is_next_due = True
            loop.call_soon(self._begin_next, loop)
        if self._left and not self._waiting:
            self._left -= 1
            return False
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn
        return True

    def _begin_next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = MAX_A_TURN
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            # One that is done was cancelled: nobody waits for it.
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
        self._is_next_due = self._left < MAX_A_TURN
        if self._is_next_due:
            loop.call_soon(self._begin_next, loop)
