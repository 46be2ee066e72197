"""A command's turn at Redis, with its deadline, and what its failure says.

A class where two generators would do: each miss takes three turns, and generators would make each half as dear again.
"""

import asyncio
from types import TracebackType
from typing import Protocol

from service.fleet.causes import read_wrong
from service.fleet.connections import AnyRedis
from service.fleet.deadline import AnswerWithin


class Heard(Protocol):
    """The client, which hears what came of a command."""

    timeout_seconds: float
    """For one command."""

    @property
    def redis(self) -> AnyRedis:
        """The library's client.

        Raises:
            SharedStateUnavailable: Redis was not found yet.
        """

    def note_answer(self, node: str) -> None:
        """A node of a cluster has answered."""

    def error_of(self, error: BaseException, node: str | None, *, spread: bool) -> Exception | None:
        """What the users are to see of a failure, which is noted; None if it is none of Redis's."""


class Asking:
    """The block of one command.

    Args:
        client: Hears of failures.
        turns: As many commands may be under way.
        node: The cluster's, for these keys.
        spread: Whether any node of a cluster may have answered.
    """

    __slots__ = ("_client", "_node", "_spread", "_turns", "_within")

    def __init__(self, client: Heard, turns: asyncio.Semaphore, node: str | None, *, spread: bool) -> None:
        self._client = client
        self._turns = turns
        self._node = node
        self._spread = spread
        self._within = AnswerWithin(client.timeout_seconds)

    async def __aenter__(self) -> AnyRedis:
        self._within.__enter__()
        try:
            await self._turns.acquire()
        except BaseException as error:
            self._end(error)
            raise
        try:
            return self._client.redis
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._turns.release()
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        """End the deadline, and raise what the users are to see in the place of this error."""
        try:
            self._within.__exit__(None if error is None else type(error), error, None)
        except TimeoutError as late:
            error = late
        if error is not None:
            error = read_wrong(error)
            shown = self._client.error_of(error, self._node, spread=self._spread)
            if shown is not None:
                raise shown from error
        elif self._node is not None:
            self._client.note_answer(self._node)
