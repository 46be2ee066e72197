from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.ports import Lane, Reservation
from service.budget.schedule import LEAD_SECONDS, SlotSchedule

_HAIR = 1e-6


@dataclass
class HandClock:
    now: float = 1000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@dataclass(frozen=True)
class Step:
    after: float
    lane: Lane
    within: float
    throttled: bool


@dataclass(frozen=True)
class Played:
    """One ask of a schedule, and when its slot begins (`begins`) and is used (`used`)."""

    now: float
    lane: Lane
    reservation: Reservation
    begins: float
    used: float


_steps = st.lists(
    st.builds(
        Step,
        after=st.one_of(st.just(0.0), st.floats(0.0, 0.2), st.floats(0.0, 40.0)),
        lane=st.sampled_from(list(Lane)),
        within=st.floats(0.0, 3.0),
        throttled=st.booleans() | st.just(value=False),
    ),
    max_size=120,
)
_tps = st.sampled_from([0.3, 1.0, 2.5, 5.0, 20.0, 100.0])


def _play(tps: float, steps: list[Step]) -> list[Played]:
    schedule, now, played = SlotSchedule(tps), 1000.0, []
    for step in steps:
        now += step.after
        if step.throttled:
            schedule.throttled(now)
        interval = 1.0 / schedule.rate(now)
        reservation = schedule.reserve(step.lane, step.within, now)
        begins = schedule.next_free - interval
        played.append(Played(now, step.lane, reservation, begins, now + reservation.wait_seconds))
    return played


def _most_within_a_second(moments: list[float], *, closed: bool) -> int:
    moments = sorted(moments)
    width = 1.0 + _HAIR if closed else 1.0 - _HAIR
    return max((sum(first <= other <= first + width for other in moments) for first in moments), default=0)


