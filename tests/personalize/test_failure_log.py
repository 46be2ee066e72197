"""Lines about failures: few, however many kinds there are, and one when they are over."""

import pytest
from botocore.exceptions import ClientError
from structlog.testing import capture_logs

from service.errors import RecommenderError, RecommenderThrottled, RecommenderTimeout
from service.models import ListRequest
from service.personalize.sdk.failure_log import LOGGED_EVERY_SECONDS, MAX_KINDS, FailureLog
from tests.support.clocks import StandingClock

REQUEST = ListRequest("ann")


def coded(number: int) -> RecommenderError:
    error = RecommenderError("failed")
    error.__cause__ = ClientError({"Error": {"Code": f"Made{number}"}}, "GetRecommendations")
    return error


def test_each_kind_has_a_line_a_minute_and_those_beyond_a_hundred_share_one() -> None:
    clock = StandingClock()
    log = FailureLog(clock, "arn")
    with capture_logs() as lines:
        for number in range(MAX_KINDS + 20):
            log.failed(coded(number), REQUEST)
        assert len(lines) == MAX_KINDS + 1
        log.failed(coded(0), REQUEST)
        clock.now = LOGGED_EVERY_SECONDS - 1
        log.failed(coded(1), REQUEST)
        log.failed(coded(MAX_KINDS + 5), REQUEST)
        assert len(lines) == MAX_KINDS + 1
        clock.now = LOGGED_EVERY_SECONDS
        log.failed(coded(1), REQUEST)
        log.failed(coded(MAX_KINDS + 5), REQUEST)
        log.failed(coded(MAX_KINDS + 6), REQUEST)
        assert len(lines) == MAX_KINDS + 3


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("odd: another was there", "odd: another was there"),
        ("odd: Ann was: there", "odd"),
        ("ann was: there", "RecommenderError"),
        ("odd\n  as\tthat", "odd as that"),
        ("o" * 400, "o" * 300),
    ],
)
def test_a_line_holds_nothing_that_the_caller_wrote(words: str, shown: str) -> None:
    with capture_logs() as lines:
        FailureLog(StandingClock(), "arn").failed(RecommenderError(words), REQUEST)
    assert [line["problem"] for line in lines] == [shown]


@pytest.mark.parametrize("words", [r"odd: no 'o\"neil' here", "odd: no 'O\"Neil' here", "odd: no x y"])
def test_what_the_caller_wrote_is_known_as_it_stands_in_json_too(words: str) -> None:
    with capture_logs() as lines:
        FailureLog(StandingClock(), "arn").failed(RecommenderError(words), ListRequest('o"neil', item_id="x  y"))
    assert [line["problem"] for line in lines] == ["odd"]


def test_success_after_a_failure_is_said_once_with_how_long_it_took() -> None:
    clock = StandingClock(100.0)
    log = FailureLog(clock, "arn")
    with capture_logs() as lines:
        log.worked()
        log.failed(RecommenderTimeout("slow"), REQUEST)
        clock.now = 105.25
        log.failed(RecommenderThrottled("fast"), REQUEST)
        clock.now = 107.5432
        log.worked()
        log.worked()
    assert [line["event"] for line in lines] == ["personalize_failed"] * 2 + ["personalize_answers_again"]
    assert lines[-1]["after_seconds"] == 7.5
