"""A circuit breaker around Personalize.

Closed: everyone may ask. After `FAILURES_TO_OPEN` failures in a row it opens, because a hanging call eats
the deadline of everyone who waits for it. Open: nobody asks for `OPEN_SECONDS`. Then half-open: one
transaction is let through; its success closes the breaker, its failure opens it again. If nobody has asked for
`OLD_SECONDS`, what is known is old: everyone may ask again, and the first failure opens it. Throttling is the
governor's matter and counts as neither.

Every change of state begins a new era. A transaction reports with the era in which it was let through, and what
belongs to an earlier era is not heard: it says nothing about now.
"""

from enum import IntEnum
from itertools import count

from service.clock import Clock
from service.errors import BreakerOpen

FAILURES_TO_OPEN = 5
"""In a row. At 5 TPS and the usual deadline it opens after 2.5 s of hanging calls."""

OPEN_SECONDS = 2.0
"""Short, since what it costs to find out is one transaction."""


OLD_SECONDS = 10.0
"""The first calls of a send are not to be answered for the failures of a night. While anybody asks, a half-open breaker
is decided long before."""


class BreakerState(IntEnum):
    """As shown in the metric."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Counts the failures of one upstream; one per process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False
        self._eras = count()
        self._era = next(self._eras)

    @property
    def state(self) -> BreakerState:
        """What a caller meets now."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        since = self._clock.monotonic() - self._opened_at
        if since < OPEN_SECONDS:
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN if self._probing or since < OLD_SECONDS else BreakerState.CLOSED

    def check(self) -> None:
        """Raise at once if asking would be refused anyway; changes nothing.

        Raises:
            BreakerOpen: Open, or half-open with its one transaction under way.
        """
        state = self.state
        if state is BreakerState.OPEN or (state is BreakerState.HALF_OPEN and self._probing):
            raise BreakerOpen

    def admit(self) -> int:
        """Let one transaction through; `success`, `failure` or `neutral` must follow, with what is returned.

        Raises:
            BreakerOpen: As `check`.
        """
        self.check()
        if self.state is BreakerState.HALF_OPEN:
            self._probing = True
            self._era = next(self._eras)
        # Where what is known is old, the failures still count, so that one more opens it.
        return self._era

    def success(self, era: int) -> None:
        """Personalize answered."""
        if era == self._era:
            self._failures = 0
            if self._probing:
                self._begin_era(opened_at=None)

    def failure(self, era: int) -> None:
        """Personalize did not answer, or answered with its own fault."""
        if era != self._era:
            return
        self._failures += 1
        if self._probing or self._failures >= FAILURES_TO_OPEN:
            self._begin_era(opened_at=self._clock.monotonic())

    def neutral(self, era: int) -> None:
        """The transaction says nothing about Personalize's health."""
        if era == self._era:
            self._probing = False

    def _begin_era(self, opened_at: float | None) -> None:
        self._opened_at = opened_at
        self._probing = False
        self._era = next(self._eras)
