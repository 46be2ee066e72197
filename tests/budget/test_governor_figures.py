"""The figures that the shared governor works with, on a model of Redis that runs the real Lua."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.adapters.redis import MAX_ASKS, UNHEARD_SECONDS, RedisGovernor
from service.budget.ports import Lane, Reservation
from service.budget.rate_window import SECOND, RateWindow
from service.budget.schedule import CLIMB_SECONDS, FLOOR_SHARE, LEAD_SECONDS, Throttle, slots_within
from service.budget.slot_queue import SlotQueue
from service.fleet.heartbeat import Heartbeat
from tests.support.clocks import StandingClock
from tests.support.redis_network import RedisServerModel, model_client
from tests.support.virtual_time import VirtualClock, run_virtual

WAY_SECONDS = 0.001
HORIZON = 1.5
EXACT = 1e-5
"""Redis counts in microseconds."""


@dataclass
class Scene:
    clock: VirtualClock
    redis_clock: VirtualClock
    server: RedisServerModel
    heartbeat: Heartbeat
    governor: RedisGovernor


def play(scenario: Callable[[Scene], Awaitable[None]], tps: float) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        clock, redis_clock = VirtualClock(loop), VirtualClock(loop, skew=7.0)
        server = RedisServerModel(redis_clock.time, way_seconds=WAY_SECONDS)
        async with (
            model_client(server) as client,
            Heartbeat(client, clock=clock, expected_replicas=1, patient=False) as heartbeat,
        ):
            governor = RedisGovernor(tps, client=client, heartbeat=heartbeat, clock=clock, horizon_seconds=HORIZON)
            await scenario(Scene(clock, redis_clock, server, heartbeat, governor))

    run_virtual(run())


def test_the_lead_is_two_round_trips_and_a_little_more() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.governor.reserve(Lane.NO_LIST, HORIZON)
        assert scene.governor.lead_seconds == pytest.approx(LEAD_SECONDS + 2 * 2 * WAY_SECONDS, abs=EXACT)

    play(scenario, 20)


def test_a_slot_that_is_free_begins_when_its_word_arrives() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.governor.reserve(Lane.NO_LIST, HORIZON)
        await asyncio.sleep(1)
        reservation = await scene.governor.reserve(Lane.NO_LIST, HORIZON)
        assert reservation.wait_seconds == pytest.approx(0.0, abs=WAY_SECONDS / 10)

    play(scenario, 20)


def test_what_is_granted_and_what_is_refused_is_said_as_the_embedded_governor_says_it() -> None:
    async def scenario(scene: Scene) -> None:
        rule = EmbeddedGovernor(20, clock=scene.clock)
        for lane, within in [(Lane.NO_LIST, HORIZON)] * 3 + [(Lane.NO_LIST, 0.1), (Lane.STALE, 0.0)]:
            began = scene.clock.monotonic()
            wanted = await rule.reserve(lane, within)
            ours = await scene.governor.reserve(lane, within)
            gone_by = scene.clock.monotonic() - began
            assert ours.granted == wanted.granted
            # A slot has its place in time; how long to wait before asking again is counted from the answer.
            wait = wanted.wait_seconds - (gone_by if ours.granted else 0.0)
            assert ours.wait_seconds == pytest.approx(wait, abs=5 * WAY_SECONDS)
            assert ours.apart_seconds == pytest.approx(wanted.apart_seconds, abs=EXACT)

    play(scenario, 20)


@pytest.mark.parametrize("tps", [5.0, 80.0])
def test_a_replica_on_its_own_share_has_a_rate_to_match(tps: float) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.governor.reserve(Lane.NO_LIST, HORIZON)
        assert scene.governor.slot_seconds == pytest.approx(1 / tps)
        await scene.governor.throttled()
        assert scene.governor.tps_in_use == pytest.approx(tps / 2, rel=1e-3)
        assert scene.governor.slot_seconds == pytest.approx(2 / tps, rel=1e-3)
        scene.server.kill()
        await scene.governor.reserve(Lane.NO_LIST, 0.0)
        # A quarter of it is spent until the others know; nothing climbs in no time.
        assert scene.governor.tps_in_use == pytest.approx(tps / 2 / 4, rel=0.05)
        assert await scene.governor.reserve(Lane.PREWARM, HORIZON) == Reservation(0, 0.5)

    play(scenario, tps)


def test_what_was_lowered_without_redis_is_so_when_it_is_back() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.governor.reserve(Lane.NO_LIST, HORIZON)
        scene.server.kill()
        await scene.governor.reserve(Lane.NO_LIST, 0.0)
        await scene.governor.throttled()
        scene.server.start()
        await scene.heartbeat.beat()
        assert scene.governor.tps_in_use == pytest.approx(20 / 2, rel=1e-2)
        # It climbs while nobody needs a slot, and no higher than it may.
        await asyncio.sleep(CLIMB_SECONDS / 4)
        assert scene.governor.tps_in_use == pytest.approx(20 * 0.75, rel=1e-2)
        await asyncio.sleep(CLIMB_SECONDS)
        assert scene.governor.tps_in_use == 20

    play(scenario, 20)


def test_redis_hears_until_when_a_replica_has_spent_its_own_share() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.governor.reserve(Lane.NO_LIST, HORIZON)
        scene.server.kill()
        await scene.governor.reserve(Lane.NO_LIST, 0.0)
        # The quarter of it is nobody else's.
        assert (await scene.governor.reserve(Lane.NO_LIST, HORIZON)).granted
        assert scene.heartbeat.own_share_until == float("-inf")
        await asyncio.sleep(HORIZON + UNHEARD_SECONDS + 1)
        latest = 0.0
        for _ in range(3):
            reservation = await scene.governor.reserve(Lane.NO_LIST, HORIZON)
            assert reservation.granted
            latest = scene.clock.monotonic() + reservation.wait_seconds
        assert scene.heartbeat.own_share_until == pytest.approx(latest)
        assert not (await scene.governor.reserve(Lane.NO_LIST, 0.0)).granted
        assert scene.heartbeat.own_share_until == pytest.approx(latest)

    play(scenario, 5)


@pytest.mark.parametrize("seconds", [0.0, 600.0, -600.0])
def test_a_redis_that_took_over_hears_of_the_last_slot_also_by_a_clock_that_was_set(seconds: float) -> None:
    async def scenario(scene: Scene) -> None:
        last = 0.0
        for _ in range(5):
            reservation = await scene.governor.reserve(Lane.NO_LIST, HORIZON)
            last = scene.clock.monotonic() + reservation.wait_seconds
        scene.redis_clock.skew += seconds
        await scene.heartbeat.beat()
        # A Redis that took over has heard of none of them.
        scene.server.redis.command("HSET", scene.governor.budget_key, "next_free", "0", "last", "0")
        following = await scene.governor.reserve(Lane.NO_LIST, HORIZON)
        begins = scene.clock.monotonic() + following.wait_seconds
        assert following.granted
        assert begins == pytest.approx(last + 1 / 5, abs=4 * WAY_SECONDS)

    play(scenario, 5)


def test_of_several_slots_the_last_is_the_one_behind_which_the_next_begins() -> None:
    async def scenario(scene: Scene) -> None:
        reservation = await scene.governor.reserve(Lane.STALE, HORIZON, 3)
        assert reservation.granted == 3
        last = reservation.begins(scene.clock.monotonic())[-1]
        scene.server.redis.command("HSET", scene.governor.budget_key, "next_free", "0", "last", "0")
        following = await scene.governor.reserve(Lane.NO_LIST, HORIZON)
        assert scene.clock.monotonic() + following.wait_seconds == pytest.approx(last + 1 / 400, abs=EXACT)

    play(scenario, 400)


def test_a_redis_that_forgets_a_replica_again_and_again_leaves_it_its_own_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(scene: Scene) -> None:
        asked = []

        async def forget(keys: list[Any], args: list[Any]) -> object:
            asked.append((keys, args))
            return [-2, int(scene.redis_clock.time() * 1e6), 0, 0, 0, 0]

        monkeypatch.setattr(scene.governor, "_reserve", forget)
        reservation = await scene.governor.reserve(Lane.NO_LIST, HORIZON)
        assert len(asked) == MAX_ASKS
        assert reservation.granted == 1
        assert reservation.apart_seconds == pytest.approx(1 / (5 * 0.25))

    play(scenario, 5)


def test_a_budget_that_is_gone_from_redis_waits_for_the_slots_that_others_may_have() -> None:
    async def scenario(scene: Scene) -> None:
        assert (await scene.governor.reserve(Lane.NO_LIST, HORIZON)).granted
        # Its sign of life is still there, so only the replica can say that there was a budget a moment ago.
        scene.server.redis.command("DEL", scene.governor.budget_key)
        refused = await scene.governor.reserve(Lane.STALE, 0.0)
        assert not refused.granted
        assert refused.wait_seconds == pytest.approx(HORIZON, abs=EXACT)
        # Long after its last slot it cannot: that is usual after a quiet minute.
        await asyncio.sleep(2 * HORIZON)
        scene.server.redis.command("DEL", scene.governor.budget_key)
        assert (await scene.governor.reserve(Lane.STALE, 0.0)).wait_seconds < 0.01

    play(scenario, 5)


@pytest.mark.parametrize(
    ("lead_seconds", "slot_seconds", "callers"),
    [(0.005, 0.2, 2), (0.005, 0.01, 2), (0.005, 0.0025, 5), (0.02, 0.01, 5)],
)
def test_callers_of_a_lower_lane_are_as_many_as_slots_begin_while_two_are_asked_for(
    lead_seconds: float, slot_seconds: float, callers: int
) -> None:
    clock = StandingClock()

    class Governor(EmbeddedGovernor):
        @property
        def lead_seconds(self) -> float:
            return lead_seconds

    queue = SlotQueue(Governor(1 / slot_seconds, clock=clock), clock)
    assert queue.lower_callers == callers


def test_a_second_holds_one_more_than_the_rate_and_then_waits_for_its_first() -> None:
    window = RateWindow()
    for number in range(6):
        assert window.crowded_seconds(0.2, number * 0.1) == 0.0
        window.add(number * 0.1)
    assert window.crowded_seconds(0.2, 0.5) == pytest.approx(SECOND - 0.5)
    assert window.crowded_seconds(0.2, 1.1) == 0.0
    window.withdraw()
    assert window.crowded_seconds(0.2, 0.5) == 0.0
    # What it knows stays when the rate grows.
    window.add(0.5)
    assert window.crowded_seconds(0.1, 0.6) == 0.0
    for number in range(5):
        window.add(0.6 + number * 0.01)
    assert window.crowded_seconds(0.1, 0.7) == pytest.approx(SECOND - 0.7)


def test_at_one_transaction_a_second_a_second_holds_two() -> None:
    window = RateWindow()
    found = []
    for _ in range(3):
        found.append(window.crowded_seconds(1.0, 0.0))
        window.add(0.0)
    assert found == [0.0, 0.0, SECOND]


def test_nothing_is_withdrawn_where_nothing_began() -> None:
    window = RateWindow()
    window.withdraw()
    assert window.crowded_seconds(1.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("seconds", "interval", "most", "slots"),
    [(-1e-9, 0.1, 9, 0), (0.0, 0.1, 9, 1), (0.0999, 0.1, 9, 1), (0.1, 0.1, 9, 2), (0.3, 0.1, 9, 4), (0.3, 0.1, 2, 2)],
)
def test_slots_begin_at_both_ends_of_a_time(seconds: float, interval: float, most: int, slots: int) -> None:
    assert slots_within(seconds, interval, most) == slots


def test_a_throttle_halves_down_to_the_floor_and_climbs_evenly() -> None:
    throttle = Throttle()
    assert throttle.share(-1e9) == 1.0
    shares = []
    for second in range(8):
        throttle.throttled(float(second))
        throttle.throttled(second + 0.9)
        shares.append(throttle.share(float(second)))
    climb = 1.0
    for share in shares:
        climb = max(FLOOR_SHARE, climb / 2)
        assert share == pytest.approx(climb)
        climb += (1 - climb) / CLIMB_SECONDS
    assert throttle.share(7 + CLIMB_SECONDS / 2) == pytest.approx((1 + shares[-1]) / 2)
    assert throttle.share(7 + CLIMB_SECONDS) == 1.0
    # A clock that is asked about before it was throttled says no less.
    assert throttle.share(6.0) == pytest.approx(shares[-1])
