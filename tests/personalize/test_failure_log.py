"""Lines about failures: few, however many kinds there are, and one when they are over."""

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


def test_success_after_a_failure_is_said_once_with_how_long_it_took() -> None:
    clock = StandingClock()
    log = FailureLog(clock, "arn")
    with capture_logs() as lines:
        log.worked()
        log.failed(RecommenderTimeout("slow"), REQUEST)
        clock.now = 5.25
        log.failed(RecommenderThrottled("fast"), REQUEST)
        clock.now = 7.5432
        log.worked()
        log.worked()
    assert [line["event"] for line in lines] == ["personalize_failed"] * 2 + ["personalize_answers_again"]
    assert lines[-1]["after_seconds"] == 7.5
