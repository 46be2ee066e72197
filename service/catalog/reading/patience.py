"""Waiting for a file system that may never answer: in threads that nobody has to wait for, by deadlines."""

import asyncio
import io
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

LOOK_SECONDS: Final = 10.0
"""For looking at a file or opening it; a mount that takes longer hangs."""

STALL_SECONDS: Final = 30.0
"""Without a byte, after which reading is given up."""

_LOOKS_PER_STALL: Final = 10

_Result = TypeVar("_Result")


class Stalled(OSError):
    """The file system has not answered in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s; does its mount hang?")


class WatchedFile(io.FileIO):
    """A file that knows when it last gave something."""

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor."""
        super().__init__(descriptor, "rb")
        self._waits_since: float | None = None

    @property
    def stalled_seconds(self) -> float:
        """How long a reader has been waiting for it."""
        since = self._waits_since
        return 0.0 if since is None else time.monotonic() - since

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]  # what io hands in
        """See `io.FileIO`."""
        self._waits_since = time.monotonic()
        try:
            return os.readv(self.fileno(), [buffer])
        finally:
            self._waits_since = None


async def patiently(
    call: Callable[[], _Result],
    *,
    seconds: float | None = None,
    watched: WatchedFile | None = None,
    on_late: Callable[[_Result], None] = lambda _: None,
) -> _Result:
    """What a blocking call returns, or raises.

    It runs in a thread that keeps neither the event loop nor the process from ending.

    Args:
        call: The call.
        seconds: It may take; None for any time.
        watched: The file that it reads, which may stall `STALL_SECONDS`.
        on_late: Gets what it returns when nobody waits any more.

    Raises:
        Stalled: It did not end in time.
    """
    done = _started(call, on_late)
    try:
        while True:
            try:
                return await _within(done, seconds if watched is None else STALL_SECONDS / _LOOKS_PER_STALL)
            except Stalled:
                if watched is None:
                    raise
                if watched.stalled_seconds > STALL_SECONDS:
                    raise Stalled(STALL_SECONDS) from None
    finally:
        done.cancel()  # what it returns from now on is late
        del done  # see `_started`


def _started(call: Callable[[], _Result], on_late: Callable[[_Result], None]) -> "asyncio.Future[_Result]":
    loop = asyncio.get_running_loop()
    # An error knows the frames below: if they knew the future, which knows the error, all that those of its caller
    # hold would stay open until the collector comes by.
    waiting: list[asyncio.Future[_Result]] = [loop.create_future()]

    def succeed(result: _Result) -> None:
        done = waiting.pop()
        if done.done():
            on_late(result)
        else:
            done.set_result(result)

    def fail(error: BaseException) -> None:
        done = waiting.pop()
        if not done.done():
            done.set_exception(error)

    def run() -> None:
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001  # handed to the one who waits
                loop.call_soon_threadsafe(fail, error)
            else:
                loop.call_soon_threadsafe(succeed, result)

    done = waiting[0]
    threading.Thread(target=run, name="catalog-reading", daemon=True).start()
    return done


async def _within(done: "asyncio.Future[_Result]", seconds: float | None) -> _Result:
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(done)
    except TimeoutError:
        if done.done():
            # The call's own error, or it ended in the moment in which its time was over.
            return done.result()
        raise Stalled(seconds or 0) from None
    finally:
        del done
