"""A send as its planner describes it."""

from dataclasses import dataclass
from typing import Final

from service.constants import (
    DEFAULT_DEADLINE_SECONDS,
    DEFAULT_FRESH_SECONDS,
    DEFAULT_STALE_SECONDS,
    PERSONALIZE_MAX_TPS,
)
from service.personalize.transactions import patience_seconds

MAX_RECIPIENTS: Final = 50_000_000
"""Largest send that is planned."""

MAX_PASSES: Final = 10
"""Most calls of one recipient."""

MAX_MINUTES: Final = 44_640.0
"""Longest send: 31 days."""

MAX_GAP_SECONDS: Final = 60.0
"""Longest time between two calls of one message."""

MAX_PEAK: Final = 60.0
"""Most that a minute's messages can be crowded: all in its first second."""

MINUTE_SECONDS: Final = 60.0
"""Braze's rate limits are by the minute."""


@dataclass(frozen=True, slots=True)
class Send:
    """What is sent, how fast, and what is there already; shares are of the recipients, or of the items, 0 to 1.

    Attributes:
        recipients: Distinct users.
        items: Distinct items of which each recipient asks for one; 0: lists are kept per recipient.
        passes: Calls for each, one per part of the message.
        minutes: From the first message to the last.
        tps: `PERSONALIZE_TPS`.
        cached: Share with a fresh list when the send begins.
        stale: Share with a list that is no longer fresh by then.
        batch: Share with a list made by a batch job, whatever else they have.
        active: Share of those with a fresh list who have done something since, so that it is due.
        cached_age_seconds: Age of the fresh lists when the send begins.
        stale_newer: The stale lists are newer than those of the batch.
        gap_seconds: Between two calls of one recipient.
        peak: How far above the average rate messages go out within a minute.
        latency_seconds: A transaction's.
        fresh_seconds: `CACHE_FRESH_SECONDS`.
        stale_seconds: `CACHE_STALE_SECONDS`.
        deadline_seconds: `REQUEST_DEADLINE_SECONDS`.

    Raises:
        ValueError: One of them, or what they say together, is out of bounds; the message names it.
    """

    recipients: int
    passes: int
    minutes: float
    tps: float
    cached: float = 0.0
    stale: float = 0.0
    batch: float = 0.0
    active: float = 0.0
    cached_age_seconds: float = 0.0
    stale_newer: bool = False
    gap_seconds: float = 0.0
    peak: float = 1.0
    latency_seconds: float = 0.05
    fresh_seconds: float = DEFAULT_FRESH_SECONDS
    stale_seconds: float = DEFAULT_STALE_SECONDS
    deadline_seconds: float = DEFAULT_DEADLINE_SECONDS
    items: int = 0

    def __post_init__(self) -> None:
        _within("recipients", self.recipients, 1, MAX_RECIPIENTS)
        _within("items", self.items, 0, MAX_RECIPIENTS)
        _within("passes", self.passes, 1, MAX_PASSES)
        _above_zero("minutes", self.minutes, MAX_MINUTES)
        _above_zero("tps", self.tps, PERSONALIZE_MAX_TPS)
        for name in ("cached", "stale", "batch", "active"):
            _within(name, getattr(self, name), 0, 1)
        if self.cached + self.stale > 1 + 1e-9:
            raise ValueError(f"cached and stale are together {self.cached + self.stale:g}, and can be 1 at most")
        _within("gap_seconds", self.gap_seconds, 0, MAX_GAP_SECONDS)
        _within("peak", self.peak, 1, MAX_PEAK)
        _within("fresh_seconds", self.fresh_seconds, 0, self.stale_seconds)
        if self.cached:
            _within("cached_age_seconds", self.cached_age_seconds, 0, self.fresh_seconds)
        _within("deadline_seconds", self.deadline_seconds, 0.1, 30)
        most = patience_seconds(self.deadline_seconds) / 2
        if not 0 <= self.latency_seconds <= most:
            raise ValueError(
                f"latency_seconds is {self.latency_seconds:g}, and can be {most:g} at most, half of the deadline"
            )

    @property
    def seconds(self) -> float:
        """Seconds from the first message to the last."""
        return self.minutes * MINUTE_SECONDS

    @property
    def lists(self) -> int:
        """Lists that the send shows."""
        return min(self.items, self.recipients) if self.items else self.recipients

    @property
    def ready(self) -> float:
        """Share of the lists that need no transaction when the send begins."""
        return self.cached * (1 - self.active)

    @property
    def rate(self) -> float:
        """Recipients a second, on average."""
        return self.recipients / self.seconds


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is {value:,.12g}, and can be {least:,.12g} to {most:,.12g}")


def _above_zero(name: str, value: float, most: float) -> None:
    if not 0 < value <= most:
        raise ValueError(f"{name} is {value:,.12g}, and can be above 0 and up to {most:,.12g}")
