"""The links between the replicas of a world; only packets are modelled, and who is there to read them."""

import asyncio
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from typing import Any, Self, cast
from unittest.mock import patch
from weakref import WeakKeyDictionary

from service.errors import SharedStateUnavailable
from service.fleet.heartbeat import Heartbeat
from service.fleet.link import Message
from service.fleet.links import LOOK_SECONDS, Links
from tests.support.redis_network import ModelClient, RedisServerModel
from tests.support.virtual_time import PROCESS, BlindLoop

_AT: WeakKeyDictionary[RedisServerModel, "dict[bytes, ModelLinks]"] = WeakKeyDictionary()
"""The replicas that have found each other at a Redis."""

_APART: WeakKeyDictionary[RedisServerModel, set[frozenset[bytes]]] = WeakKeyDictionary()
"""Pairs of them between which nothing arrives."""


def set_apart(server: RedisServerModel, pair: frozenset[bytes], *, apart: bool) -> None:
    """From now on nothing arrives between two replicas, or it does so again."""
    pairs = _APART.setdefault(server, set())
    if apart:
        pairs.add(pair)
    else:
        pairs.discard(pair)
    for one in _AT.get(server, {}).values():
        one.weigh()


def links_left(server: RedisServerModel) -> int:
    """How many replicas still listen to the others."""
    return len(_AT.get(server, {}))


class ModelLinks(Links):
    """Links that carry messages in virtual time. A replica that is cut off from Redis still reaches the others."""

    def __init__(self, client: ModelClient, heartbeat: Heartbeat, **options: Any) -> None:  # noqa: ANN401  # as the class's
        super().__init__(client, heartbeat, **options)
        self._redis = client.server
        self._others = _AT.setdefault(client.server, {})
        self._apart = _APART.setdefault(client.server, set())
        self._tasks: set[asyncio.Task[Any]] = set()
        self._process: Context = copy_context()
        self._silent: set[bytes] = set()
        """Replicas that stood still when they were asked."""

    async def __aenter__(self) -> Self:
        if self._client.up:
            self._others[self.replica] = self
            self._all_weigh()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._others.pop(self.replica, None)
        self._all_weigh()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def linked(self) -> tuple[bytes, ...]:
        if self.replica not in self._others:
            return ()
        return tuple(one for one in self._others if one != self.replica and not self._is_apart(one))

    def _is_apart(self, other: bytes) -> bool:
        return other in self._silent or (bool(self._apart) and frozenset((self.replica, other)) in self._apart)

    def _all_weigh(self) -> None:
        for one in self._others.values():
            one.weigh()

    def weigh(self) -> None:
        """Somebody has come, or is gone."""
        self._linked = cast("Any", dict.fromkeys(self.linked))
        self._weigh()
        self._on_lost()

    async def ask(self, replica: bytes, *words: bytes) -> Message:
        try:
            async with asyncio.timeout(self.timeout_seconds):
                await asyncio.sleep(self._redis.way_seconds)
                if self._is_apart(replica):
                    await asyncio.sleep(self.timeout_seconds)
                other = self._others.get(replica)
                if other is None or other._answering is None:
                    raise SharedStateUnavailable("gone")
                answer = await self._answer_of(other, list(words))
                await asyncio.sleep(self._redis.way_seconds)
                return answer
        except TimeoutError as error:
            self._give_up(replica)
            raise SharedStateUnavailable("too slow") from error

    async def _answer_of(self, other: "ModelLinks", words: Message) -> Message:
        answering = other._answering
        assert answering is not None
        if not other._stands_still:
            return await answering(self.replica, words)

        # It reads the question when it goes on.
        async def answered() -> Message:
            return await answering(self.replica, words)

        task = asyncio.get_running_loop().create_task(answered(), context=other._process.copy())
        return await asyncio.shield(other._keep(task))

    def _give_up(self, replica: bytes) -> None:
        other = self._others.get(replica)
        if other is not None and replica not in self._silent and other._stands_still:
            self._silent.add(replica)
            self._keep(asyncio.create_task(self._find_again(replica)))
            self.weigh()

    async def _find_again(self, replica: bytes) -> None:
        while (other := self._others.get(replica)) is not None and other._stands_still:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        self._silent.discard(replica)
        self.weigh()

    @property
    def _stands_still(self) -> bool:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, BlindLoop)
        return loop.stands_still(self._process.get(PROCESS))

    def tell(self, replica: bytes, *words: bytes) -> None:
        async def said() -> None:
            await self.ask(replica, *words)

        self._keep(asyncio.create_task(said()))

    def _keep(self, task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        self._tasks.add(task)
        task.add_done_callback(self._said)
        return task

    def _said(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()


def with_modelled_links() -> AbstractContextManager[object]:
    """Members are linked through their world while this lasts."""
    return patch("service.wiring.redis.Links", ModelLinks)
