import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.constants import SPENT_SHARE
from service.sends.plan.course import SOURCES, Course
from service.sends.plan.send import Send
from service.sends.plan.simulation import simulate
from tests.support.examples import examples


@st.composite
def sends(draw: st.DrawFn) -> Send:
    cached = draw(st.floats(0, 1))
    deadline = draw(st.floats(0.2, 5))
    return Send(
        recipients=draw(st.integers(1, 1500)),
        passes=draw(st.integers(1, 4)),
        minutes=draw(st.floats(0.01, 200)),
        tps=draw(st.floats(0.05, 300)),
        cached=cached,
        stale=draw(st.floats(0, 1)) * (1 - cached),
        batch=draw(st.floats(0, 1)),
        stale_newer=draw(st.booleans()),
        gap_seconds=draw(st.sampled_from([0, 0.2, 5.5])),
        peak=draw(st.sampled_from([1, 2.4, 60])),
        latency_seconds=draw(st.floats(0, 1)) * (deadline - 0.1) * 0.499,
        fresh_seconds=draw(st.sampled_from([0, 10, 900])),
        deadline_seconds=deadline,
        items=draw(st.sampled_from([0, 0, 1, 40])),
    )


@examples(30)
@given(sends())
@example(Send(recipients=1, passes=1, minutes=44_640, tps=0.001))
@example(
    Send(
        recipients=12,
        passes=1,
        minutes=0.9375 / 60,
        tps=2,
        stale=0.5,
        latency_seconds=1.1976,
        fresh_seconds=0,
        deadline_seconds=2.5,
    )
)
def test_everybody_is_answered_and_no_slot_is_used_twice(send: Send) -> None:
    course = simulate(send)

    assert set(course.calls) <= set(SOURCES)
    assert course.recipients.total() == send.recipients
    assert course.calls.total() == send.recipients * send.passes
    assert sum(course.share(source) for source in SOURCES) == pytest.approx(1)
    assert sum(course.share_of_calls(source) for source in SOURCES) == pytest.approx(1)
    for source in SOURCES:
        assert sum(course.series[source]) == course.recipients[source]
    # Every live recipient had a transaction of their own, and there are no more of these than the time has slots.
    assert sum(course.transaction_series) <= course.transactions
    # The last one may come after its caller's deadline, when transactions take longer than was thought.
    lasts = send.seconds + (send.passes - 1) * send.gap_seconds + send.deadline_seconds + send.latency_seconds
    assert course.transactions <= lasts * send.tps * SPENT_SHARE + 1
    # Callers of one item share its transaction.
    assert send.items or course.recipients["personalize"] <= course.transactions
    assert course.refreshes <= course.transactions
    assert course.longest_wait_seconds <= send.deadline_seconds
    if course.recipients["batch"]:
        assert send.batch
    if not send.cached and not send.gap_seconds and not send.items:
        assert not course.calls["cache"]


@examples(15)
@given(sends(), st.floats(1, 5))
def test_a_higher_tps_takes_no_live_list_away(send: Send, factor: float) -> None:
    # A stale list that is refreshed does take slots, so this holds only where there is none.
    send = Send(
        recipients=send.recipients,
        passes=send.passes,
        minutes=send.minutes,
        tps=send.tps,
        latency_seconds=0.01,
        peak=send.peak,
    )

    assert simulate(send, tps=send.tps * factor).recipients["personalize"] >= (
        simulate(send).recipients["personalize"] * 0.99 - 1
    )


def test_those_with_a_list_are_exactly_the_share_that_was_given() -> None:
    course = simulate(Send(recipients=1000, passes=3, minutes=1, tps=0.001, cached=0.4, stale=0.25, batch=0.95))

    assert course.recipients["cache"] == 400
    # One list of the 350 others is live. Nobody knows which, so one of the batch's or a popular one is less.
    assert course.recipients["personalize"] <= 1
    # The batch is newer than the stale lists, and has 95 % of all.
    assert course.recipients["stale"] == pytest.approx(0.05 * 250, abs=10)
    assert course.recipients["batch"] == pytest.approx(0.95 * 600, abs=20)


