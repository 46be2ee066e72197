"""K7: what every replica knows outlives what Redis loses."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from service.clock import Clock
from service.fleet.ledger import AT_ONCE, Keeping, Ledger
from tests.support.fleet import Member, join
from tests.support.redis import RedisServer
from tests.support.waiting import until

pytestmark = pytest.mark.processes

KEY = "pc:{test}:things"
FOR_EVER = Keeping(entry_seconds=None, removal_seconds=3_600, most=2_000)


@dataclass
class Replica:
    ledger: Ledger
    member: Member
    gaps: list[int] = field(default_factory=list)

    @property
    def names(self) -> set[bytes]:
        return set(self.ledger.entries)


@asynccontextmanager
async def replica(
    server: RedisServer, clock: Clock, *, keeping: Keeping = FOR_EVER, asks: bool = False
) -> AsyncIterator[Replica]:
    gaps: list[int] = []
    async with join(server.url, clock, heartbeat_seconds=0.05) as member:
        others: Callable[[], int] = lambda: member.heartbeat.replicas - 1  # noqa: E731  # named for the next line
        async with Ledger(
            member.client,
            KEY,
            clock=clock,
            keeping=keeping,
            others=others if asks else None,
            on_change=lambda: None,
            on_gap=lambda: gaps.append(1),
        ) as ledger:
            yield Replica(ledger, member, gaps)


async def grown_up(one: Replica) -> None:
    """It has asked for long enough: from now on it puts back what Redis lacks."""
    await until(lambda: not one.ledger._is_new)


async def test_names_come_and_go_on_every_replica(redis_server: RedisServer, clock: Clock) -> None:
    async with replica(redis_server, clock) as one, replica(redis_server, clock) as other:
        await one.ledger.add(b"a")
        await other.ledger.add(b"b")
        assert b"b" in other.names
        await until(lambda: one.names == other.names == {b"a", b"b"})
        await other.ledger.remove(b"a")
        await until(lambda: one.names == {b"b"})
        await one.ledger.add(b"a")
        await until(lambda: other.names == {b"a", b"b"})


async def test_a_redis_that_comes_back_empty_gets_all_of_it_back_removals_too(
    redis_server: RedisServer, clock: Clock
) -> None:
    """K7."""
    async with replica(redis_server, clock) as one, replica(redis_server, clock) as other:
        await one.ledger.add(b"kept")
        await one.ledger.add(b"removed")
        await until(lambda: len(other.names) == 2)
        await grown_up(one)
        await grown_up(other)
        await one.ledger.remove(b"removed")
        await until(lambda: other.names == {b"kept"})
        await asyncio.to_thread(redis_server.kill)
        await until(lambda: not (one.member.client.up or other.member.client.up))
        await asyncio.to_thread(redis_server.start)
        await until(lambda: redis_server.ask("ZRANGE", KEY, 0, -1) == [b"kept"])
        await until(lambda: redis_server.ask("ZRANGE", f"{KEY}:removed", 0, -1) == [b"removed"])
        async with replica(redis_server, clock) as late:
            await until(lambda: late.names == {b"kept"})


async def test_a_removal_outlives_a_copy_of_before_it(redis_server: RedisServer, clock: Clock) -> None:
    """K7: an item that was unblocked stays so, though a replica that was cut off still has it."""
    async with replica(redis_server, clock) as one, replica(redis_server, clock) as cut_off:
        await one.ledger.add(b"item")
        await until(lambda: cut_off.names == {b"item"})
        await grown_up(cut_off)
        # It hears nothing for a while.
        async with cut_off.ledger._looking:
            await one.ledger.remove(b"item")
        await cut_off.ledger._put_back()
        assert cut_off.names == set()
        await until(lambda: one.names == set())


async def test_the_later_change_counts_whatever_redis_clock_does(redis_server: RedisServer, clock: Clock) -> None:
    """K7."""
    async with replica(redis_server, clock) as one:
        await one.ledger.add(b"item")
        # As if it had been blocked on a Redis whose clock was a day fast.
        future = one.ledger.entries[b"item"] + 86_400_000_000
        await asyncio.to_thread(redis_server.ask, "ZADD", KEY, future, "item")
        await asyncio.to_thread(redis_server.ask, "SET", f"{KEY}:merged", "1")
        await until(lambda: one.ledger.entries[b"item"] == future)
        await one.ledger.remove(b"item")
        assert one.names == set()
        await asyncio.to_thread(redis_server.ask, "ZSCORE", KEY, "item")
        assert redis_server.ask("ZSCORE", KEY, "item") is None


async def test_some_of_it_lost_in_a_failover_comes_back(redis_server: RedisServer, clock: Clock) -> None:
    """K7: a replica of Redis that lagged took over."""
    async with replica(redis_server, clock) as one, replica(redis_server, clock) as other:
        for number in range(5):
            await one.ledger.add(b"item%d" % number)
        await until(lambda: len(other.names) == 5)
        await grown_up(other)
        await asyncio.to_thread(redis_server.ask, "ZREM", KEY, "item4", "item2")
        await until(lambda: redis_server.ask("ZCARD", KEY) == 5)
        assert len(one.names) == len(other.names) == 5


async def test_a_new_replica_asks_before_it_believes_an_empty_redis(redis_server: RedisServer, clock: Clock) -> None:
    """K7: a pod that starts in the moment in which Redis has come back empty."""
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(replica(redis_server, clock))
        await old.ledger.add(b"item")
        await grown_up(old)
        await asyncio.to_thread(redis_server.ask, "FLUSHALL")
        new = await stack.enter_async_context(replica(redis_server, clock, asks=True))
        # At once: it is ready now.
        assert new.names == {b"item"}


async def test_more_names_than_one_answer_holds_are_learned_and_the_oldest_make_room(
    redis_server: RedisServer, clock: Clock
) -> None:
    few = Keeping(entry_seconds=None, removal_seconds=60, most=AT_ONCE + 200)
    async with replica(redis_server, clock, keeping=few) as one:
        for number in range(few.most + 50):
            await one.ledger._tell(["+", b"%05d" % number, number + 1])
        await one.ledger.look()
        assert one.names == {b"%05d" % number for number in range(50, few.most + 50)}
        async with replica(redis_server, clock, keeping=few) as late:
            assert late.names == one.names
            assert late.gaps == []


async def test_a_replica_that_missed_more_than_is_kept_hears_so(redis_server: RedisServer, clock: Clock) -> None:
    """J1: it cannot know whom to forget, so its lists go."""
    few = Keeping(entry_seconds=None, removal_seconds=60, most=10)
    async with replica(redis_server, clock, keeping=few) as one, replica(redis_server, clock, keeping=few) as other:
        await one.ledger.add(b"first")
        await until(lambda: other.names == {b"first"})
        async with other.ledger._looking:
            for number in range(12):
                await one.ledger.add(b"%d" % number)
        await other.ledger.look()
        assert other.gaps
        assert one.gaps == []


async def test_names_lapse_everywhere(redis_server: RedisServer, clock: Clock) -> None:
    brief = Keeping(entry_seconds=0.5, removal_seconds=0.5, most=10)
    async with replica(redis_server, clock, keeping=brief) as one, replica(redis_server, clock, keeping=brief) as other:
        await one.ledger.add(b"a")
        await one.ledger.add(b"b")
        await one.ledger.remove(b"b")
        await until(lambda: other.names == {b"a"})
        await until(lambda: one.names == other.names == set())
        await until(lambda: redis_server.ask("ZCARD", KEY) + redis_server.ask("ZCARD", f"{KEY}:removed") == 0)


async def test_a_full_redis_takes_a_change(redis_server: RedisServer, clock: Clock) -> None:
    """K7: the emergency brake works when there is no room."""
    async with replica(redis_server, clock) as one:
        await asyncio.to_thread(redis_server.ask, "CONFIG", "SET", "maxmemory", 1)
        await one.ledger.add(b"item")
        assert one.names == {b"item"}
