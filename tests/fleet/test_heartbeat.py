import asyncio
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from service.clock import Clock
from service.fleet.client import RedisClient
from service.fleet.heartbeat import HEARTBEAT_SECONDS, NEWCOMER_PAUSE_SECONDS, NEWCOMER_QUESTIONS, Heartbeat
from service.fleet.share import Share
from tests.support.fleet import Member, join
from tests.support.redis import RedisServer
from tests.support.redis_network import RedisServerModel, model_client
from tests.support.virtual_time import VirtualClock, run_virtual
from tests.support.waiting import until


async def _beat(*members: Member, rounds: int = 2) -> None:
    """As time would: a share changes hands in two rounds, since the larger one counts until it is given up."""
    for _ in range(rounds):
        for member in members:
            await member.heartbeat.beat()


async def test_replicas_are_counted_and_the_count_outlives_redis(redis_server: RedisServer, clock: Clock) -> None:
    async with (
        join(redis_server.url, clock, heartbeat_seconds=600) as one,
        join(redis_server.url, clock, heartbeat_seconds=600) as other,
    ):
        await _beat(one, other)
        assert [one.heartbeat.replicas, other.heartbeat.replicas] == [2, 2]
        redis_server.kill()
        await _beat(one, other)
        assert [one.client.up, one.heartbeat.replicas] == [False, 2]
        redis_server.start()
        await _beat(one, other)
        assert [one.client.up, one.heartbeat.replicas] == [True, 2]


async def test_a_replica_that_closes_is_gone_at_once(redis_server: RedisServer, clock: Clock) -> None:
    async with join(redis_server.url, clock) as first:
        async with join(redis_server.url, clock):
            assert await first.redis.zcard(first.heartbeat.replicas_key) == 2
        assert await first.redis.zcard(first.heartbeat.replicas_key) == 1
        assert await first.redis.hkeys(first.heartbeat.shares_key) == [first.heartbeat.replica.encode()]


async def test_replicas_hold_different_parts_of_the_budget(redis_server: RedisServer, clock: Clock) -> None:
    async with (
        join(redis_server.url, clock, heartbeat_seconds=600) as one,
        join(redis_server.url, clock, heartbeat_seconds=600) as other,
    ):
        assert one.heartbeat.share == Share(1, 0)
        # The first one still holds the whole budget.
        assert other.heartbeat.share is not None
        assert not other.heartbeat.share.whole
        await _beat(one, other)
        assert {one.heartbeat.share, other.heartbeat.share} == {Share(2, 0), Share(2, 1)}


async def test_a_replica_that_starts_without_redis_has_the_share_it_was_configured_for(
    redis_server: RedisServer, clock: Clock
) -> None:
    redis_server.kill()
    async with (
        RedisClient(redis_server.url) as client,
        Heartbeat(client, clock=clock, heartbeat_seconds=600, expected_replicas=3, patient=False) as heartbeat,
    ):
        assert heartbeat.share is not None
        assert (heartbeat.share.replicas, heartbeat.share.whole) == (3, True)
        assert heartbeat.share.position in range(3)
        redis_server.start()
        await heartbeat.beat()
        # Others may be about to come back: all shares are theirs for a second.
        assert heartbeat.share == Share(1, 0, whole=False)


async def test_a_process_that_only_prewarms_sees_the_replicas_and_is_none(
    redis_server: RedisServer, clock: Clock
) -> None:
    async with join(redis_server.url, clock) as replica:
        async with join(redis_server.url, clock, heartbeat_seconds=600, serves=False) as prewarm:
            assert prewarm.client.up
            await _beat(replica, prewarm)
            assert [prewarm.heartbeat.replicas, prewarm.heartbeat.share] == [1, None]
            alive = await replica.redis.zrange(replica.heartbeat.replicas_key, 0, -1)
            assert alive == [replica.heartbeat.replica.encode()]
            assert await replica.redis.zcard(prewarm.heartbeat.beats_key) == 1
        assert not await replica.redis.exists(prewarm.heartbeat.beats_key)


async def test_a_redis_that_forgot_everything_is_noticed(redis_server: RedisServer, clock: Clock) -> None:
    """E1: a Redis that drops the keys of the budget was spent at a quarter, for ever and without a word."""
    with capture_logs() as logs:
        async with join(redis_server.url, clock, heartbeat_seconds=600) as member:
            assert member.heartbeat.memory_loss.at is None
            for _ in range(3):
                await member.redis.flushall()
                await member.heartbeat.beat()
            assert member.heartbeat.memory_loss.at == pytest.approx(clock.monotonic(), abs=1)

    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["redis_memory_lost"]


