"""Waiting for what nobody announces: pollers with a deadline, the only places where a test sleeps in real time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

LOOK_SECONDS = 0.01
"""Between the first two looks."""

SELDOM_SECONDS = 0.1
"""Between two looks after a second; a look costs more than a wait."""

PATIENCE_SECONDS = 60.0
"""Far above what any wait takes; a machine that does other work too is slow, not wrong."""

PATIENT_DEADLINE_SECONDS = "4"
"""For `REQUEST_DEADLINE_SECONDS` where a test is not about it: a busy machine needs longer than a template waits."""


async def until(
    is_so: Callable[[], bool] | Callable[[], Awaitable[bool]], *, seconds: float = PATIENCE_SECONDS
) -> None:
    """Return once something has come true; it is asked in this event loop, so it must not block.

    Raises:
        TimeoutError: It did not come true.
    """
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            found = is_so()
            if (await found) if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(_pause(began))


def wait_until(is_so: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
    """The same, without an event loop.

    Raises:
        TimeoutError: It did not come true.
    """
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > seconds:
            raise TimeoutError
        time.sleep(_pause(began))


def _pause(began: float) -> float:
    return min(max(LOOK_SECONDS, (time.monotonic() - began) / 10), SELDOM_SECONDS)
