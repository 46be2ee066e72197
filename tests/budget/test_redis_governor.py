"""The shared budget on a real Redis, in a time that the test moves."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.adapters.redis import UNHEARD_SECONDS, RedisGovernor
from service.budget.ports import Lane, TpsGovernor
from service.budget.schedule import CLIMB_SECONDS, LEAD_SECONDS
from service.budget.shares import KEPT_BACK_SHARE
from service.fleet.heartbeat import FORGET_SECONDS, HEARTBEAT_SECONDS
from service.fleet.share import Share
from tests.support.calls import most_in_a_second
from tests.support.clocks import StandingClock
from tests.support.examples import examples
from tests.support.fleet import Member, join
from tests.support.redis import RedisServer
from tests.support.redis_time import RedisTime, use_redis_time

HORIZON = 1.5
EXACT = 1e-4
"""Redis counts in microseconds."""


@pytest.fixture
def time(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisTime]:
    use_redis_time(monkeypatch)
    time = RedisTime(redis_server)
    yield time
    time.close()


def _join(time: RedisTime, *, serves: bool = True) -> AbstractAsyncContextManager[Member]:
    """It beats only when the test says so, and has patience with a busy machine."""
    return join(time.server.url, time.clock, heartbeat_seconds=86_400, timeout_seconds=5, serves=serves)


def _governor(tps: float, member: Member, time: RedisTime) -> RedisGovernor:
    return RedisGovernor(
        tps, client=member.client, heartbeat=member.heartbeat, clock=time.clock, horizon_seconds=HORIZON
    )


@dataclass
class Governors:
    """Makes governors of one kind at any rate, and moves their time."""

    make: Callable[[float], TpsGovernor]
    move: Callable[[float], None]


@pytest.fixture(params=["embedded", pytest.param("redis", marks=pytest.mark.processes)])
async def governors(request: pytest.FixtureRequest) -> AsyncIterator[Governors]:
    if request.param == "embedded":
        clock = StandingClock()

        def move(seconds: float) -> None:
            clock.now += seconds

        yield Governors(lambda tps: EmbeddedGovernor(tps, clock=clock), move)
        return
    time: RedisTime = request.getfixturevalue("time")
    async with _join(time) as member:
        yield Governors(lambda tps: _governor(tps, member, time), time.move)


# What every governor does


async def test_a_burst_is_spread_evenly(governors: Governors) -> None:
    governor = governors.make(10)
    reservations = [await governor.reserve(Lane.NO_LIST, HORIZON) for _ in range(10)]
    assert all(reservation.granted for reservation in reservations)
    waits = [reservation.wait_seconds for reservation in reservations]
    assert waits == pytest.approx([0.1 * turn for turn in range(10)], abs=EXACT)


async def test_a_slot_beyond_the_time_given_is_refused_and_stays_free(governors: Governors) -> None:
    governor = governors.make(1)
    assert (await governor.reserve(Lane.NO_LIST, HORIZON)).granted
    refused = await governor.reserve(Lane.NO_LIST, 0.2)
    assert not refused.granted
    assert refused.wait_seconds == pytest.approx(1.0, abs=EXACT)
    granted = await governor.reserve(Lane.NO_LIST, HORIZON)
    assert granted.granted
    assert granted.wait_seconds == pytest.approx(1.0, abs=EXACT)


async def test_lower_lanes_get_no_slot_that_begins_later(governors: Governors) -> None:
    governor = governors.make(2)
    assert (await governor.reserve(Lane.PREWARM, HORIZON)).granted
    refused = [await governor.reserve(lane, HORIZON) for lane in (Lane.STALE, Lane.PREWARM)]
    assert [one.granted for one in refused] == [0, 0]
    # The prewarm goes behind the stale list, which will ask again.
    assert [one.wait_seconds for one in refused] == pytest.approx([0.5, 1.0], abs=EXACT)
    governors.move(0.5 - LEAD_SECONDS / 2)
    early = await governor.reserve(Lane.STALE, HORIZON)
    assert early.granted == 1
    assert early.wait_seconds == pytest.approx(LEAD_SECONDS / 2, abs=EXACT)


@pytest.mark.parametrize("tps", [400, 1000, 2500])
async def test_lower_lanes_reserve_several_slots_at_a_time_within_the_lead(governors: Governors, tps: float) -> None:
    """K1."""
    governor = governors.make(tps)
    for lane in (Lane.STALE, Lane.PREWARM):
        reservation = await governor.reserve(lane, HORIZON, 100)
        assert reservation.granted == 1 + int(LEAD_SECONDS * tps)
        assert reservation.apart_seconds == pytest.approx(1 / tps, abs=2e-6)
        last = reservation.begins(0.0)[-1]
        assert LEAD_SECONDS - 1 / tps < last <= LEAD_SECONDS
        first = await governor.reserve(Lane.NO_LIST, HORIZON)
        assert first.wait_seconds == pytest.approx(last + 1 / tps, abs=EXACT)
        # The first marks that it wants more.
        governors.move(2 * LEAD_SECONDS)


async def test_a_stale_list_that_was_refused_goes_before_a_prewarm(governors: Governors) -> None:
    governor = governors.make(5)
    assert (await governor.reserve(Lane.NO_LIST, HORIZON)).granted
    refused = await governor.reserve(Lane.STALE, HORIZON)
    governors.move(refused.wait_seconds)
    assert not (await governor.reserve(Lane.PREWARM, HORIZON)).granted
    assert (await governor.reserve(Lane.STALE, HORIZON)).granted


async def test_throttling_halves_the_rate_once_a_second_until_it_has_climbed_again(governors: Governors) -> None:
    governor = governors.make(100)
    assert governor.tps_in_use == 100
    for _ in range(5):
        await governor.throttled()
    assert governor.tps_in_use == pytest.approx(50)
    assert governor.slot_seconds == pytest.approx(0.02)
    reservations = [await governor.reserve(Lane.NO_LIST, HORIZON) for _ in range(3)]
    assert [one.wait_seconds for one in reservations] == pytest.approx([0, 0.02, 0.04], abs=EXACT)
    governors.move(1.0)
    await governor.throttled()
    assert governor.tps_in_use == pytest.approx((50 + 50 / CLIMB_SECONDS) / 2, abs=0.01)
    governors.move(CLIMB_SECONDS)
    assert governor.tps_in_use == 100


# What only the shared one does


@dataclass(frozen=True)
class Ask:
    after: float
    lane: Lane
    within: float
    throttled: bool
    slots: int


def _asks(*lanes: Lane) -> st.SearchStrategy[list[Ask]]:
    return st.lists(
        st.builds(
            Ask,
            after=st.sampled_from([0.0, 0.0, 0.013, 0.1, 0.37, 1.21, 31.0]),
            lane=st.sampled_from(lanes),
            within=st.sampled_from([0.0, 0.33, HORIZON]),
            throttled=st.sampled_from([False, False, False, True]),
            slots=st.sampled_from([1, 1, 3, 20]),
        ),
        max_size=30,
    )


# A slot that begins later than any caller waits may be a lost replica's, and Redis has a lower rate for it. No caller
# gets it, but a prewarm waits longer for the stale list that was refused it. So there are none at the low rates.
_schedules = st.tuples(st.sampled_from([0.5, 1.0, 4.0]), _asks(Lane.NO_LIST, Lane.STALE)) | st.tuples(
    st.sampled_from([40.0, 100.0]), _asks(*Lane)
)


@examples(30, shares_fixtures=True)
@given(_schedules)
def test_redis_hands_out_the_slots_of_the_rule(time: RedisTime, schedule: tuple[float, list[Ask]]) -> None:
    """`reserve.lua` and `throttled.lua` are `SlotSchedule` once more."""
    tps, asks = schedule

    async def scenario() -> None:
        time.empty_redis()
        async with _join(time) as member:
            shared, rule = _governor(tps, member, time), EmbeddedGovernor(tps, clock=time.clock)
            for ask in asks:
                time.move(ask.after)
                if ask.throttled:
                    await shared.throttled()
                    await rule.throttled()
                await member.heartbeat.beat()
                slots = 1 if ask.lane is Lane.NO_LIST else ask.slots
                ours, wanted = [await one.reserve(ask.lane, ask.within, slots) for one in (shared, rule)]
                assert ours.granted == wanted.granted
                assert ours.wait_seconds == pytest.approx(wanted.wait_seconds, abs=EXACT)
                assert not ours.granted or shared.tps_in_use == pytest.approx(rule.tps_in_use, rel=1e-5)

    asyncio.run(scenario())


Replica = tuple[Member, RedisGovernor]
Act = Callable[[], Awaitable[float | None]]


async def _replicas(stack: AsyncExitStack, time: RedisTime, *, count: int, tps: float) -> list[Replica]:
    replicas = []
    for _ in range(count):
        member = await stack.enter_async_context(_join(time))
        replicas.append((member, _governor(tps, member, time)))
    # A larger share counts until its replica gives it up, so shares settle within as many rounds as there are replicas.
    for member, _ in replicas * count:
        await member.heartbeat.beat()
    assert {member.heartbeat.share for member, _ in replicas} == {Share(count, position) for position in range(count)}
    return replicas


class Agenda:
    """What happens when, in the time of a test; whatever says so happens again."""

    def __init__(self, time: RedisTime) -> None:
        self._time = time
        self._order = itertools.count()
        self._entries: list[tuple[float, int, Act]] = []

    def add(self, at: float, act: Act) -> None:
        """`act` returns after how long it is to happen again, or None."""
        heapq.heappush(self._entries, (at, next(self._order), act))

    async def run(self, until: float) -> None:
        while self._entries and self._entries[0][0] < until:
            at, _, act = heapq.heappop(self._entries)
            self._time.move_to(at)
            again = await act()
            if again is not None:
                self.add(at + again, act)


async def _spend(
    time: RedisTime, replicas: Sequence[Replica], until: float, *events: tuple[float, Callable[[], None]]
) -> list[float]:
    """Three callers of each replica take every slot that they can get, with a deadline like a request's.

    Returns:
        When the slots begin.
    """
    slots: list[float] = []

    async def call(governor: RedisGovernor) -> float:
        reservation = await governor.reserve(Lane.NO_LIST, HORIZON)
        if not reservation.granted:
            return 0.05
        slots.append(time.clock.now + reservation.wait_seconds)
        return max(0.001, reservation.wait_seconds / 3)

    async def beat(member: Member) -> float:
        await member.heartbeat.beat()
        return HEARTBEAT_SECONDS

    async def happen(event: Callable[[], None]) -> None:
        event()

    agenda = Agenda(time)
    for number, (member, governor) in enumerate(replicas):
        agenda.add(number * 0.1, partial(beat, member))
        for turn in range(3):
            agenda.add(turn * 0.01, partial(call, governor))
    for at, event in events:
        agenda.add(at, partial(happen, event))
    await agenda.run(until)
    return slots


async def test_replicas_together_spend_the_budget_and_no_more(time: RedisTime) -> None:
    async with AsyncExitStack() as stack:
        replicas = await _replicas(stack, time, count=3, tps=20)
        slots = await _spend(time, replicas, 5)
    assert most_in_a_second(slots) <= 21
    assert len([one for one in slots if one < 5]) >= 0.99 * 20 * 5


@pytest.mark.parametrize("down_seconds", [0.3, 12.0])
async def test_a_killed_redis_never_costs_more_than_a_third_above_the_budget(
    time: RedisTime, down_seconds: float
) -> None:
    tps, killed = 20, 1.0
    returned = killed + down_seconds
    own_from: list[float] = []

    def kill() -> None:
        time.kill_redis()
        # Until a second after the last slot that Redis gave away, there is only the quarter that is kept back.
        heard_until = max(member.heartbeat.heard_until for member, _ in replicas)
        own_from.append(heard_until + HORIZON + UNHEARD_SECONDS)

    async with AsyncExitStack() as stack:
        replicas = await _replicas(stack, time, count=3, tps=tps)
        slots = await _spend(time, replicas, returned + 4, (killed, kill), (returned, time.start_redis))
        assert all(member.client.up for member, _ in replicas)
    assert most_in_a_second(slots) <= 1.3 * tps + 1
    if returned > own_from[0]:
        own = [one for one in slots if own_from[0] <= one <= returned]
        assert len(own) >= 0.95 * tps * (returned - own_from[0])
    last = [one for one in slots if returned + 2.5 <= one < returned + 4]
    assert len(last) >= 0.95 * tps * 1.5


@pytest.mark.parametrize("seconds", [-3600, -10, -1, -0.2, -0.02, 0.02, 0.2, 1, 10, 3600])
async def test_the_ceiling_holds_and_the_budget_is_used_when_the_clock_of_redis_is_set(
    time: RedisTime, seconds: float
) -> None:
    """J2, J3."""
    tps = 20
    async with AsyncExitStack() as stack:
        replicas = await _replicas(stack, time, count=3, tps=tps)
        with capture_logs() as logs:
            slots = await _spend(time, replicas, 6, (2.0, partial(time.set_redis_clock, seconds)))
        assert all(member.client.up for member, _ in replicas)
    assert most_in_a_second(slots) <= tps + 1
    assert len([one for one in slots if one < 6]) >= 0.95 * tps * 6
    found = [line["seconds"] for line in logs if line["event"] == "redis_clock_set"]
    assert found == pytest.approx([seconds] * len(replicas), abs=0.001)


async def test_a_clock_that_is_set_to_and_fro_costs_no_ceiling(time: RedisTime) -> None:
    """J2, J3."""
    tps = 20
    async with AsyncExitStack() as stack:
        replicas = await _replicas(stack, time, count=3, tps=tps)
        steps = [(0.7 + 0.37 * turn, partial(time.set_redis_clock, 7.0 * (-1) ** turn)) for turn in range(11)]
        slots = await _spend(time, replicas, 8, *steps)
    assert most_in_a_second(slots) <= tps + 1
    assert len([one for one in slots if one < 8]) >= 0.9 * tps * 8


@pytest.mark.parametrize("seconds", [-3600, -5, 5, 3600])
async def test_a_newcomer_believes_no_reservation_that_begins_later_than_anybody_may_wait(
    time: RedisTime, seconds: float
) -> None:
    """J2: nobody is left who could say by how much the clock was set."""
    async with _join(time) as gone:
        governor = _governor(20, gone, time)
        taken = [await governor.reserve(Lane.NO_LIST, HORIZON) for _ in range(30)]
        assert taken[-1].wait_seconds == pytest.approx(29 / 20, abs=EXACT)
    time.set_redis_clock(seconds)
    async with _join(time) as member:
        with capture_logs() as logs:
            reservation = await _governor(20, member, time).reserve(Lane.NO_LIST, HORIZON)
    if seconds < 0:
        assert reservation.granted
        assert reservation.wait_seconds == pytest.approx(HORIZON, abs=EXACT)
        assert [line["event"] for line in logs] == ["redis_reservation_not_believed"]
    else:
        assert reservation.granted


async def test_a_sign_of_life_from_the_future_does_not_count(time: RedisTime) -> None:
    """J2: the clock was set back, and the replica that could say so is cut off, on its own share."""
    async with _join(time) as older:
        await older.heartbeat.beat()
        time.set_redis_clock(-100)
        async with _join(time) as newcomer:
            reservation = await _governor(5, newcomer, time).reserve(Lane.NO_LIST, HORIZON)
            assert reservation.apart_seconds == pytest.approx(1 / (5 * KEPT_BACK_SHARE), abs=EXACT)


async def test_the_shares_of_replicas_that_are_cut_off_outlive_a_clock_that_is_set(time: RedisTime) -> None:
    """J2, J3: one is cut off while the clock of Redis is set, and the others reach it."""
    tps = 20
    async with AsyncExitStack() as stack:
        replicas = await _replicas(stack, time, count=3, tps=tps)
        cut_off, _ = replicas[2]

        async def unreachable(*_: object, **__: object) -> object:
            raise redis.exceptions.ConnectionError

        def cut() -> None:
            cut_off.client.redis.execute_command = unreachable  # type: ignore[method-assign]  # the network is away
            cut_off.client.scripts.ask = unreachable  # type: ignore[attr-defined]  # as above

        slots = await _spend(
            time,
            replicas,
            12,
            (1.0, cut),
            (2.0, partial(time.set_redis_clock, 600)),
            (6.0, partial(time.set_redis_clock, -1200)),
        )
        assert [member.client.up for member, _ in replicas] == [True, True, False]
        del cut_off.client.redis.execute_command
    assert most_in_a_second(slots) <= 1.25 * tps + 1


async def test_without_redis_a_replica_spends_its_share_once_the_others_know(time: RedisTime) -> None:
    async with AsyncExitStack() as stack:
        (member, governor), _ = await _replicas(stack, time, count=2, tps=20)
        await governor.reserve(Lane.NO_LIST, HORIZON)
        time.kill_redis()
        await governor.reserve(Lane.NO_LIST, HORIZON)
        assert not member.client.up
        assert governor.tps_in_use == pytest.approx(2.5)
        time.move_to(member.heartbeat.heard_until + HORIZON + UNHEARD_SECONDS)
        assert governor.tps_in_use == pytest.approx(10)
        assert governor.slot_seconds == pytest.approx(0.1)


async def test_the_share_of_a_replica_that_died_is_kept_until_it_is_forgotten(time: RedisTime) -> None:
    async with AsyncExitStack() as stack:
        (one, governor), (dead, _) = await _replicas(stack, time, count=2, tps=20)
        await dead.redis.aclose(close_connection_pool=True)
        kept = await one.redis.hget(one.heartbeat.shares_key, dead.heartbeat.replica)
        assert kept is not None
        assert kept[:2] == b"2 "
        time.move(HORIZON + UNHEARD_SECONDS + 0.1)
        await one.heartbeat.beat()
        await governor.reserve(Lane.NO_LIST, HORIZON)
        assert governor.tps_in_use == pytest.approx(20 * (1 - 0.75 / 2))
        time.move(FORGET_SECONDS)
        await one.heartbeat.beat()
        await governor.reserve(Lane.NO_LIST, HORIZON)
        assert governor.tps_in_use == pytest.approx(20)


async def test_what_redis_reads_too_late_gives_no_slot_and_no_sign_of_life(
    time: RedisTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _join(time) as member:
        governor = _governor(20, member, time)
        before = await member.redis.hgetall(member.heartbeat.shares_key)
        reserve = governor._reserve

        async def read_late(keys: list[Any], args: list[Any]) -> object:
            time.move(2 * member.heartbeat.patience_seconds + 1)
            return await reserve(keys=keys, args=args)

        with monkeypatch.context() as patched:
            patched.setattr(governor, "_reserve", read_late)
            await governor.reserve(Lane.NO_LIST, HORIZON)
        assert governor.slot_seconds > 1 / 20
        assert await member.redis.hgetall(member.heartbeat.shares_key) == before
        assert not await member.redis.exists(governor.budget_key)
        # The clocks are compared anew, so the next heartbeat finds Redis again.
        await member.heartbeat.beat()
        assert member.client.up
        assert (await governor.reserve(Lane.NO_LIST, HORIZON)).granted


async def test_after_a_script_flush_nobody_notices(time: RedisTime) -> None:
    async with _join(time) as member:
        governor = _governor(100, member, time)
        assert (await governor.reserve(Lane.NO_LIST, HORIZON)).granted
        await member.redis.script_flush()
        assert (await governor.reserve(Lane.NO_LIST, HORIZON)).granted
        await governor.throttled()
        assert member.client.up


async def test_a_redis_that_forgot_everything_waits_for_the_slots_already_given_away(time: RedisTime) -> None:
    async with _join(time) as member:
        governor = _governor(5, member, time)
        for _ in range(5):
            await governor.reserve(Lane.NO_LIST, HORIZON)
        time.empty_redis()
        refused = await governor.reserve(Lane.STALE, 0)
        assert refused.wait_seconds == pytest.approx(HORIZON, abs=EXACT)


async def test_a_replica_without_slots_waits_too_when_its_heartbeat_is_forgotten(time: RedisTime) -> None:
    async with _join(time) as member:
        governor = _governor(5, member, time)
        time.empty_redis()
        assert (await governor.reserve(Lane.STALE, 0)).wait_seconds == pytest.approx(HORIZON, abs=EXACT)


@pytest.mark.parametrize("asks", ["known", "new"])
async def test_who_holds_no_slot_waits_too_when_another_has_let_redis_know_who_was_there(
    time: RedisTime, asks: str
) -> None:
    """J9: the first to find Redis empty puts the others back, so that Redis knows them as if nothing had been."""
    async with _join(time) as one, _join(time) as other:
        for member in (one, other):
            await member.heartbeat.beat()
        spender = _governor(5, one, time)
        for _ in range(5):
            assert (await spender.reserve(Lane.NO_LIST, HORIZON)).granted
        time.empty_redis()
        await one.heartbeat.beat()
        async with AsyncExitStack() as stack:
            asking = other if asks == "known" else await stack.enter_async_context(_join(time))
            refused = await _governor(5, asking, time).reserve(Lane.NO_LIST, 0)
            assert not refused.granted
            assert refused.wait_seconds == pytest.approx(HORIZON, abs=EXACT)


async def test_after_a_quiet_minute_the_first_slot_is_free(time: RedisTime) -> None:
    async with _join(time) as member:
        governor = _governor(5, member, time)
        assert (await governor.reserve(Lane.STALE, 0)).granted
        assert 60 <= await member.redis.ttl(governor.budget_key) <= 65
        await member.redis.delete(governor.budget_key)
        time.move(60)
        await member.heartbeat.beat()
        assert (await governor.reserve(Lane.STALE, 0)).granted


async def test_a_full_redis_does_not_stop_the_budget(time: RedisTime) -> None:
    async with _join(time) as member:
        await member.redis.config_set("maxmemory", "1mb")
        await member.redis.config_set("maxmemory-policy", "noeviction")
        governor = _governor(100, member, time)
        for _ in range(5):
            assert (await governor.reserve(Lane.NO_LIST, HORIZON)).granted
        await governor.throttled()
        assert member.client.up


async def test_a_reservation_costs_one_round_trip(time: RedisTime) -> None:
    async with _join(time) as member:
        governor = _governor(1000, member, time)
        await governor.reserve(Lane.NO_LIST, HORIZON)
        await member.redis.config_resetstat()
        for _ in range(10):
            await governor.reserve(Lane.NO_LIST, HORIZON)
        calls = await member.redis.info("commandstats")
        assert calls["cmdstat_evalsha"]["calls"] == 10
        assert "cmdstat_eval" not in calls
        assert "cmdstat_hvals" not in calls, "it looks at every replica"


async def test_without_redis_a_prewarm_gets_no_slot(time: RedisTime) -> None:
    async with _join(time) as member:
        governor = _governor(100, member, time)
        time.kill_redis()
        refused = await governor.reserve(Lane.PREWARM, HORIZON)
        assert not member.client.up
        assert not refused.granted
        assert not (await governor.reserve(Lane.PREWARM, HORIZON)).granted
        time.move(0.02)  # between two points of its share
        stale = await governor.reserve(Lane.STALE, 0)
        assert not stale.granted
        time.move(stale.wait_seconds)
        assert (await governor.reserve(Lane.STALE, 0)).granted


async def test_a_process_that_only_prewarms_notices_a_forgetful_redis_too(time: RedisTime) -> None:
    async with _join(time, serves=False) as member:
        governor = _governor(5, member, time)
        assert (await governor.reserve(Lane.PREWARM, 0)).granted
        await member.redis.delete(governor.budget_key)
        time.move(60)
        await member.heartbeat.beat()
        assert (await governor.reserve(Lane.PREWARM, 0)).granted
        time.empty_redis()
        time.move(HORIZON)
        assert (await governor.reserve(Lane.PREWARM, 0)).wait_seconds == pytest.approx(HORIZON, abs=EXACT)
