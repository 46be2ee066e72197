"""What a beat says and learns, to the moment; a model of Redis runs the real Lua."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.errors import SharedStateUnavailable
from service.fleet.client import TIMEOUT_SECONDS
from service.fleet.heartbeat import (
    FORGET_SECONDS,
    MAX_CLOCK_ERROR_SECONDS,
    SILENCE_SECONDS,
    Heartbeat,
)
from service.fleet.memory_loss import MemoryLoss, MemoryLossLog
from service.fleet.share import Share
from tests.support.redis_network import ModelClient, RedisServerModel, model_client
from tests.support.virtual_time import VirtualClock, run_virtual

WAY_SECONDS = 0.001


class World:
    """One Redis with a clock of its own, and replicas that beat when a test says so."""

    def __init__(self, stack: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        self.clock, self.redis_clock = VirtualClock(loop), VirtualClock(loop, skew=7.0)
        self.server = RedisServerModel(self.redis_clock.time, way_seconds=WAY_SECONDS)
        self._stack = stack

    async def replica(self, **options: Any) -> tuple[Heartbeat, ModelClient]:  # noqa: ANN401  # the heartbeat's
        client = await self._stack.enter_async_context(model_client(self.server))
        options = {"expected_replicas": 4, "heartbeat_seconds": 1e6, "patient": False} | options
        heartbeat = Heartbeat(client, clock=self.clock, **options)
        await self._stack.enter_async_context(heartbeat)
        return heartbeat, client


def play(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            await scenario(World(stack))

    run_virtual(run())


@pytest.mark.parametrize("by", [1.5 * FORGET_SECONDS, -600.0])
@pytest.mark.parametrize("is_down", [False, True])
def test_a_clock_that_is_set_is_followed_before_anybody_counts_as_gone(by: float, *, is_down: bool) -> None:
    """J3."""

    async def scenario(world: World) -> None:
        one, client = await world.replica()
        other, _ = await world.replica()
        for heartbeat in (one, other) * 3:
            await heartbeat.beat()
        assert [one.replicas, other.replicas] == [2, 2]
        await asyncio.sleep(0.3)
        if is_down:
            client.mark_down(ConnectionResetError("reset"))
        world.redis_clock.skew += by
        with capture_logs() as logs:
            await one.beat()
            # Nobody was forgotten for a moment, either.
            assert world.server.redis.command("ZCARD", one.replicas_key) == 2
            assert world.server.redis.command("HGET", one.shares_key, other.replica).startswith(b"2 ")
            for heartbeat in (one, other):
                await heartbeat.beat()
        assert [one.replicas, other.replicas] == [2, 2]
        assert {one.share, other.share} == {Share(2, 0), Share(2, 1)}
        assert one.shared_clock.time() == pytest.approx(world.redis_clock.time(), abs=2 * WAY_SECONDS)
        moved = [line["seconds"] for line in logs if line["event"] == "redis_times_moved"]
        assert moved == [by]
        assert one.shared_clock.step is other.shared_clock.step is None

    play(scenario)


def test_a_sign_of_life_may_be_read_until_its_sender_has_given_up_and_clocks_have_erred() -> None:
    async def scenario(world: World) -> None:
        heartbeat, _ = await world.replica()
        assert heartbeat.patience_seconds == TIMEOUT_SECONDS + MAX_CLOCK_ERROR_SECONDS
        await asyncio.sleep(1)
        now = world.clock.monotonic()
        stamp = heartbeat.stamp()
        assert stamp == pytest.approx((world.redis_clock.time() + heartbeat.patience_seconds) * 1e6, abs=3_000)
        assert heartbeat.heard_until == pytest.approx(now + heartbeat.patience_seconds + WAY_SECONDS, abs=1e-4)
        # An error that is not known counts as the time that a question may take; and nothing that was sent is unsent.
        heartbeat.shared_clock.error_seconds = float("inf")
        heartbeat.stamp()
        until = now + heartbeat.patience_seconds + TIMEOUT_SECONDS
        assert heartbeat.heard_until == pytest.approx(until, abs=1e-4)
        heartbeat.shared_clock.error_seconds = 0.0
        heartbeat.stamp()
        assert heartbeat.heard_until == pytest.approx(until, abs=1e-4)

    play(scenario)


def test_a_redis_that_took_a_sign_of_life_for_too_late_is_left_until_its_clock_is_known_better() -> None:
    async def scenario(world: World) -> None:
        # On a slow way, a clock that was set by a little looks as one that was not.
        world.server.way_seconds = 0.12
        heartbeat, client = await world.replica()
        await heartbeat.beat()
        world.redis_clock.skew += 0.2
        ups = []
        with capture_logs() as logs:
            for _ in range(3):
                await heartbeat.beat()
                ups.append(client.up)
        assert ups == [False, True, True]
        assert [line["event"] for line in logs] == ["redis_down", "redis_up"]
        assert "is not what it was" in logs[0]["cause"]

    play(scenario)


def test_a_beat_names_the_others_only_to_a_redis_that_has_forgotten_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """With many replicas it would be most of what Redis reads."""

    async def scenario(world: World) -> None:
        one, _ = await world.replica()
        other, _ = await world.replica()
        for heartbeat in (one, other) * 3:
            await heartbeat.beat()
        named: list[list[object]] = []
        script = one._script

        async def noted(keys: list[str], args: list[object]) -> object:
            named.append(args[12:])
            return await script(keys=keys, args=args)

        monkeypatch.setattr(one, "_script", noted)
        await one.beat()
        assert named == [[]]
        world.server.redis.empty()
        await one.beat()
        assert named == [[], [], [other.replica.encode(), 2]]

    play(scenario)


def test_redis_must_know_a_replica_for_half_the_time_after_which_it_counts_as_silent() -> None:
    async def scenario(world: World) -> None:
        heartbeat, client = await world.replica()
        known = [heartbeat.registered]
        for seconds in (SILENCE_SECONDS / 2 - 0.1, 0.2):
            await asyncio.sleep(seconds)
            known.append(heartbeat.registered)
        assert known == [True, True, False]
        # Only of one that it must know is it said that Redis has forgotten it.
        for seconds, has_lost in ((SILENCE_SECONDS, False), (1.0, True)):
            await heartbeat.beat()
            await asyncio.sleep(seconds)
            world.server.redis.empty()
            await heartbeat.beat()
            assert (heartbeat.memory_loss.at is not None) is has_lost
        assert client.up

    play(scenario)


def test_without_redis_a_replica_knows_itself_and_the_share_that_it_was_configured_for() -> None:
    async def scenario(world: World) -> None:
        world.server.kill()
        heartbeat, client = await world.replica(expected_replicas=3)
        prewarm, _ = await world.replica(serves=False)
        assert not client.up
        assert [heartbeat.replicas, heartbeat.registered, prewarm.share] == [1, False, None]
        assert heartbeat.share == Share(3, int(heartbeat.replica, 16) % 3)
        # There may be others who are about to come back: nothing is its own yet, and not after a second either.
        world.server.start()
        await heartbeat.beat()
        assert heartbeat.share == Share(1, 0, whole=False)
        assert heartbeat.replicas == 1
        await asyncio.sleep(1.1)
        await heartbeat.beat()
        assert heartbeat.share == Share(1, 0)

    play(scenario)


def test_a_silent_replica_is_not_alive_and_later_forgotten() -> None:
    async def scenario(world: World) -> None:
        one, _ = await world.replica()
        silent, client = await world.replica()
        for heartbeat in (one, silent, one, silent):
            await heartbeat.beat()
        client.link.cut = True
        seen = []
        for seconds in (SILENCE_SECONDS - 0.1, 0.2, FORGET_SECONDS - SILENCE_SECONDS - 0.2, 0.2):
            await asyncio.sleep(seconds)
            await one.beat()
            seen.append((one.replicas, one.share))
        assert seen == [(2, Share(2, 0)), (1, Share(2, 0)), (1, Share(2, 0)), (1, Share(1, 0))] or seen == [
            (2, Share(2, 1)),
            (1, Share(2, 1)),
            (1, Share(2, 1)),
            (1, Share(1, 0)),
        ]
        client.link.cut = False

    play(scenario)


def test_a_replica_that_comes_to_others_has_a_part_that_is_not_yet_its_own() -> None:
    async def scenario(world: World) -> None:
        prewarm, _ = await world.replica(serves=False)
        assert [prewarm.replicas, prewarm.share] == [1, None]
        first, _ = await world.replica()
        second, _ = await world.replica()
        assert first.share == Share(1, 0)
        assert second.share is not None
        assert (second.share.replicas, second.share.whole) == (2, False)
        assert second.replicas == 2
        for heartbeat in (first, second, first, second):
            await heartbeat.beat()
        assert [first.replicas, second.replicas] == [2, 2]
        assert {first.share, second.share} == {Share(2, 0), Share(2, 1)}
        await prewarm.beat()
        assert [prewarm.replicas, prewarm.share] == [2, None]

    play(scenario)


def test_what_redis_reads_too_late_marks_it_down_and_the_clocks_are_compared_anew() -> None:
    async def scenario(world: World) -> None:
        heartbeat, client = await world.replica()
        await asyncio.sleep(1)
        error = heartbeat.came_late(5)
        assert isinstance(error, SharedStateUnavailable)
        assert "at 5," in str(error)
        ups = [client.up]
        # Any comparison counts now, however long its way.
        world.server.way_seconds = 0.1
        await heartbeat.beat()
        assert [*ups, client.up] == [False, True]
        assert heartbeat.shared_clock.error_seconds == pytest.approx(0.1, abs=1e-3)

    play(scenario)


def test_beats_come_at_their_distance_and_end_with_the_replica() -> None:
    async def scenario(world: World) -> None:
        client = ModelClient(world.server)
        async with client, Heartbeat(client, clock=world.clock, expected_replicas=1, patient=False) as heartbeat:
            beats: list[float] = []
            beat = heartbeat.beat

            async def noted() -> None:
                beats.append(world.clock.monotonic())
                await beat()

            heartbeat.beat = noted  # type: ignore[method-assign]  # to watch it
            began = world.clock.monotonic()
            await asyncio.sleep(1.6)
            assert [at - began for at in beats] == pytest.approx([0.5, 1.0, 1.5], abs=0.02)
            assert world.server.redis.command("ZCARD", heartbeat.replicas_key) == 1
        assert world.server.redis.command("ZCARD", heartbeat.replicas_key) == 0
        assert world.server.redis.command("HGETALL", heartbeat.shares_key) == []
        count = len(beats)
        await asyncio.sleep(2)
        assert len(beats) == count

    play(scenario)


def test_a_beat_that_swallows_its_end_is_the_last_one() -> None:
    """As the library does when it gives up a connection."""

    async def scenario(world: World) -> None:
        client = ModelClient(world.server)
        async with client, Heartbeat(client, clock=world.clock, expected_replicas=1, patient=False) as heartbeat:
            beats: list[float] = []

            async def swallow() -> None:
                beats.append(world.clock.monotonic())
                assert len(beats) == 1
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(1e6)

            heartbeat.beat = swallow  # type: ignore[method-assign]  # as above
            await asyncio.sleep(1)
        assert len(beats) == 1

    play(scenario)


def test_a_redis_that_forgets_again_and_again_is_named_once_a_minute() -> None:
    log = MemoryLossLog()
    with capture_logs() as logs:
        for now in (1.0, 30.0, 60.875, 61.0, 120.875, 121.0):
            MemoryLoss(log).found(now)
    assert [one["event"] for one in logs] == ["redis_memory_lost"] * 3


def test_redis_hears_until_when_a_replica_has_taken_slots_of_its_own_share() -> None:
    async def scenario(world: World) -> None:
        heartbeat, _ = await world.replica()
        heartbeat.own_share_until = world.clock.monotonic() + 3.0
        until = world.redis_clock.time() + 3.0
        for _ in range(2):
            await heartbeat.beat()
            _, _, own_until = world.server.redis.command("HGET", heartbeat.shares_key, heartbeat.replica).split()
            assert int(own_until) / 1e6 == pytest.approx(until, abs=2 * WAY_SECONDS)
            # What is over needs no mention.
            await asyncio.sleep(5.0)

    play(scenario)
