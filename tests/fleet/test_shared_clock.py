import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.fleet.shared_clock import DRIFT, MAX_COMPARISON_SECONDS, MIN_STEP_SECONDS, SharedClock
from tests.support.clocks import StandingClock

EPOCH = 1_800_000_000.0
"""Not what this machine's clock says."""


def _compare(shared: SharedClock, clock: StandingClock, *, there: float, back: float) -> None:
    """Redis's clock is `EPOCH` when ours is 0; the message travels for `there`, its answer for `back`."""
    sent_at = clock.now
    clock.now += there
    redis_seconds = EPOCH + clock.now
    clock.now += back
    shared.compare(redis_seconds, sent_at=sent_at)


_trips = st.floats(0.0, 0.25)


@given(st.lists(st.tuples(_trips, _trips, st.floats(0.0, 60.0)), min_size=1, max_size=30))
def test_the_shared_clock_is_never_wronger_than_it_says(trips: list[tuple[float, float, float]]) -> None:
    clock = StandingClock()
    shared = SharedClock(clock)
    for there, back, pause in trips:
        _compare(shared, clock, there=there, back=back)
        assert abs(shared.time() - (EPOCH + clock.now)) <= shared.error_seconds + 1e-6
        assert shared.error_seconds <= 0.25
        clock.now += pause


def test_the_comparison_with_the_shortest_round_trip_counts() -> None:
    clock = StandingClock()
    shared = SharedClock(clock)
    for there, back in ((0.2, 0.0), (0.001, 0.001), (0.2, 0.0)):
        _compare(shared, clock, there=there, back=back)
    assert shared.time() == pytest.approx(EPOCH + clock.now, abs=1e-4)


@pytest.mark.parametrize("old", [True, False])
def test_an_old_or_distrusted_comparison_gives_way_to_any_other(old: bool) -> None:  # noqa: FBT001 - a parameter of the test
    clock = StandingClock()
    shared = SharedClock(clock)
    shared.compare(5.0, sent_at=clock.now)
    if old:
        clock.now += MAX_COMPARISON_SECONDS + 1
    else:
        shared.distrust()
    _compare(shared, clock, there=0.1, back=0.1)
    assert shared.time() == pytest.approx(EPOCH + clock.now, abs=1e-4)


def shared_at(clock: StandingClock, *, error: float = 0.0) -> SharedClock:
    """One that has compared once, with this error, a moment ago."""
    shared = SharedClock(clock)
    _compare(shared, clock, there=error, back=error)
    return shared


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("before", "now", "age", "allowed"),
    [
        (0.0, 0.0, 0.0, MIN_STEP_SECONDS),
        (0.1, 0.0, 0.0, 0.1 + MIN_STEP_SECONDS),
        (0.0, 0.1, 0.0, 0.1 + MIN_STEP_SECONDS),
        (0.1, 0.05, 0.0, 0.15 + MIN_STEP_SECONDS),
        (0.0, 0.0, 4.0, MIN_STEP_SECONDS),
        (0.0, 0.0, 20.0, 20 * DRIFT),
        (0.0, 0.0, 100.0, 100 * DRIFT),
    ],
)
def test_a_clock_was_set_if_two_comparisons_differ_by_more_than_their_errors_and_drift(
    before: float, now: float, age: float, allowed: float, sign: int
) -> None:
    for differs, is_set in ((0.99 * allowed, False), (1.01 * allowed, True)):
        clock = StandingClock()
        shared = shared_at(clock, error=before)
        compared_at = clock.now
        clock.now += age
        sent_at = clock.now - 2 * now
        shared.compare(EPOCH + clock.now - now + sign * differs, sent_at=sent_at)
        assert (shared.step is not None) is is_set
        if shared.step is not None:
            assert shared.step.seconds == pytest.approx(sign * differs, abs=1e-6)
            assert shared.step.after == compared_at
            assert shared.set_at == clock.now
            assert shared.time() == pytest.approx(EPOCH + clock.now + sign * differs)


def test_steps_that_nobody_has_looked_at_add_up_and_what_was_asked_before_says_nothing() -> None:
    clock = StandingClock()
    shared = shared_at(clock)
    clock.now = 10.0
    shared.compare(EPOCH + 10 + 5, sent_at=10.0)
    clock.now = 20.0
    shared.compare(EPOCH + 20 + 2, sent_at=20.0)
    assert shared.step is not None
    assert shared.step.seconds == pytest.approx(2.0)
    assert shared.step.after == 0.0
    clock.now = 21.0
    # It left before the clock was found to be set, and may be of either time.
    shared.compare(EPOCH + 21 + 5, sent_at=19.999)
    assert shared.time() == pytest.approx(EPOCH + 21 + 2)
    shared.compare(EPOCH + 20.5 + 2, sent_at=20.0)
    assert shared.error_seconds == 0.0
    shared.step = None
    shared.distrust()
    shared.compare(EPOCH + 20.5 + 2, sent_at=20.0)
    assert shared.error_seconds == 0.5


@pytest.mark.parametrize(
    ("age", "worse", "counts"),
    [
        (10.0, 0.9 * 10 * DRIFT, True),
        (10.0, 1.1 * 10 * DRIFT, False),
        (MAX_COMPARISON_SECONDS, 0.2, False),
        (MAX_COMPARISON_SECONDS + 0.001, 0.2, True),
    ],
)
def test_a_comparison_gets_worse_with_its_age_and_counts_for_a_while(age: float, worse: float, *, counts: bool) -> None:
    clock = StandingClock()
    shared = SharedClock(clock)
    known = [shared.is_known]
    shared.compare(EPOCH, sent_at=0.0)
    assert [*known, shared.is_known] == [False, True]
    clock.now = age
    shared.compare(EPOCH + age, sent_at=age - 2 * worse)
    assert shared.error_seconds == (pytest.approx(worse) if counts else 0.0)
    # A distrusted one gives way once, not from then on.
    clock.now += 1
    shared.distrust()
    shared.compare(EPOCH + clock.now, sent_at=clock.now - 0.5)
    assert shared.error_seconds == 0.25
    clock.now += 1
    shared.compare(EPOCH + clock.now, sent_at=clock.now - 1)
    assert shared.error_seconds == 0.25
