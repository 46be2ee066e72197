"""Tasks of our own: how one is ended, how they go one at a time, and how a long one lets others have their turn."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from service.errors import TryLater

_ASK_AGAIN_SECONDS: Final = 0.25

Item = TypeVar("Item")


async def for_each(items: Iterable[Item], do: Callable[[Item], None], *, at_once: int) -> None:
    """Do something with each item, in their order; the event loop has its turn behind so many."""
    for number, item in enumerate(items, 1):
        do(item)
        if number % at_once == 0:
            await asyncio.sleep(0)


async def stop_task(task: asyncio.Task[object]) -> None:
    """End a task that may be inside a library, and wait until it has ended.

    A cancellation that meets a timeout inside the library can be lost, so one is not enough.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=_ASK_AGAIN_SECONDS)


class OneAtATime:
    """Lets one in after another, and only a few wait.

    Args:
        max_waiting: One more is sent away.
        sent_away: What that one reads.
    """

    def __init__(self, max_waiting: int, sent_away: str) -> None:
        self._max_waiting = max_waiting
        self._sent_away = sent_away
        self._turn = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The others wait as long as this lasts.

        Raises:
            TryLater: Too many wait already.
        """
        if self._waiting >= self._max_waiting:
            raise TryLater(self._sent_away)
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turn.release()
