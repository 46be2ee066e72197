import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.adapters.redis import RedisGovernor
from service.budget.ports import Lane, TpsGovernor
from service.clock import Clock
from service.fleet.share import Share
from tests.support.fleet import Member, join
from tests.support.redis import RedisServer

HORIZON = 1.5


class Governors:
    """Makes governors of one kind at any rate."""

    def __init__(self, kind: str, member: Member | None, clock: Clock) -> None:
        self._kind, self._member, self._clock = kind, member, clock

    def __call__(self, tps: float) -> TpsGovernor:
        if self._member is None:
            return EmbeddedGovernor(tps, clock=self._clock)
        return _governor(tps, self._member, self._clock)


@pytest.fixture(params=["local", pytest.param("redis", marks=pytest.mark.processes)])
async def governors(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Governors]:
    if request.param == "local":
        yield Governors("local", None, clock)
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    async with join(server.url, clock) as member:
        yield Governors("redis", member, clock)


def _governor(tps: float, member: Member, clock: Clock) -> RedisGovernor:
    return RedisGovernor(tps, client=member.client, heartbeat=member.heartbeat, clock=clock, horizon_seconds=HORIZON)


# What every governor does


async def test_a_burst_is_spread_evenly(governors: Governors) -> None:
    governor = governors(10)
    begun = time.monotonic()
    slots = []
    for _ in range(10):
        reservation = await governor.reserve(Lane.NO_LIST, HORIZON)
        assert reservation.granted
        slots.append(time.monotonic() - begun + reservation.wait_seconds)
    assert slots[0] < 0.05
    assert slots[1:] == pytest.approx([0.075 + 0.1 * turn for turn in range(9)], abs=0.04)


async def test_a_slot_beyond_the_time_given_is_refused_and_stays_free(governors: Governors) -> None:
    governor = governors(1)
    assert (await governor.reserve(Lane.NO_LIST, HORIZON)).granted
    refused = await governor.reserve(Lane.NO_LIST, 0.2)
    assert not refused.granted
    assert refused.wait_seconds == pytest.approx(1.0, abs=0.1)
    assert (await governor.reserve(Lane.NO_LIST, HORIZON)).granted


async def test_lower_lanes_get_no_slot_that_begins_later(governors: Governors) -> None:
    governor = governors(2)
    assert (await governor.reserve(Lane.PREWARM, HORIZON)).granted
    for lane in (Lane.STALE, Lane.PREWARM):
        refused = await governor.reserve(lane, HORIZON)
        assert not refused.granted
        assert refused.wait_seconds > 0.2


async def test_a_stale_list_that_was_refused_goes_before_a_prewarm(governors: Governors) -> None:
    governor = governors(5)
    assert (await governor.reserve(Lane.NO_LIST, HORIZON)).granted
    refused = await governor.reserve(Lane.STALE, HORIZON)
    await asyncio.sleep(refused.wait_seconds)
    assert not (await governor.reserve(Lane.PREWARM, HORIZON)).granted
    assert (await governor.reserve(Lane.STALE, HORIZON)).granted


async def test_throttling_halves_the_rate_once_a_second(governors: Governors) -> None:
    governor = governors(100)
    assert governor.tps_in_use == pytest.approx(100)
    for _ in range(5):
        await governor.throttled()
    assert governor.tps_in_use == pytest.approx(50, abs=2)
    assert governor.slot_seconds == pytest.approx(0.02, abs=0.001)
    first = await governor.reserve(Lane.NO_LIST, HORIZON)
    second = await governor.reserve(Lane.NO_LIST, HORIZON)
    third = await governor.reserve(Lane.NO_LIST, HORIZON)
    assert first.granted
    assert third.wait_seconds - second.wait_seconds == pytest.approx(0.02, abs=0.01)


# What only the shared one does


def _most_within_a_second(moments: list[float]) -> int:
    moments = sorted(moments)
    return max(sum(first <= other <= first + 1.0 for other in moments) for first in moments)


async def _spend(governor: RedisGovernor, slots: list[float], until: float, callers: int = 3) -> None:
    """Callers that take every slot they can get, with a deadline like a request's."""

    async def caller() -> None:
        while time.monotonic() < until:
            reservation = await governor.reserve(Lane.NO_LIST, HORIZON)
            if reservation.granted:
                slots.append(time.monotonic() + reservation.wait_seconds)
                await asyncio.sleep(reservation.wait_seconds / 3)
            else:
                await asyncio.sleep(0.02)

    await asyncio.gather(*(caller() for _ in range(callers)))


