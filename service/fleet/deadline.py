"""A deadline for answers from the outside, against which the loop's own stalls do not count.

A process that gets no CPU for a moment, as a container at its limit does, wakes to find its timer due and the answer
waiting to be read, both at once. A plain timeout then blames the other side.
"""

import asyncio
from typing import Final

STALL_SECONDS: Final = 0.05
"""A timer that runs later than that was held up by the loop."""

MOMENT_SECONDS: Final = 0.05
"""After a stall, for what has to be read or was not sent yet."""


class AnswerWithin:
    """Ends its block with `TimeoutError`, as `asyncio.timeout` does, unless the loop was not there to hear the answer.

    A stall is forgiven once, so the block ends in any case.

    Args:
        seconds: For the answer.
    """

    __slots__ = ("_due", "_seconds", "_timeout", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __aenter__(self) -> None:
        self._timeout = asyncio.timeout(None)
        await self._timeout.__aenter__()
        loop = asyncio.get_running_loop()
        self._due = loop.time() + self._seconds
        self._timer = loop.call_at(self._due, self._look)

    async def __aexit__(self, *ended: object) -> None:
        self._timer.cancel()
        await self._timeout.__aexit__(*ended)  # type: ignore[arg-type]  # the three of the protocol

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._due > STALL_SECONDS:
            self._timer = loop.call_later(MOMENT_SECONDS, self._end)
        else:
            self._end()

    def _end(self) -> None:
        self._timeout.reschedule(asyncio.get_running_loop().time())
