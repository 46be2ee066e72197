"""Two real replicas on one real Redis, and what a Redis can do to them."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import redis

from tests.support.calls import assert_all_answered, client, make_call
from tests.support.ports import free_port
from tests.support.processes import Process, entered, local_personalize, service
from tests.support.redis import RedisServer
from tests.support.waiting import until

TPS = "200"
DEADLINE_SECONDS = "10"
"""A busy machine takes its time; no test here is about the deadline."""


@dataclass(frozen=True, slots=True)
class Fleet:
    personalize: Process
    replicas: list[Process]
    redis: RedisServer

    async def joined(self, *, up: bool = True) -> None:
        """Return once every replica has noticed whether Redis is there."""

        def known_everywhere() -> bool:
            return all(replica.metric("redis_up") == up for replica in self.replicas)

        await until(lambda: asyncio.to_thread(known_everywhere))


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """It is the replicas that keep to the TPS: this Personalize takes what it gets, and counts."""
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        personalize = stack.enter_context(local_personalize(latency_ms=30))
        starts = [
            service(personalize, PERSONALIZE_TPS=TPS, REDIS_URL=server.url, REQUEST_DEADLINE_SECONDS=DEADLINE_SECONDS)
            for _ in range(2)
        ]
        yield Fleet(personalize, entered(stack, starts), server)


async def test_simultaneous_calls_on_different_replicas_cost_one_transaction_and_agree(fleet: Fleet) -> None:
    rounds = itertools.count()
    async with client() as session:

        async def is_shared() -> bool:
            """A machine that stands still for longer than a replica waits for Redis gets another round."""
            users = [f"both{next(rounds)}-{number}" for number in range(20)]
            calls = await asyncio.gather(
                *(make_call(session, replica.url, user) for user in users for replica in fleet.replicas * 2)
            )
            assert_all_answered(calls)
            stats = await asyncio.to_thread(fleet.personalize.get_json, "/_stats")
            agree = len({(call.user, call.ids) for call in calls}) == len(users)
            return agree and {user: stats["by_user"].get(user) for user in users} == dict.fromkeys(users, 1)

        await until(is_shared)


def fill(server: RedisServer) -> None:
    with redis.Redis(port=server.port) as one:
        one.config_set("maxmemory-policy", "noeviction")
        one.config_set("maxmemory", 1)


def give_room(server: RedisServer) -> None:
    with redis.Redis(port=server.port) as one:
        one.config_set("maxmemory", 0)


@pytest.mark.parametrize(
    ("begin", "end", "up"),
    [
        (fill, give_room, True),
        (RedisServer.freeze, RedisServer.thaw, False),
        (RedisServer.kill, RedisServer.start, False),
    ],
    ids=["full", "silent", "killed"],
)
async def test_every_call_is_answered_while_redis_fails_and_the_replicas_join_it_again(
    fleet: Fleet, begin: Callable[[RedisServer], None], end: Callable[[RedisServer], None], *, up: bool
) -> None:
    name = begin.__name__
    async with client() as session:
        await fleet.joined()
        await asyncio.to_thread(begin, fleet.redis)
        try:
            during = await asyncio.gather(
                *(make_call(session, replica.url, f"{name}{n}") for n in range(5) for replica in fleet.replicas)
            )
            await fleet.joined(up=up)
            later = [await make_call(session, replica.url, f"later-{name}") for replica in fleet.replicas]
        finally:
            await asyncio.to_thread(end, fleet.redis)
        await fleet.joined()

        async def is_shared() -> bool:
            """What one replica fetches now, the other has."""
            number = await asyncio.to_thread(lambda: fleet.personalize.get_json("/_stats")["transactions"])
            calls = [await make_call(session, replica.url, f"{name}-{number}") for replica in fleet.replicas]
            assert_all_answered(calls)
            return [call.source for call in calls] == ["personalize", "cache"]

        await until(is_shared)

    assert_all_answered([*during, *later])
    assert "personalize" in {call.source for call in [*during, *later]}


async def test_a_list_of_another_version_counts_as_none_and_is_written_anew(fleet: Fleet) -> None:
    one, other = fleet.replicas
    await fleet.joined()
    rounds = itertools.count()
    async with client() as session:
        with redis.Redis(port=fleet.redis.port) as server:

            async def is_written_anew() -> bool:
                """For some seconds after Redis was away, the replicas agree without it, and need no other round."""
                user = f"of-another-version{next(rounds)}"
                before = set(server.keys("pc:*:list"))
                first = await make_call(session, one.url, user)
                # A list is written after its answer has left.
                await until(lambda: set(server.keys("pc:*:list")) > before)
                [key] = set(server.keys("pc:*:list")) - before
                written = server.get(key)
                server.set(key, b"\xfa of a future version")
                second = await make_call(session, other.url, user)
                assert isinstance(written, bytes)
                assert_all_answered([first, second])
                assert (first.source, first.ids) == ("personalize", second.ids)
                if second.source == "cache":
                    return False
                assert second.source == "personalize"
                await until(lambda: server.getrange(key, 0, 0) == written[:1])
                return True

            await until(is_written_anew)


async def test_a_replica_starts_personalised_without_redis_and_joins_it_when_it_comes(
    stack: ExitStack, fleet: Fleet
) -> None:
    server = RedisServer(free_port())
    replica = stack.enter_context(
        service(fleet.personalize, PERSONALIZE_TPS=TPS, REDIS_URL=server.url, REQUEST_DEADLINE_SECONDS=DEADLINE_SECONDS)
    )
    async with client() as session:
        early = await make_call(session, replica.url, "early")
        assert replica.metric("redis_up") == 0
        stack.enter_context(server)
        await until(lambda: asyncio.to_thread(lambda: replica.metric("redis_up") == 1))
        late = await make_call(session, replica.url, "late")

    assert_all_answered([early, late])
    assert (early.source, late.source) == ("personalize", "personalize")
    with redis.Redis(port=server.port) as one:
        # The early list too: it is put into the Redis that has come.
        await until(lambda: len(one.keys("pc:*:list")) == 2)
