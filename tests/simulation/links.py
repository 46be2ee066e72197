"""The links between the replicas of a world; only packets are modelled, and who is there to read them."""

import asyncio
from contextlib import AbstractContextManager
from typing import Any, Self, cast
from unittest.mock import patch
from weakref import WeakKeyDictionary

from service.errors import SharedStateUnavailable
from service.fleet.heartbeat import Heartbeat
from service.fleet.link import Message
from service.fleet.links import Links
from tests.support.redis_network import ModelClient, RedisServerModel

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
        return bool(self._apart) and frozenset((self.replica, other)) in self._apart

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
                answer = await other._answering(self.replica, list(words))
                await asyncio.sleep(self._redis.way_seconds)
                return answer
        except TimeoutError as error:
            raise SharedStateUnavailable("too slow") from error

    def tell(self, replica: bytes, *words: bytes) -> None:
        async def said() -> None:
            await self.ask(replica, *words)

        task = asyncio.create_task(said())
        self._tasks.add(task)
        task.add_done_callback(self._said)

    def _said(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()


def with_modelled_links() -> AbstractContextManager[object]:
    """Members are linked through their world while this lasts."""
    return patch("service.wiring.redis.Links", ModelLinks)
