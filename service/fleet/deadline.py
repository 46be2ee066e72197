"""A deadline for answers from the outside, against which the loop's own stalls do not count.

A process that gets no CPU for a moment, as a container at its limit does, wakes to find its timer due and the answer
waiting to be read, both at once. A plain timeout then blames the other side.
"""

import asyncio
from types import TracebackType
from typing import Final

STALL_SECONDS: Final = 0.05
"""A timer that runs later than that was held up by the loop."""

MOMENT_SECONDS: Final = 0.05
"""After a stall, for what has to be read or was not sent yet."""


class AnswerWithin:
    """Ends its block with `TimeoutError`, as `asyncio.timeout` does, unless the loop was not there to hear the answer.

    A stall is forgiven once, so the block ends in any case. `asyncio.wait_for` of Python 3.11, by which the library
    sends, may lose a cancellation, so the task is cancelled until it has left the block.

    It is no `asyncio.timeout` inside: each miss has three of these, and a second object with a way in and a way out of
    its own would cost as much again.

    Args:
        seconds: For the answer.
    """

    __slots__ = ("_cancelled", "_due", "_loop", "_requests", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._cancelled = 0

    def __enter__(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None  # noqa: S101  # nothing is awaited outside a task
        self._task, self._requests = task, task.cancelling()
        self._due = loop.time() + self._seconds
        self._timer: asyncio.Handle = loop.call_at(self._due, self._look)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._cancelled:
            for _ in range(self._cancelled):
                left = self._task.uncancel()
            # Where somebody else has cancelled the task too, it is that which ends the block.
            if left <= self._requests and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def _look(self) -> None:
        if self._loop.time() - self._due > STALL_SECONDS:
            self._timer = self._loop.call_later(MOMENT_SECONDS, self._end)
        else:
            self._end()

    def _end(self) -> None:
        # What this turn of the loop has read goes first.
        self._timer = self._loop.call_soon(self._cancel)

    def _cancel(self) -> None:
        self._cancelled += 1
        self._task.cancel()
        self._timer = self._loop.call_later(MOMENT_SECONDS, self._cancel)
