"""How long a list is good."""

from dataclasses import dataclass
from typing import Final

MAX_CLOCK_SKEW_SECONDS: Final = 2.0
"""A list may seem to come from the future by this much: replicas' clocks differ by milliseconds while something sets
them. Beyond it the maker's clock is wrong, and nobody knows how old the list is."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """The two ages that decide what a list may be used for."""

    fresh_seconds: float
    """A younger list is served without a transaction, unless it comes from the future."""

    stale_seconds: float
    """An older list up to this age is served when no transaction can be had."""

    def fresh(self, made_at: float, now: float) -> bool:
        """Whether a list may be served without a transaction."""
        return now - self.fresh_seconds < made_at <= self.latest(now)

    def latest(self, now: float) -> float:
        """Unix seconds; a list made after this comes from the future, and counts as stale."""
        return now + min(MAX_CLOCK_SKEW_SECONDS, self.fresh_seconds)

    def usable(self, made_at: float, now: float) -> bool:
        """Whether a list may be served when no transaction can be had."""
        return now - made_at < self.stale_seconds
