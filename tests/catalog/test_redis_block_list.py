import asyncio
from contextlib import AsyncExitStack

import pytest

from bench.processes import redis_server
from service.catalog.adapters.redis_block_list import RedisBlockList
from service.clock import SystemClock
from service.errors import SharedStateUnavailable
from tests.support.fleet import join


async def replica(stack: AsyncExitStack, port: int) -> RedisBlockList:
    member = await stack.enter_async_context(join(f"redis://127.0.0.1:{port}/0", SystemClock()))
    return await stack.enter_async_context(RedisBlockList(member.client, prefix="pc:test"))


async def until(seconds: float, *lists: RedisBlockList, blocked: bool) -> None:
    async with asyncio.timeout(seconds):
        while not all(("gone" in one) is blocked for one in lists):  # noqa: ASYNC110  # another process changes it
            await asyncio.sleep(0.02)


async def test_a_blocked_item_is_gone_on_three_replicas_within_a_second() -> None:
    with redis_server() as redis:
        async with AsyncExitStack() as stack:
            replicas = [await replica(stack, redis.port) for _ in range(3)]
            await replicas[0].block("gone")
            assert "gone" in replicas[0]
            await until(1.0, *replicas, blocked=True)
            await replicas[1].unblock("gone")
            await until(1.0, *replicas, blocked=False)
        async with AsyncExitStack() as stack:
            await (await replica(stack, redis.port)).block("kept")
        async with AsyncExitStack() as stack:
            assert (await replica(stack, redis.port)).ids() == ["kept"]


async def test_a_block_outlives_a_redis_that_lost_its_memory() -> None:
    async with AsyncExitStack() as stack:
        with redis_server() as redis:
            port = redis.port
            ours = await replica(stack, port)
            await ours.block("gone")
        with pytest.raises(SharedStateUnavailable):
            await ours.block("another")
        assert ours.ids() == ["gone"]
        with redis_server(port):
            async with AsyncExitStack() as later:
                await until(5.0, await replica(later, port), blocked=True)