@given(_tps, _steps)
def test_no_schedule_of_asks_and_throttling_puts_more_slots_than_tps_into_a_second(
    tps: float, steps: list[Step]
) -> None:
    slots = [one.begins for one in _play(tps, steps) if one.reservation.granted]
    assert _most_within_a_second(slots, closed=False) <= max(1, -(-tps // 1))


@given(_tps, _steps)
def test_no_schedule_uses_more_than_tps_and_one_in_a_closed_second(tps: float, steps: list[Step]) -> None:
    used = [one.used for one in _play(tps, steps) if one.reservation.granted]
    assert _most_within_a_second(used, closed=True) <= -(-tps // 1) + 1


@given(_tps, _steps)
def test_slots_are_given_away_in_order_and_never_twice(tps: float, steps: list[Step]) -> None:
    granted = [one for one in _play(tps, steps) if one.reservation.granted]
    for earlier, later in pairwise(granted):
        assert later.begins - earlier.begins >= 1.0 / tps - _HAIR
        assert later.used > earlier.used


@given(_tps, _steps)
def test_lower_lanes_take_only_slots_that_begin_within_the_lead(tps: float, steps: list[Step]) -> None:
    for one in _play(tps, steps):
        if one.reservation.granted and one.lane is not Lane.NO_LIST:
            assert one.reservation.wait_seconds <= LEAD_SECONDS


@given(
    st.sampled_from([5.0, 100.0, 400.0, 1000.0, 2500.0]),
    st.lists(st.tuples(st.floats(0.0, 0.02), st.sampled_from(list(Lane)), st.integers(1, 40)), max_size=60),
)
def test_several_slots_at_a_time_are_as_far_apart_as_one_by_one_and_begin_within_the_lead(
    tps: float, asks: list[tuple[float, Lane, int]]
) -> None:
    """K1."""
    schedule, now = SlotSchedule(tps), 1000.0
    slots: list[float] = []
    for after, lane, wanted in asks:
        now += after
        reservation = schedule.reserve(lane, 0.1, now, wanted if lane is not Lane.NO_LIST else 1)
        begins = reservation.begins(now)
        assert len(begins) <= wanted
        assert all(one <= now + (0.1 if lane is Lane.NO_LIST else LEAD_SECONDS) + _HAIR for one in begins)
        slots += begins
    assert all(later - earlier >= 1.0 / tps - _HAIR for earlier, later in pairwise(slots))
    assert slots == sorted(slots)


@given(_tps, _steps)
def test_lanes_never_invert(tps: float, steps: list[Step]) -> None:
    stale_asks_again_at = float("-inf")
    for one in _play(tps, steps):
        if one.lane is Lane.STALE and not one.reservation.granted:
            stale_asks_again_at = one.used
        if one.lane is Lane.PREWARM and one.reservation.granted:
            assert one.now >= stale_asks_again_at


@given(_tps, st.lists(st.floats(0.0, 5.0), max_size=40))
def test_the_rate_stays_between_a_twentieth_and_all_of_tps(tps: float, pauses: list[float]) -> None:
    schedule, now = SlotSchedule(tps), 0.0
    for pause in pauses:
        now += pause
        schedule.throttled(now)
        assert tps / 20 - _HAIR <= schedule.rate(now) <= tps


def test_a_burst_is_spread_evenly() -> None:
    schedule = SlotSchedule(5)
    waits = [schedule.reserve(Lane.NO_LIST, 1.5, 100.0).wait_seconds for _ in range(8)]
    assert waits == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4])


def test_a_slot_beyond_the_deadline_is_refused_at_once_and_stays_free() -> None:
    schedule = SlotSchedule(1)
    schedule.reserve(Lane.NO_LIST, 1.5, 100.0)
    refused = schedule.reserve(Lane.NO_LIST, 0.5, 100.0)
    assert refused == Reservation(granted=0, wait_seconds=1.0, apart_seconds=1.0)
    assert schedule.reserve(Lane.NO_LIST, 1.05, 100.0).granted


@pytest.mark.parametrize("tps", [5.0, 400.0, 1000.0, 2500.0])
def test_a_lower_lane_that_asks_in_time_loses_no_slot_and_delays_nobody_by_more_than_the_lead(tps: float) -> None:
    """K1."""
    schedule, now, taken = SlotSchedule(tps), 100.0, 0
    while now < 101.0:
        taken += schedule.reserve(Lane.STALE, LEAD_SECONDS, now, 40).granted
        # A little before the last slot begins.
        now = max(now + 0.001, schedule.next_free - LEAD_SECONDS / 2)
        wait = max(0.0, schedule.next_free - now)
        assert wait <= LEAD_SECONDS + 1 / tps
    assert taken == pytest.approx(tps, abs=2 + LEAD_SECONDS * tps)


def test_a_refused_stale_list_goes_before_a_prewarm() -> None:
    schedule = SlotSchedule(5)
    assert schedule.reserve(Lane.PREWARM, 0.0, 100.0).granted
    refused = schedule.reserve(Lane.STALE, 0.0, 100.0)
    assert not refused.granted
    turn = 100.0 + refused.wait_seconds
    assert not schedule.reserve(Lane.PREWARM, 0.0, turn).granted
    assert schedule.reserve(Lane.STALE, 0.0, turn).granted


def test_a_prewarm_goes_on_when_the_stale_list_never_asks_again() -> None:
    schedule = SlotSchedule(5)
    schedule.reserve(Lane.NO_LIST, 0.0, 100.0)
    schedule.reserve(Lane.STALE, 0.0, 100.0)
    hint = schedule.reserve(Lane.PREWARM, 0.0, 100.0)
    assert not hint.granted
    assert schedule.reserve(Lane.PREWARM, 0.0, 100.0 + hint.wait_seconds).granted


def test_a_mark_that_ends_within_a_rounding_holds_no_prewarm_back() -> None:
    """Redis counts in microseconds, and has it ended."""
    schedule = SlotSchedule(max_tps=20)
    assert schedule.reserve(Lane.NO_LIST, 0.0, now=1000.0).granted
    assert not schedule.reserve(Lane.STALE, 0.0, now=1000.0).granted
    assert not schedule.reserve(Lane.PREWARM, 0.0, now=1000.1 - 1e-5).granted
    assert schedule.reserve(Lane.PREWARM, 0.0, now=1000.1 - 1e-9).granted


async def test_throttling_halves_the_rate_once_a_second_and_it_climbs_back_within_thirty() -> None:
    clock = HandClock()
    governor = EmbeddedGovernor(8, clock=clock)
    for _ in range(5):
        await governor.throttled()
    assert governor.tps_in_use == 4.0
    assert governor.slot_seconds == 0.25
    clock.now += 15
    assert governor.tps_in_use == pytest.approx(6.0)
    clock.now += 15
    assert governor.tps_in_use == 8.0
