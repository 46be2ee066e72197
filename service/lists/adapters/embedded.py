"""What stands in for shared state in an embedded replica, which has nobody to share with."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from service.lists.envelope import Envelope, created_at
from service.lists.keys import UserKey, UserPrefix
from service.lists.ports import Boarding, Landed, Landing, LocalLists, Outcome


class EmbeddedLists:
    """`SharedLists` of an embedded replica: it always leads."""

    def __init__(self, memory: LocalLists) -> None:
        self._memory = memory

    async def board(self, key: UserKey, **_: object) -> Boarding:
        """Lead, with nothing found."""
        del key
        return Boarding(leader=True)

    async def land(self, key: UserKey, outcome: Outcome, *, led: bool) -> Landed:
        """Nobody listens, and nobody else answers."""
        del key, led
        return Landed(outcome)

    def note(self, key: UserKey, *, shared: bool) -> None:
        """Nobody else is to have it."""
        del key, shared

    @asynccontextmanager
    async def follow(self, key: UserKey) -> AsyncIterator[Landing]:
        """Never entered as a follower."""
        del key
        yield _Nowhere()

    async def look(self, key: UserKey) -> Envelope | None:
        """Nothing is kept that is not in memory, where the caller has looked."""
        del key
        return None

    async def made_at(self, keys: Sequence[UserKey]) -> list[float | None]:
        """Looks into the memory of this process."""
        envelopes = map(self._memory.get, keys)
        return [None if envelope is None else created_at(envelope) for envelope in envelopes]


class NoBatchLists:
    """`BatchLists` of a process that has none."""

    async def get(self, key: UserKey) -> Envelope | None:
        """Nothing is kept."""
        del key
        return None

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """Nothing to forget."""


class _Nowhere:
    async def wait(self, timeout_seconds: float) -> Outcome | None:
        del timeout_seconds
        return None