async def _replicas(
    stack: AsyncExitStack, server: RedisServer, clock: Clock, *, count: int, tps: float
) -> list[tuple[Member, RedisGovernor]]:
    replicas = []
    for _ in range(count):
        member = await stack.enter_async_context(join(server.url, clock))
        governor = _governor(tps, member, clock)
        replicas.append((member, governor))
    # A larger share counts until its replica gives it up, so shares settle within as many rounds as there are replicas.
    for member, _ in replicas * count:
        await member.heartbeat.beat()
    assert {member.heartbeat.share for member, _ in replicas} == {Share(count, position) for position in range(count)}
    return replicas


async def test_replicas_together_spend_the_budget_and_no_more(redis_server: RedisServer, clock: Clock) -> None:
    slots: list[float] = []
    async with AsyncExitStack() as stack:
        replicas = await _replicas(stack, redis_server, clock, count=3, tps=20)
        begun = time.monotonic()
        await asyncio.gather(*(_spend(governor, slots, begun + 2.5) for _, governor in replicas))
    assert _most_within_a_second(slots) <= 21
    assert len([one for one in slots if one <= begun + 2.5]) >= 0.95 * 20 * 2.5


@pytest.mark.parametrize("down_seconds", [0.3, 4.6])
async def test_a_killed_redis_never_costs_more_than_a_third_above_the_budget(
    redis_server: RedisServer, clock: Clock, down_seconds: float
) -> None:
    tps, slots = 20, list[float]()
    async with AsyncExitStack() as stack:
        replicas = await _replicas(stack, redis_server, clock, count=3, tps=tps)
        begun = time.monotonic()
        until = begun + 1 + down_seconds + 4
        spending = asyncio.gather(*(_spend(governor, slots, until) for _, governor in replicas))
        await asyncio.sleep(1)
        redis_server.kill()
        killed = time.monotonic()
        await asyncio.sleep(down_seconds)
        redis_server.start()
        returned = time.monotonic()
        await spending
        assert all(member.client.up for member, _ in replicas)
    assert _most_within_a_second(slots) <= 1.3 * tps + 1
    # Until a second after the last slot that Redis gave away, there is only the quarter that is kept back.
    whole = killed + HORIZON + 1.6
    if returned > whole + 1:
        own = [one for one in slots if whole <= one <= returned]
        assert len(own) >= 0.8 * tps * (returned - whole)
    last = [one for one in slots if until - 1.5 <= one < until]
    assert len(last) >= 0.8 * tps * 1.5


async def test_without_redis_a_replica_spends_its_share_once_the_others_know(
    redis_server: RedisServer, clock: Clock
) -> None:
    async with AsyncExitStack() as stack:
        (member, governor), _ = await _replicas(stack, redis_server, clock, count=2, tps=20)
        await governor.reserve(Lane.NO_LIST, HORIZON)
        redis_server.kill()
        await governor.reserve(Lane.NO_LIST, HORIZON)
        assert not member.client.up
        assert governor.tps_in_use == pytest.approx(2.5)
        member.heartbeat.heard_until -= HORIZON + 1.5
        assert governor.tps_in_use == pytest.approx(10)
        assert governor.slot_seconds == pytest.approx(0.1)


async def test_the_share_of_a_replica_that_died_is_kept_until_it_is_forgotten(
    redis_server: RedisServer, clock: Clock
) -> None:
    async with AsyncExitStack() as stack:
        (one, governor), (dead, _) = await _replicas(stack, redis_server, clock, count=2, tps=20)
        await one.heartbeat.beat()
        await dead.redis.aclose(close_connection_pool=True)
        kept = await one.redis.hget(one.heartbeat.shares_key, dead.heartbeat.replica)
        assert kept is not None
        assert kept[:2] == b"2 "
        await one.redis.hset(one.heartbeat.shares_key, dead.heartbeat.replica, "2 0 0")
        await governor.reserve(Lane.NO_LIST, HORIZON)
        # The rate climbs all the time, by little.
        assert governor.tps_in_use == pytest.approx(20 * (1 - 0.75 / 2), rel=0.01)
        await one.redis.zadd(one.heartbeat.replicas_key, {dead.heartbeat.replica: 0})
        await one.heartbeat.beat()
        await governor.reserve(Lane.NO_LIST, HORIZON)
        assert governor.tps_in_use == pytest.approx(20)


async def test_what_redis_reads_too_late_gives_no_slot_and_no_sign_of_life(
    redis_server: RedisServer, clock: Clock
) -> None:
    async with join(redis_server.url, clock, heartbeat_seconds=60) as member:
        governor = _governor(20, member, clock)
        before = await member.redis.hgetall(member.heartbeat.shares_key)
        member.heartbeat.shared_clock.compare(clock.time() - 10, sent_at=clock.monotonic())
        await governor.reserve(Lane.NO_LIST, HORIZON)
        assert governor.slot_seconds > 1 / 20
        assert await member.redis.hgetall(member.heartbeat.shares_key) == before
        assert not await member.redis.exists(governor.budget_key)
        # The clocks are compared anew, so the next heartbeat finds Redis again.
        await member.heartbeat.beat()
        assert member.client.up
        assert (await governor.reserve(Lane.NO_LIST, HORIZON)).granted


