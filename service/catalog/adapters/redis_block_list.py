"""Items taken out of every answer, shared by all replicas."""

import asyncio
from contextlib import suppress
from typing import Self

import structlog
from redis.asyncio.client import Pipeline

from service.catalog.block_list import check_room
from service.errors import SharedStateUnavailable
from service.fleet.client import RedisClient, stop_task

_log = structlog.stdlib.get_logger(__name__)

LOOK_SECONDS = 0.4
"""Between two looks at the version: every replica knows of a block within a second, without a channel that could be
lost unnoticed."""


class RedisBlockList:
    """A set in Redis and its copy in every replica.

    When Redis is down, replicas go on with their copies and a change raises `SharedStateUnavailable`. When Redis has
    lost its memory, the first replica that notices puts its copy back: no blocked item may return by accident.
    """

    def __init__(self, client: RedisClient, *, prefix: str) -> None:
        self._client = client
        self._items_key = f"{prefix}:blocked"
        self._version_key = f"{prefix}:blocked:version"
        self._items: frozenset[str] = frozenset()
        self._seen: bytes | str | None = None
        self._version = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        with suppress(SharedStateUnavailable):
            await self._look()
        self._task = asyncio.create_task(self._keep_looking(), name="block-list")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await stop_task(self._task)

    @property
    def version(self) -> int:
        """Grows with every change seen by this replica."""
        return self._version

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def ids(self) -> list[str]:
        """All blocked ids, in order."""
        return sorted(self._items)

    async def block(self, item_id: str) -> None:
        """Take an item out of every answer of every replica, within a second; here at once.

        Raises:
            BlockListFull: No room.
            SharedStateUnavailable: Redis did not take it.
        """
        await self._look()
        check_room(self._items, item_id)
        async with self._client.use() as redis:
            await _change(redis.pipeline(), "SADD", self._items_key, self._version_key, item_id)
        await self._look()

    async def unblock(self, item_id: str) -> None:
        """Let an item be shown again; unknown ids are fine.

        Raises:
            SharedStateUnavailable: Redis did not take it.
        """
        await self._look()
        async with self._client.use() as redis:
            await _change(redis.pipeline(), "SREM", self._items_key, self._version_key, item_id)
        await self._look()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(SharedStateUnavailable):
                await self._look()

    async def _look(self) -> None:
        async with self._client.use() as redis:
            seen = await redis.get(self._version_key)
            if seen is not None and seen == self._seen:
                return
            if seen is None and self._items:
                _log.warning("block_list_put_back", items=len(self._items))
                await _change(redis.pipeline(), "SADD", self._items_key, self._version_key, *self._items)
                return
            members = await redis.smembers(self._items_key)
        self._seen = seen
        items = frozenset(_text(member) for member in members)
        if items != self._items:
            self._items = items
            self._version += 1


async def _change(pipeline: Pipeline, command: str, items_key: str, version_key: str, *item_ids: str) -> None:
    async with pipeline:
        await pipeline.execute_command(command, items_key, *item_ids)
        await pipeline.execute_command("INCR", version_key)
        await pipeline.execute()


def _text(member: bytes | str) -> str:
    return member if isinstance(member, str) else member.decode(errors="replace")
