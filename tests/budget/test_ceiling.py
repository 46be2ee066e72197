"""The promise of the budget, over schedules of what may become of Redis, its clock, the network and the replicas.

`python -m bench.ceiling --seeds 1000` tries more of them.
"""

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from service.fleet.heartbeat import FORGET_SECONDS
from tests.support.spenders import MISSED, REACHED, Event, Schedule, spend

pytestmark = pytest.mark.long

# The same seeds each time; new ones are for the command. A seed that fails is printed; a smaller one would say no more.
_few = settings(max_examples=6, derandomize=True, phases=[Phase.generate])
_seeds = st.integers(0, 1_000_000)


@_few
@given(seed=_seeds)
def test_while_all_replicas_reach_redis_no_second_holds_more_than_tps_and_one(seed: int) -> None:
    """J2, J3, J9: the clock of Redis is set, and replicas come, go and are killed."""
    schedule = Schedule.of(seed, REACHED)
    assert spend(schedule).most <= schedule.tps + 1


@_few
@given(seed=_seeds)
def test_whatever_becomes_of_redis_no_second_holds_more_than_the_promise(seed: int) -> None:
    """J2, J3, J9: a quarter above TPS, one for each replica, and the share of each that starts without Redis."""
    spenders = spend(Schedule.of(seed, MISSED))
    assert spenders.most <= spenders.promised


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(20.0, 3, [Event(1.0, "clock", 10.0)]),
        Schedule(20.0, 3, [Event(1.0, "clock", -10.0)]),
        Schedule(20.0, 3, [Event(1.0, "clock", 1.0), Event(0.0, "join")]),
        Schedule(5.0, 2, [Event(0.01, "clock", 3600.0), Event(0.0, "join")]),
        Schedule(20.0, 2, [Event(0.3, "clock", -3600.0), Event(0.0, "clock", 3600.0)]),
        # An hour forward, all that Redis kept expires. The replica that asks first holds no slot, the others do.
        Schedule(5.0, 4, [Event(0.01, "clock", 3600.0), Event(0.0, "clock", -1.0), Event(0.44, "stop", replica=2)]),
    ],
)
def test_a_clock_that_is_set_costs_no_ceiling(schedule: Schedule) -> None:
    """J2, J3."""
    assert spend(schedule).most <= schedule.tps + 1


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(20.0, 3, [Event(1.0, "down", 10.0)]),
        Schedule(20.0, 1, [Event(2.3, "join"), Event(0.3, "pause", 1.0)]),
        Schedule(
            20.0,
            3,
            [
                Event(0.0, "cut", 10.0),
                Event(0.0, "clock", -3600.0),
                Event(2.6, "clock", 3600.0),
                Event(0.3, "cut", 0.2, replica=2),
            ],
        ),
    ],
)
def test_a_redis_that_is_missed_costs_a_quarter_and_one_for_each_replica(schedule: Schedule) -> None:
    """J9."""
    spenders = spend(schedule)
    assert spenders.most <= spenders.promised


def test_a_replica_that_is_cut_off_for_longer_than_it_is_remembered_adds_its_share_and_no_more() -> None:
    """J9."""
    tps, replicas = 10.0, 4
    events = [Event(1.0, "cut", FORGET_SECONDS + 10), Event(FORGET_SECONDS + 6, "stop", replica=1)]
    assert tps + 2 < spend(Schedule(tps, replicas, events), 0.0).most <= tps + 1 + tps / replicas + 1


@pytest.mark.parametrize("redis", ["up", "down"])
def test_the_budget_is_used(redis: str) -> None:
    """The promise is no excuse: what is allowed is spent, with Redis and, from some seconds on, without."""
    tps = 20.0
    events = [Event(0.0, "down", 30.0)] if redis == "down" else [Event(0.0, "join")]
    begun = spend(Schedule(tps, 3, events), seconds_after=8.0).begun
    assert len([one for one in begun if max(begun) - 4 < one]) >= 0.92 * tps * 4
