"""Waiting for what nobody announces: pollers with a deadline, the only places where a test sleeps in real time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

LOOK_SECONDS = 0.01
"""Between two looks."""

PATIENCE_SECONDS = 60.0
"""Far above what any wait takes; a machine that does other work too is slow, not wrong."""


async def until(
    is_so: Callable[[], bool] | Callable[[], Awaitable[bool]], *, seconds: float = PATIENCE_SECONDS
) -> None:
    """Return once something has come true; it is asked in this event loop, so it must not block.

    Raises:
        TimeoutError: It did not come true.
    """
    async with asyncio.timeout(seconds):
        while True:
            found = is_so()
            if (await found) if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(LOOK_SECONDS)


def wait_until(is_so: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
    """The same, without an event loop.

    Raises:
        TimeoutError: It did not come true.
    """
    give_up_at = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > give_up_at:
            raise TimeoutError
        time.sleep(LOOK_SECONDS)
