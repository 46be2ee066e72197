"""Items that were asked for lately, on any replica."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from service.errors import SharedStateUnavailable
from service.fleet.client import RedisClient
from service.fleet.heartbeat import Heartbeat
from service.lists.adapters import asked as shared
from service.lists.adapters.asked import SHARING_SECONDS, SharedAskedItems, asked_lately
from service.lists.asked import LATELY_SECONDS, AskedItems
from tests.support.redis_network import RedisServerModel, model_client
from tests.support.virtual_time import VirtualClock, run_virtual

KEY = "pc:{asked}:similar"


class Fleet:
    """Two replicas that note what is asked for."""

    def __init__(self, server: RedisServerModel, clock: VirtualClock, client: RedisClient) -> None:
        self.server, self.clock, self.client = server, clock, client
        self.items = (AskedItems(clock), AskedItems(clock))

    async def lately(self) -> list[str]:
        return await asked_lately(self.client, KEY, self.clock)


def play(scenario: Callable[[Fleet], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        server = RedisServerModel(clock.time)
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(model_client(server))
            await stack.enter_async_context(Heartbeat(client, clock=clock, expected_replicas=1, patient=False))
            fleet = Fleet(server, clock, client)
            for items in fleet.items:
                await stack.enter_async_context(SharedAskedItems(client, {KEY: items}, clock))
            await scenario(fleet)

    run_virtual(run())


def test_every_replica_knows_seconds_later_what_was_asked_of_any_the_latest_first() -> None:
    async def scenario(fleet: Fleet) -> None:
        for place, item_id in enumerate(["a", "b", "c", "\udc80", "a"]):
            fleet.items[place % 2].note(item_id)
            await asyncio.sleep(0.1)
        assert await fleet.lately() == []
        await asyncio.sleep(SHARING_SECONDS)
        assert await fleet.lately() == ["a", "\udc80", "c", "b"]
        # Forgotten by itself, when nobody has asked for a week.
        assert fleet.server.redis.command("PTTL", KEY) == pytest.approx(LATELY_SECONDS * 1000, abs=10_000)

    play(scenario)


def test_what_is_too_old_is_neither_found_nor_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "LATELY_SECONDS", 60.0)

    async def scenario(fleet: Fleet) -> None:
        fleet.items[0].note("old")
        await asyncio.sleep(60.0 - SHARING_SECONDS)
        fleet.items[0].note("new")
        await asyncio.sleep(SHARING_SECONDS - 1)
        assert await fleet.lately() == ["new", "old"]
        await asyncio.sleep(2)
        assert await fleet.lately() == ["new"]
        assert fleet.server.redis.command("ZCARD", KEY) == 2
        fleet.items[1].note("newer")
        await asyncio.sleep(SHARING_SECONDS)
        assert fleet.server.redis.command("ZCARD", KEY) == 2
        assert await fleet.lately() == ["newer", "new"]

    play(scenario)


def test_of_too_many_items_those_are_kept_that_were_asked_for_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "MAX_ASKED_ITEMS", 3)

    async def scenario(fleet: Fleet) -> None:
        for item_id in "abcde":
            fleet.items[0].note(item_id)
            await asyncio.sleep(0.1)
        await asyncio.sleep(SHARING_SECONDS)
        assert fleet.server.redis.command("ZCARD", KEY) == 3
        assert await fleet.lately() == ["e", "d", "c"]
        monkeypatch.setattr(shared, "MAX_ASKED_ITEMS", 2)
        assert await fleet.lately() == ["e", "d"]

    play(scenario)


def test_what_redis_does_not_take_is_shared_when_it_is_back_or_at_the_end() -> None:
    async def scenario(fleet: Fleet) -> None:
        fleet.server.kill()
        fleet.items[0].note("a")
        await asyncio.sleep(2 * SHARING_SECONDS)
        with pytest.raises(SharedStateUnavailable):
            await fleet.lately()
        fleet.server.start()
        await asyncio.sleep(2 * SHARING_SECONDS)
        assert await fleet.lately() == ["a"]
        ending = SharedAskedItems(fleet.client, {KEY: fleet.items[1]}, fleet.clock)
        async with ending:
            fleet.items[1].note("b")
        assert await fleet.lately() == ["b", "a"]

    play(scenario)
