"""What stands in for shared state when one replica runs alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.lists.ports import Boarding, Landing, Outcome


class EmbeddedLists:
    """`SharedLists` of a replica that has nobody to share with: it always leads."""

    async def board(self, key: bytes, *, lease_seconds: float) -> Boarding:
        """Lead, with nothing known."""
        del key, lease_seconds
        return Boarding(leader=True)

    async def land(self, key: bytes, outcome: Outcome, *, led: bool) -> None:
        """Nobody listens."""

    @asynccontextmanager
    async def follow(self, key: bytes) -> AsyncIterator[Landing]:
        """Never entered as a follower."""
        del key
        yield _Nowhere()


class _Nowhere:
    async def wait(self, timeout_seconds: float) -> Outcome | None:
        del timeout_seconds
        return None
