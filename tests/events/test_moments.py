"""When an event is said to have been."""

import pytest

from service.events.event import MAX_FUTURE_SECONDS, EventProblem, moment_of

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        (0.5, 0.5),
        ("1970-01-01T00:00:01Z", 1.0),
        ("1700000000", NOW),
        (NOW * 1000, NOW),
        (int(NOW) * 10**6, NOW),
        (str(int(NOW) * 10**9), NOW),
        ("2023-11-14 22:13:20 UTC", NOW),
        ("2023-11-14T22:13:20.000000000GMT", NOW),
        ("2023-11-15 00:13:20+0200", NOW),
        (NOW + MAX_FUTURE_SECONDS, NOW + MAX_FUTURE_SECONDS),
        (None, NOW),
    ],
)
def test_a_moment_between_1970_and_a_day_from_now_is_taken(moment: float | str | None, seconds: float) -> None:
    assert moment_of(moment, NOW, "sentAt") == seconds


@pytest.mark.parametrize("moment", [0, -1, "1970-01-01T00:00:00Z", "0", 1e11, NOW + MAX_FUTURE_SECONDS + 1])
def test_a_moment_before_it_or_later_is_refused(moment: float | str) -> None:
    with pytest.raises(EventProblem, match="is before 1970, or more than a day in the future"):
        moment_of(moment, NOW, "sentAt")
