"""Two replicas on one Redis that misbehaves, under calls of three times the TPS."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import redis

from tests.integration.pouring import personalised, pouring
from tests.support.calls import assert_all_answered, client, make_call, most_in_a_second
from tests.support.ports import free_port
from tests.support.processes import Process, local_personalize, service
from tests.support.redis import RedisServer
from tests.support.waiting import until

TPS = 10
FAULT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Fleet:
    personalize: Process
    replicas: list[Process]
    redis: redis.Redis


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """It is the replicas that keep to the TPS: this Personalize takes what it gets, and counts."""
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        personalize = stack.enter_context(local_personalize(latency_ms=30))
        url = server.url
        replicas = [
            stack.enter_context(service(personalize, PERSONALIZE_TPS=str(TPS), REDIS_URL=url)) for _ in range(2)
        ]
        yield Fleet(personalize, replicas, stack.enter_context(redis.Redis(port=server.port)))


def fill_up(server: redis.Redis) -> None:
    server.config_set("maxmemory-policy", "noeviction")
    server.config_set("maxmemory", 1)


def give_room(server: redis.Redis) -> None:
    server.config_set("maxmemory", 0)


def hold_up(server: redis.Redis) -> None:
    server.client_pause(int(FAULT_SECONDS * 1000))


def nothing(_: redis.Redis) -> None:
    """The fault ends by itself."""


@pytest.mark.parametrize(("begin", "end"), [(fill_up, give_room), (hold_up, nothing)], ids=["full", "slow"])
async def test_every_message_is_filled_and_the_budget_held_while_redis_fails(
    fleet: Fleet, begin: Callable[[redis.Redis], None], end: Callable[[redis.Redis], None]
) -> None:
    await asyncio.to_thread(fleet.personalize.post, "/_stats/reset")
    async with pouring(fleet.replicas, per_second=3 * TPS) as calls:
        await personalised(calls, since=time.monotonic(), within=10)
        await asyncio.to_thread(begin, fleet.redis)
        began = time.monotonic()
        await asyncio.sleep(FAULT_SECONDS)
        await asyncio.to_thread(end, fleet.redis)
        ended = time.monotonic()
        await personalised(calls, since=ended, within=6)
        await until(lambda: asyncio.to_thread(lambda: all(one.metric("redis_up") == 1 for one in fleet.replicas)))

    assert_all_answered(calls)
    assert any(call.source == "personalize" for call in calls if began < call.began < ended)
    arrivals = (await asyncio.to_thread(fleet.personalize.get_json, "/_stats"))["arrivals"]
    assert most_in_a_second(arrivals) <= 1.3 * TPS + 1


async def test_a_list_of_another_version_counts_as_none_and_is_written_anew(fleet: Fleet) -> None:
    one, other = fleet.replicas
    async with client() as session:
        before = set(fleet.redis.keys("pc:*:list"))
        first = await make_call(session, one.url, "of-another-version")
        # A list is written after its answer has left.
        await until(lambda: set(fleet.redis.keys("pc:*:list")) > before)
        [key] = set(fleet.redis.keys("pc:*:list")) - before
        written = fleet.redis.get(key)
        fleet.redis.set(key, b"\xfa of a future version")
        second = await make_call(session, other.url, "of-another-version")

    assert_all_answered([first, second])
    assert (first.source, second.source) == ("personalize", "personalize")
    assert first.ids == second.ids
    assert isinstance(written, bytes)
    await until(lambda: fleet.redis.getrange(key, 0, 0) == written[:1])


async def test_a_replica_starts_personalised_without_redis_and_joins_it_when_it_comes(stack: ExitStack) -> None:
    port = free_port()
    personalize = stack.enter_context(local_personalize())
    replica = stack.enter_context(service(personalize, PERSONALIZE_TPS=str(TPS), REDIS_URL=f"redis://127.0.0.1:{port}"))
    async with client() as session:
        alone = await make_call(session, replica.url, "early")
        assert replica.metric("redis_up") == 0
        stack.enter_context(RedisServer(port))
        await until(lambda: replica.metric("redis_up") == 1)
        joined = await make_call(session, replica.url, "late")

    assert_all_answered([alone, joined])
    assert (alone.source, joined.source) == ("personalize", "personalize")
    with redis.Redis(port=port) as server:
        assert len(list(server.keys("pc:*:list"))) == 1
