from contextlib import AsyncExitStack

import pytest

from service.catalog.adapters.redis_block_list import RedisBlockList
from service.clock import SystemClock
from service.errors import SharedStateUnavailable
from tests.support.fleet import join
from tests.support.redis import RedisServer
from tests.support.waiting import until


async def replica(stack: AsyncExitStack, server: RedisServer) -> RedisBlockList:
    member = await stack.enter_async_context(join(server.url, SystemClock()))
    return await stack.enter_async_context(
        RedisBlockList(
            member.client, key="pc:{test}:blocked", clock=SystemClock(), others=lambda: member.heartbeat.replicas - 1
        )
    )


async def test_a_blocked_item_is_gone_on_every_replica_and_one_that_starts_later(redis_server: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        replicas = [await replica(stack, redis_server) for _ in range(3)]
        versions = [one.version for one in replicas]
        await replicas[0].block("gone")
        assert "gone" in replicas[0]
        await until(lambda: all("gone" in one for one in replicas))
        # What was rendered before is not shown any more.
        assert all(one.version > version for one, version in zip(replicas, versions, strict=True))
        await replicas[1].unblock("gone")
        await until(lambda: not any("gone" in one for one in replicas))
    async with AsyncExitStack() as stack:
        await (await replica(stack, redis_server)).block("kept")
    async with AsyncExitStack() as stack:
        assert (await replica(stack, redis_server)).ids() == ["kept"]


async def test_a_block_outlives_a_redis_that_lost_its_memory(redis_server: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        ours = await replica(stack, redis_server)
        await ours.block("gone")
        redis_server.kill()
        with pytest.raises(SharedStateUnavailable):
            await ours.block("another")
        assert ours.ids() == ["gone"]
        redis_server.start()
        async with AsyncExitStack() as later:
            another = await replica(later, redis_server)
            await until(lambda: "gone" in another)