def test_stale_lists_newer_than_the_batch_are_shown_before_it() -> None:
    send = Send(recipients=1000, passes=1, minutes=1, tps=0.001, stale=0.5, batch=1, stale_newer=True)

    assert simulate(send).recipients["stale"] >= 499


def test_fresh_lists_cease_to_be_fresh_during_the_send() -> None:
    send = Send(recipients=1000, passes=1, minutes=60, tps=0.001, cached=1, cached_age_seconds=450)

    # 450 of the 3,600 s are left of CACHE_FRESH_SECONDS.
    assert simulate(send).share("cache") == pytest.approx(450 / 3600, abs=0.002)


def test_a_degraded_recipient_is_not_fetched_for_unless_there_was_a_list() -> None:
    overload = {"recipients": 300, "passes": 3, "minutes": 0.5, "tps": 5.0}

    without = simulate(Send(**overload))  # type: ignore[arg-type]  # numbers all
    with_stale = simulate(Send(**overload, stale=0.5))  # type: ignore[arg-type]  # as above

    assert (without.refreshes, without.refreshes_after) == (0, 0)
    assert without.transactions == without.recipients["personalize"]
    assert with_stale.refreshes + with_stale.refreshes_after > 100


def largest_difference(one: Course, other: Course) -> float:
    shares = [abs(one.share(source) - other.share(source)) for source in SOURCES]
    return max(*shares, *(abs(one.share_of_calls(source) - other.share_of_calls(source)) for source in SOURCES))


@pytest.mark.long
@pytest.mark.parametrize(
    "send",
    [
        Send(recipients=20_000, passes=3, minutes=12, tps=5),
        Send(recipients=20_000, passes=3, minutes=12, tps=5, cached=0.4, batch=0.95),
        Send(recipients=20_000, passes=3, minutes=12, tps=20, cached=0.3, stale=0.4, batch=0.5, peak=2.4),
        Send(recipients=20_000, passes=3, minutes=12, tps=28, peak=1.0),
        Send(recipients=20_000, passes=3, minutes=24, tps=9, cached=0.5, fresh_seconds=1440),
        Send(recipients=20_000, passes=2, minutes=12, tps=15, stale=0.5, gap_seconds=2),
    ],
    ids=str,
)
def test_a_scaled_send_agrees_with_the_exact_one(send: Send) -> None:
    exact = simulate(send)
    assert exact.scale == 1

    for scale in (4, 10):
        scaled = simulate(send, at_most=send.recipients // scale)

        assert scaled.scale == scale
        # 2,000 recipients stand for 20,000: the second after the last message weighs ten times as much.
        assert largest_difference(exact, scaled) <= 0.02
        assert scaled.recipients.total() == send.recipients
        assert scaled.calls.total() == send.recipients * send.passes
        assert scaled.transactions == pytest.approx(exact.transactions, abs=0.02 * send.recipients)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"recipients": 50_000_001}, "recipients is 50,000,001, and can be 1 to 50,000,000"),
        ({"minutes": float("nan")}, "minutes is nan"),
        ({"tps": 2501.0}, "tps is 2,501, and can be above 0 and up to 2,500"),
        ({"cached": 0.7, "stale": 0.7}, "cached and stale are together 1.4"),
        ({"cached": 0.5, "cached_age_seconds": 901.0}, "cached_age_seconds is 901, and can be 0 to 900"),
        ({"latency_seconds": 1.0}, "latency_seconds is 1, and can be 0.7 at most"),
    ],
)
def test_inputs_out_of_bounds_are_named(inputs: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Send(**{"recipients": 10, "passes": 1, "minutes": 1, "tps": 1, **inputs})  # type: ignore[arg-type]  # numbers
