"""Items that were asked for lately on any replica, in a sorted set of Redis: the id, and when."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Self

from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.fleet.client import RedisClient
from service.lists.asked import LATELY_SECONDS, MAX_ASKED_ITEMS, AskedItems
from service.tasks import stop_task

SHARING_SECONDS: Final = 5.0
"""Between two moments at which a replica shares what it has noted."""


class SharedAskedItems:
    """Shares the notes of a replica, a few seconds later; a note that Redis does not take is kept for the next time.

    Args:
        client: Open for as long as this is.
        items: What is noted here, by the key in Redis.
        clock: Its Unix time tells what is old.
    """

    def __init__(self, client: RedisClient, items: Mapping[str, AskedItems], clock: Clock) -> None:
        self._client = client
        self._items = items
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_sharing(), name="asked-items")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Share what is left; before the client is closed."""
        if self._task is not None:
            await stop_task(self._task)
        await self.share()

    async def share(self) -> None:
        """Tell the other replicas what was noted since the last time; never fails."""
        for key, items in self._items.items():
            taken = items.take_unshared()
            if not taken:
                continue
            try:
                async with self._client.use(key) as redis:
                    await redis.zadd(key, {_name(one): at for one, at in taken.items()})
                async with self._client.use(key) as redis:
                    await redis.zremrangebyscore(key, "-inf", self._clock.time() - LATELY_SECONDS)
                async with self._client.use(key) as redis:
                    await redis.zremrangebyrank(key, 0, -MAX_ASKED_ITEMS - 1)
                async with self._client.use(key) as redis:
                    await redis.pexpire(key, int(LATELY_SECONDS * 1000))
            except SharedStateUnavailable:
                items.put_back(taken)

    async def _keep_sharing(self) -> None:
        while True:
            await asyncio.sleep(SHARING_SECONDS)
            await self.share()


async def asked_lately(client: RedisClient, key: str, clock: Clock) -> list[str]:
    """Items asked for on any replica within `LATELY_SECONDS`, the latest first.

    Raises:
        SharedStateUnavailable: Redis did not answer.
    """
    since = clock.time() - LATELY_SECONDS
    async with client.use(key) as redis:
        found: Any = await redis.zrange(key, "+inf", since, desc=True, byscore=True, offset=0, num=MAX_ASKED_ITEMS)
    return [bytes(one).decode("utf-8", "surrogatepass") for one in found]


def _name(item_id: str) -> bytes:
    return item_id.encode("utf-8", "surrogatepass")
