"""Failures of transactions in the log: each kind at most once a minute, and a line when they are over."""

from collections.abc import Iterator
from typing import Final

import structlog

from service.clock import Clock
from service.errors import RecommenderError
from service.models import ListRequest
from service.personalize.sdk.advice import advice_for, code_of, loggable

LOGGED_EVERY_SECONDS: Final = 60.0
"""Failures of one kind get a line in the log this often: an outage fails every transaction."""

MAX_KINDS: Final = 100
"""Kinds that are remembered; a server that makes up codes counts as one kind beyond that."""

_log = structlog.stdlib.get_logger(__name__)


class FailureLog:
    """Of one campaign or recommender.

    Args:
        clock: By its monotonic time a minute passes.
        arn: What is asked.
    """

    def __init__(self, clock: Clock, arn: str) -> None:
        self._clock = clock
        self._arn = arn
        self._logged_at: dict[tuple[str, str], float] = {}
        self._failing_since: float | None = None

    def failed(self, error: RecommenderError, request: ListRequest) -> None:
        """A transaction for this request brought no list."""
        now = self._clock.monotonic()
        kind = (type(error).__name__, code_of(error))
        if kind not in self._logged_at and len(self._logged_at) >= MAX_KINDS:
            kind = ("", "")
        if now - self._logged_at.get(kind, float("-inf")) < LOGGED_EVERY_SECONDS:
            return
        self._logged_at[kind] = now
        if self._failing_since is None:
            self._failing_since = now
        more = {"advice": advice} if (advice := advice_for(error)) else {}
        _log.warning(
            "personalize_failed", reason=error.reason, problem=loggable(error, _values(request)), arn=self._arn, **more
        )

    def worked(self) -> None:
        """A transaction brought a list; says so after a failure that was in the log."""
        if self._failing_since is not None:
            after_seconds = round(self._clock.monotonic() - self._failing_since, 1)
            self._failing_since = None
            _log.info("personalize_answers_again", arn=self._arn, after_seconds=after_seconds)


def _values(request: ListRequest) -> Iterator[str]:
    """What of a request the caller wrote."""
    yield from (request.user_id, request.item_id, *request.item_ids)
    for pairs in (request.filter_values, request.context):
        for pair in pairs:
            yield from pair
