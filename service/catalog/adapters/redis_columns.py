"""Columns that the catalogue has had, shared by all replicas."""

from collections.abc import Callable, Sequence
from typing import Any

from service.catalog.ports import MAX_KNOWN_COLUMNS, REMEMBERED_SECONDS
from service.fleet.client import RedisClient


class RedisColumns:
    """Implements `KnownColumns` by a sorted set: column by the Unix time when the source last had it.

    Args:
        client: Open for as long as this is used.
        key: The set's.
        now: Unix time.
    """

    def __init__(self, client: RedisClient, *, key: str, now: Callable[[], float]) -> None:
        self._client = client
        self._key = key
        self._now = now

    async def recall(self) -> Sequence[str]:
        """See `KnownColumns.recall`."""
        async with self._client.use(self._key) as redis:
            found: Any = await redis.zrange(self._key, 0, -1, withscores=True)
        oldest = self._now() - REMEMBERED_SECONDS
        return [name.decode("utf-8", "surrogatepass") for name, time in found if time > oldest]

    async def remember(self, columns: Sequence[str]) -> None:
        """See `KnownColumns.remember`."""
        now = self._now()
        async with self._client.use(self._key) as redis:
            if columns:
                await redis.zadd(self._key, {name.encode("utf-8", "surrogatepass"): now for name in columns})
        async with self._client.use(self._key) as redis:
            await redis.zremrangebyscore(self._key, "-inf", now - REMEMBERED_SECONDS)
        async with self._client.use(self._key) as redis:
            await redis.zremrangebyrank(self._key, 0, -MAX_KNOWN_COLUMNS - 1)
        async with self._client.use(self._key) as redis:
            await redis.pexpire(self._key, int(REMEMBERED_SECONDS * 1000))
