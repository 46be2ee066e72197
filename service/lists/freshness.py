"""How long a list is good."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Freshness:
    """The two ages that decide what a list may be used for."""

    fresh_seconds: float
    """A younger list is served without a transaction."""

    stale_seconds: float
    """An older list up to this age is served when no transaction can be had."""

    def fresh(self, made_at: float, now: float) -> bool:
        """Whether a list may be served without a transaction."""
        return now - made_at < self.fresh_seconds

    def usable(self, made_at: float, now: float) -> bool:
        """Whether a list may be served when no transaction can be had."""
        return now - made_at < self.stale_seconds
