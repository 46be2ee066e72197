"""Both stores of batch lists, each with its two sides."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
import redis

from service.batch.adapters.redis import RedisBatchLists, RedisBatchSets
from service.batch.adapters.sqlite import SqliteBatchLists, SqliteBatchSets
from service.batch.ports import BatchSets
from service.clock import SystemClock
from service.lists.adapters.forgotten import RedisForgotten
from service.lists.keys import UserPrefix
from service.lists.ports import BatchLists
from tests.support.fleet import join
from tests.support.redis import RedisServer, count_few_buckets

PREFIX, FORGOTTEN_KEY = "pc:{service}:batch", "pc:{service}:forgotten"


class Store(Protocol):
    """What the replicas read, and what a load writes; any number of loads may begin."""

    lists: BatchLists

    def sets(self) -> BatchSets: ...

    async def forget(self, user_prefix: UserPrefix) -> None:
        """As a replica does."""

    def remains(self) -> int:
        """Keys or files in the store."""


@dataclass
class RedisStore:
    lists: RedisBatchLists
    url: str
    client: "redis.Redis"
    forgotten: RedisForgotten

    def sets(self) -> RedisBatchSets:
        return RedisBatchSets(self.url, prefix=PREFIX, forgotten_key=FORGOTTEN_KEY, keep_seconds=3600)

    async def forget(self, user_prefix: UserPrefix) -> None:
        for one in (self.forgotten, self.lists):
            await one.forget_user(user_prefix)

    def remains(self) -> int:
        return len(list(self.client.scan_iter(f"{PREFIX}:*")))


@dataclass
class SqliteStore:
    lists: SqliteBatchLists
    data_dir: Path

    def sets(self) -> SqliteBatchSets:
        return SqliteBatchSets(self.data_dir)

    async def forget(self, user_prefix: UserPrefix) -> None:
        await self.lists.forget_user(user_prefix)

    def remains(self) -> int:
        return len(list(self.data_dir.iterdir()))


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with RedisServer() as server:
        yield server.url


@pytest.fixture
async def redis_store(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisStore]:
    count_few_buckets(monkeypatch)
    with redis.Redis.from_url(redis_url) as client:
        await asyncio.to_thread(client.flushall)
        # Loads hold up the event loop here: a heartbeat would find Redis slow.
        async with join(redis_url, SystemClock(), heartbeat_seconds=600) as member:
            forgotten = RedisForgotten(
                member.client,
                key=FORGOTTEN_KEY,
                clock=SystemClock(),
                stale_seconds=3600,
                on_forgotten=lambda _: None,
                on_gap=lambda: None,
            )
            yield RedisStore(RedisBatchLists(member.client, prefix=PREFIX), redis_url, client, forgotten)


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    lists = SqliteBatchLists(tmp_path / "data")
    yield SqliteStore(lists, tmp_path / "data")
    await lists.close()


@pytest.fixture(params=[pytest.param("redis", marks=pytest.mark.processes), "sqlite"])
def store(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found
