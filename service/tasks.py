"""Ending tasks of our own."""

import asyncio
from typing import Final

_ASK_AGAIN_SECONDS: Final = 0.25


async def stop_task(task: asyncio.Task[None]) -> None:
    """End a task that may be inside a library, and wait until it has ended.

    A cancellation that meets a timeout inside the library can be lost, so one is not enough.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=_ASK_AGAIN_SECONDS)
