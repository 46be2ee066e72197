"""A tombstone is of use for as long as a list may be served, and no longer."""

import asyncio
from collections.abc import Collection
from contextlib import AsyncExitStack

from service.fleet.heartbeat import Heartbeat
from service.lists.adapters.forgotten import RedisForgotten
from service.lists.tombstone import tombstone
from tests.support.redis_network import RedisServerModel, model_client
from tests.support.replica import KEYS
from tests.support.virtual_time import VirtualClock, run_virtual

STALE_SECONDS = 20.0
LEDGER = "pc:{test}:forgotten"


def test_a_tombstone_ends_with_the_lists_that_it_is_for() -> None:
    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        server = RedisServerModel(clock.time)
        heard: list[Collection[bytes]] = []
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(model_client(server))
            await stack.enter_async_context(Heartbeat(client, clock=clock, expected_replicas=1, patient=False))
            forgotten = await stack.enter_async_context(
                RedisForgotten(
                    client,
                    key=LEDGER,
                    clock=clock,
                    stale_seconds=STALE_SECONDS,
                    on_forgotten=heard.append,
                    on_gap=lambda: None,
                )
            )
            await forgotten.forget_user(KEYS.prefix("ann"))
            assert [list(stones) for stones in heard] == [[tombstone(KEYS.prefix("ann"))]]
            await asyncio.sleep(STALE_SECONDS - 2)
            assert server.redis.command("ZCARD", LEDGER) == 1
            await asyncio.sleep(4)
            assert server.redis.command("ZCARD", LEDGER) == 0
            # Nor is it put back by a replica that remembers it.
            server.redis.empty()
            await asyncio.sleep(4)
            assert server.redis.command("ZCARD", LEDGER) == 0
            assert len(heard) == 1

    run_virtual(run())