async def test_a_redis_that_forgot_the_budgets_of_all_placements_is_said_once(
    redis_server: RedisServer, clock: Clock
) -> None:
    """E1."""
    with capture_logs() as logs:
        async with RedisClient(redis_server.url) as client, AsyncExitStack() as stack:
            groups = [
                await stack.enter_async_context(
                    Heartbeat(
                        client, clock=clock, group=group, heartbeat_seconds=600, expected_replicas=1, patient=False
                    )
                )
                for group in ("for-you", "similar", "events")
            ]
            async with client.use() as redis:
                await redis.flushall()
            for one in groups:
                await one.beat()
            assert all(one.memory_loss.at is not None for one in groups)

    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["redis_memory_lost"]


async def test_beats_follow_each_other_by_themselves(redis_server: RedisServer, clock: Clock) -> None:
    async with join(redis_server.url, clock, heartbeat_seconds=0.01) as member:
        await member.redis.flushall()

        async def has_beaten() -> bool:
            return bool(await member.redis.exists(member.heartbeat.replicas_key))

        await until(has_beaten)


@pytest.mark.parametrize("others", ["beat", "dead", "none"])
def test_a_new_replica_is_let_in_when_another_has_beaten_and_without_any_after_a_while(others: str) -> None:
    """J3, J9: only those who were there notice that Redis's clock was set, or that it has lost its memory."""

    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        server = RedisServerModel(clock.time)
        async with AsyncExitStack() as stack:
            if others != "none":
                older = await stack.enter_async_context(model_client(server))
                heartbeat = Heartbeat(older, clock=clock, expected_replicas=2, patient=False)
                await stack.enter_async_context(heartbeat)
                older.link.cut = others == "dead"
            client = await stack.enter_async_context(model_client(server))
            began = clock.monotonic()
            newcomer = await stack.enter_async_context(Heartbeat(client, clock=clock, expected_replicas=2))
            waited = clock.monotonic() - began
            assert client.up
            assert newcomer.share is not None
            beat_or_while = HEARTBEAT_SECONDS if others == "beat" else NEWCOMER_PAUSE_SECONDS * NEWCOMER_QUESTIONS
            assert beat_or_while <= waited <= beat_or_while + NEWCOMER_PAUSE_SECONDS

    run_virtual(run())


async def test_a_beat_of_a_settled_fleet_looks_at_nobody_else_until_something_changes(
    redis_server: RedisServer, clock: Clock
) -> None:
    """A hundred replicas beat two hundred times a second."""
    async with AsyncExitStack() as stack:
        fleet = [await stack.enter_async_context(join(redis_server.url, clock, heartbeat_seconds=600)) for _ in "abcd"]
        await _beat(*fleet, rounds=6)
        assert {member.heartbeat.share for member in fleet} == {Share(4, position) for position in range(4)}

        async def looks() -> int:
            return int((await fleet[0].redis.info("commandstats"))["cmdstat_hgetall"]["calls"])

        settled, known = await looks(), [sorted(map(str, member.heartbeat._known)) for member in fleet]
        await _beat(*fleet, rounds=5)
        assert await looks() == settled
        assert [sorted(map(str, member.heartbeat._known)) for member in fleet] == known

        async with join(redis_server.url, clock, heartbeat_seconds=600) as fifth:
            await _beat(*fleet, fifth, rounds=6)
            everybody = {member.heartbeat.share for member in (*fleet, fifth)}
            assert everybody == {Share(5, position) for position in range(5)}
        await _beat(*fleet, rounds=6)
        assert {member.heartbeat.share for member in fleet} == {Share(4, position) for position in range(4)}
        assert [member.heartbeat.replicas for member in fleet] == [4] * 4


async def test_a_replica_names_the_others_to_a_redis_that_has_forgotten_them(
    redis_server: RedisServer, clock: Clock
) -> None:
    async with (
        join(redis_server.url, clock, heartbeat_seconds=600) as one,
        join(redis_server.url, clock, heartbeat_seconds=600) as other,
    ):
        await _beat(one, other, rounds=6)
        await one.redis.flushall()
        await one.heartbeat.beat()
        names = {one.heartbeat.replica.encode(), other.heartbeat.replica.encode()}
        assert set(await one.redis.zrange(one.heartbeat.replicas_key, 0, -1)) == names
        share = await one.redis.hget(one.heartbeat.shares_key, other.heartbeat.replica)
        assert share == b"2 0 0"
