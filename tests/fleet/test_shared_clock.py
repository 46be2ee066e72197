import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.fleet.shared_clock import MAX_COMPARISON_SECONDS, SharedClock
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
