"""When lists get new numbers: behind a reload of the catalogue, if many items that once had one are in none."""

import asyncio

from service.lists.memory import ListMemory
from service.tasks import stop_task


class Renumbering:
    """Renumbers lists in the background.

    Args:
        memory: The lists.
    """

    def __init__(self, memory: ListMemory) -> None:
        self._memory = memory
        self._task: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Begin if it is due, and not under way."""
        if self._memory.has_idle_numbers and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._memory.renumber(), name="renumbering")

    async def close(self) -> None:
        """Leave it; the lists can be read all the same."""
        if self._task is not None:
            await stop_task(self._task)
