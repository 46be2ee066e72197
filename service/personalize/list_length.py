"""How long a list to fetch, so that what is dropped from it can be refilled without a second transaction."""

import math

from service.clock import Clock
from service.constants import PERSONALIZE_DEFAULT_RESULTS, PERSONALIZE_MAX_RESULTS

REMEMBER_SECONDS = 900.0
"""A larger `num_results` is reckoned with for one to two times as long: a send asks the same all along."""

_SMOOTHING = 0.02


class ListLength:
    """Learns from answers which numbers are asked and which share of a list is dropped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked = 0
        self._asked_before = 0
        self._turned_at = clock.monotonic()
        self._kept_share = 1.0

    def observe(self, *, asked: int, examined: int, kept: int) -> None:
        """Note one answer: items asked for, looked at, and fit to show."""
        now = self._clock.monotonic()
        if now - self._turned_at > REMEMBER_SECONDS:
            self._asked, self._asked_before, self._turned_at = 0, self._asked, now
        self._asked = max(self._asked, asked)
        if examined:
            self._kept_share += _SMOOTHING * (kept / examined - self._kept_share)

    def to_fetch(self, asked: int) -> int:
        """Items to ask of the next transaction: 25..500."""
        wanted = max(asked, self._asked, self._asked_before)
        needed = math.ceil(wanted / max(self._kept_share, 0.05) * (1.0 if self._kept_share > 0.995 else 1.2))  # noqa: PLR2004  # nothing dropped, nothing to add
        return min(max(needed, PERSONALIZE_DEFAULT_RESULTS), PERSONALIZE_MAX_RESULTS)
