from hypothesis import given
from hypothesis import strategies as st

from service.local_personalize.throttle import TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_second_of_calls_may_come_at_once_and_no_more() -> None:
    bucket = TokenBucket(tokens_per_second=3, clock=Clock())

    assert [bucket.try_take() for _ in range(5)] == [True, True, True, False, False]


def test_a_rate_below_one_admits_the_first_call_and_the_next_when_a_token_has_gathered() -> None:
    clock = Clock()
    bucket = TokenBucket(tokens_per_second=0.5, clock=clock)

    assert bucket.try_take()
    clock.now += 1.9
    assert not bucket.try_take()
    clock.now += 0.1
    assert bucket.try_take()


def test_idle_time_does_not_gather_more_than_one_second_of_calls() -> None:
    clock = Clock()
    bucket = TokenBucket(tokens_per_second=2, clock=clock)
    clock.now += 3_600

    assert sum(bucket.try_take() for _ in range(10)) == 2


def test_zero_is_no_limit() -> None:
    bucket = TokenBucket(tokens_per_second=0, clock=Clock())

    assert all(bucket.try_take() for _ in range(10_000))


@given(
    rate=st.floats(min_value=0.1, max_value=50),
    gaps=st.lists(st.floats(min_value=0, max_value=3), min_size=1, max_size=80),
)
def test_no_stretch_of_time_admits_more_than_its_rate_and_one_burst(rate: float, gaps: list[float]) -> None:
    clock = Clock()
    bucket = TokenBucket(tokens_per_second=rate, clock=clock)
    admitted = []
    for gap in gaps:
        clock.now += gap
        if bucket.try_take():
            admitted.append(clock.now)

    for first, start in enumerate(admitted):
        for last, end in enumerate(admitted[first:], start=1):
            assert last <= max(1.0, rate) + rate * (end - start) + 1e-6


@given(rate=st.integers(min_value=1, max_value=100), calls=st.integers(min_value=1, max_value=300))
def test_calls_spaced_at_the_rate_are_all_admitted(rate: int, calls: int) -> None:
    clock = Clock()
    bucket = TokenBucket(tokens_per_second=rate, clock=clock)

    for number in range(calls):
        clock.now = 1_000 + number / rate
        assert bucket.try_take()