async def test_after_a_script_flush_nobody_notices(redis_server: RedisServer, clock: Clock) -> None:
    async with join(redis_server.url, clock) as member:
        governor = _governor(100, member, clock)
        assert (await governor.reserve(Lane.NO_LIST, HORIZON)).granted
        await member.redis.script_flush()
        assert (await governor.reserve(Lane.NO_LIST, HORIZON)).granted
        await governor.throttled()
        assert member.client.up


async def test_a_redis_that_forgot_everything_waits_for_the_slots_already_given_away(
    redis_server: RedisServer, clock: Clock
) -> None:
    async with join(redis_server.url, clock) as member:
        governor = _governor(5, member, clock)
        for _ in range(5):
            await governor.reserve(Lane.NO_LIST, HORIZON)
        await member.redis.flushall()
        refused = await governor.reserve(Lane.STALE, 0)
        assert refused.wait_seconds == pytest.approx(HORIZON, abs=0.1)


async def test_a_replica_without_slots_waits_too_when_its_heartbeat_is_forgotten(
    redis_server: RedisServer, clock: Clock
) -> None:
    async with join(redis_server.url, clock, heartbeat_seconds=60) as member:
        governor = _governor(5, member, clock)
        await member.redis.flushall()
        assert (await governor.reserve(Lane.STALE, 0)).wait_seconds == pytest.approx(HORIZON, abs=0.1)


async def test_after_a_quiet_minute_the_first_slot_is_free(redis_server: RedisServer, clock: Clock) -> None:
    async with join(redis_server.url, clock) as member:
        governor = _governor(5, member, clock)
        assert (await governor.reserve(Lane.STALE, 0)).granted
        assert 60 <= await member.redis.ttl(governor.budget_key) <= 65
        await member.redis.delete(governor.budget_key)
        governor._reserved_at -= 60
        assert (await governor.reserve(Lane.STALE, 0)).granted


async def test_a_full_redis_does_not_stop_the_budget(redis_server: RedisServer, clock: Clock) -> None:
    async with join(redis_server.url, clock) as member:
        await member.redis.config_set("maxmemory", "1mb")
        await member.redis.config_set("maxmemory-policy", "noeviction")
        governor = _governor(100, member, clock)
        for _ in range(5):
            assert (await governor.reserve(Lane.NO_LIST, HORIZON)).granted
        await governor.throttled()
        assert member.client.up


async def test_a_reservation_costs_one_round_trip(redis_server: RedisServer, clock: Clock) -> None:
    async with join(redis_server.url, clock, heartbeat_seconds=60) as member:
        governor = _governor(1000, member, clock)
        await governor.reserve(Lane.NO_LIST, HORIZON)
        await member.redis.config_resetstat()
        for _ in range(10):
            await governor.reserve(Lane.NO_LIST, HORIZON)
        calls = await member.redis.info("commandstats")
        assert calls["cmdstat_evalsha"]["calls"] == 10
        assert "cmdstat_eval" not in calls


async def test_without_redis_a_prewarm_gets_no_slot(redis_server: RedisServer, clock: Clock) -> None:
    async with join(redis_server.url, clock) as member:
        governor = _governor(100, member, clock)
        redis_server.kill()
        refused = await governor.reserve(Lane.PREWARM, HORIZON)
        assert not member.client.up
        assert not refused.granted
        assert not (await governor.reserve(Lane.PREWARM, HORIZON)).granted
        stale = await governor.reserve(Lane.STALE, 0)
        while not stale.granted:
            await asyncio.sleep(stale.wait_seconds)
            stale = await governor.reserve(Lane.STALE, 0)


async def test_a_process_that_only_prewarms_notices_a_forgetful_redis_too(
    redis_server: RedisServer, clock: Clock
) -> None:
    async with join(redis_server.url, clock, heartbeat_seconds=60, serves=False) as member:
        governor = _governor(5, member, clock)
        assert (await governor.reserve(Lane.PREWARM, 0)).granted
        await member.redis.delete(governor.budget_key)
        governor._reserved_at -= 60
        assert (await governor.reserve(Lane.PREWARM, 0)).granted
        await member.redis.flushall()
        governor._reserved_at -= 60
        assert (await governor.reserve(Lane.PREWARM, 0)).wait_seconds == pytest.approx(HORIZON, abs=0.1)
