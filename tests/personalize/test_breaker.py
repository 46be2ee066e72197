"""The breaker, with transactions that end in any order and long after others began."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BreakerOpen
from service.personalize.breaker import FAILURES_TO_OPEN, OLD_SECONDS, OPEN_SECONDS, Breaker, BreakerState
from tests.support.clocks import StandingClock


@dataclass
class SetClock:
    now: float = 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def state(breaker: Breaker) -> BreakerState:
    """As it is now, whatever was known of it."""
    return breaker.state


_steps = st.lists(
    st.just("begin")
    | st.tuples(st.sampled_from(["success", "failure", "failure", "failure", "neutral"]), st.integers(0, 20))
    | st.sampled_from([OPEN_SECONDS, OLD_SECONDS]),
    max_size=60,
)


@given(steps=_steps)
def test_half_open_one_transaction_at_a_time_is_let_through_and_only_it_decides(
    steps: list[str | tuple[str, int] | float],
) -> None:
    clock = SetClock()
    breaker = Breaker(clock)
    # Each transaction under way: what it was let through with, and the state that it met.
    under_way: list[tuple[int, BreakerState]] = [(breaker.admit(), BreakerState.CLOSED) for _ in range(3)]
    for _ in range(FAILURES_TO_OPEN):
        breaker.failure(breaker.admit())
    for step in steps:
        before = breaker.state
        if isinstance(step, float):
            clock.now += step
        elif isinstance(step, str):
            try:
                under_way.append((breaker.admit(), before))
            except BreakerOpen:
                assert before is not BreakerState.CLOSED
                continue
            assert before is not BreakerState.OPEN
        elif under_way:
            era, met = under_way.pop(step[1] % len(under_way))
            getattr(breaker, step[0])(era)
            if before is not BreakerState.CLOSED and breaker.state is not before:
                assert met is BreakerState.HALF_OPEN
        assert sum(met is BreakerState.HALF_OPEN for _, met in under_way) <= 1


def test_it_closes_again_by_its_probe() -> None:
    clock = SetClock()
    breaker = Breaker(clock)
    early = breaker.admit()
    for _ in range(FAILURES_TO_OPEN):
        breaker.failure(breaker.admit())
    breaker.success(early)
    states = [breaker.state]
    clock.now += OPEN_SECONDS
    breaker.success(breaker.admit())
    states.append(breaker.state)
    # Failures of before it opened are forgotten.
    breaker.failure(breaker.admit())
    assert [*states, breaker.state] == [BreakerState.OPEN, BreakerState.CLOSED, BreakerState.CLOSED]


def test_what_nobody_has_tried_for_long_is_tried_by_everyone_until_it_fails_again() -> None:
    clock = SetClock()
    breaker = Breaker(clock)
    for _ in range(FAILURES_TO_OPEN):
        breaker.failure(breaker.admit())
    clock.now += OLD_SECONDS
    eras = [breaker.admit() for _ in range(3)]
    states = [breaker.state]
    breaker.failure(eras[0])
    breaker.success(eras[1])
    assert [*states, breaker.state] == [BreakerState.CLOSED, BreakerState.OPEN]


def test_a_probe_under_way_is_not_joined_however_long_it_takes() -> None:
    clock = SetClock()
    breaker = Breaker(clock)
    for _ in range(FAILURES_TO_OPEN):
        breaker.failure(breaker.admit())
    clock.now += OPEN_SECONDS
    breaker.admit()
    clock.now += OLD_SECONDS
    assert breaker.state is BreakerState.HALF_OPEN


@pytest.mark.parametrize("word", ["success", "failure", "neutral"])
def test_nothing_is_heard_of_a_transaction_of_an_earlier_era(word: str) -> None:
    clock = SetClock()
    breaker = Breaker(clock)
    early = breaker.admit()

    def hear() -> None:
        getattr(breaker, word)(early)

    for _ in range(FAILURES_TO_OPEN):
        breaker.failure(breaker.admit())
    hear()
    assert state(breaker) is BreakerState.OPEN
    clock.now += OPEN_SECONDS
    probe = breaker.admit()
    hear()
    assert state(breaker) is BreakerState.HALF_OPEN
    with pytest.raises(BreakerOpen):
        breaker.admit()
    breaker.neutral(probe)
    assert state(breaker) is BreakerState.HALF_OPEN
    clock.now += OLD_SECONDS
    breaker.admit()
    hear()
    assert state(breaker) is BreakerState.CLOSED
    # One more failure opens it: those of before still count.
    breaker.failure(breaker.admit())
    assert state(breaker) is BreakerState.OPEN


def test_its_bounds_are_met_to_the_moment() -> None:
    clock = SetClock()
    breaker = Breaker(clock)
    for number in range(FAILURES_TO_OPEN):
        assert state(breaker) is BreakerState.CLOSED, number
        breaker.failure(breaker.admit())
    states = {}
    for seconds in (0.0, OPEN_SECONDS - 0.5, OPEN_SECONDS, OLD_SECONDS - 0.5, OLD_SECONDS):
        clock.now = seconds
        states[seconds] = breaker.state
    open_, half, closed = BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED
    assert list(states.values()) == [open_, open_, half, half, closed]


def test_its_states_have_the_numbers_that_dashboards_know() -> None:
    clock = StandingClock()
    breaker = Breaker(clock)
    numbers = [int(breaker.state)]
    for _ in range(FAILURES_TO_OPEN):
        breaker.failure(breaker.admit())
    for clock.now in (0.0, OPEN_SECONDS):
        numbers.append(int(breaker.state))
    assert numbers == [0, 2, 1]
