"""How long a list is good: by the clock, or for as long as its user does nothing.

by the clock:   made ── fresh ── fresh_seconds ── stale ── stale_seconds ── of no use
live:           made ── fresh ───────────────────────────── stale_seconds ── of no use
└─ an event ── SETTLING_SECONDS ── stale
"""

from dataclasses import dataclass
from typing import Final

from service.lists.keys import UserKey, prefix_of
from service.lists.ports import Liveness

MAX_CLOCK_SKEW_SECONDS: Final = 2.0
"""A list may seem to come from the future by this much: replicas' clocks differ by milliseconds while something sets
them. Beyond it the maker's clock is wrong, and nobody knows how old the list is."""


SETTLING_SECONDS: Final = 2.0
"""After an event a new list would not know it yet. Source: Personalize shows an event in a user's list 1 to 2 s after
PutEvents, https://repost.aws/questions/QURUr2_QXhRue4lWPuYObWlA."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """The two ages that decide what a list may be used for."""

    fresh_seconds: float
    """A younger list is served without a transaction, unless it comes from the future; see `live`."""

    stale_seconds: float
    """An older list up to this age is served when no transaction can be had."""

    live: Liveness | None = None
    """By what users do instead of by the clock; None: by the clock."""

    def fresh(self, made_at: float, now: float, key: UserKey | None = None) -> bool:
        """Whether a list may be served without a transaction; without its key, by the clock."""
        if self.live is None:
            # Nearly all lists are of the past, which needs no call.
            return now - self.fresh_seconds < made_at and (made_at <= now or made_at <= self.latest(now))
        return self.earliest(now, key) < made_at <= self.latest(now)

    def earliest(self, now: float, key: UserKey | None = None) -> float:
        """Unix seconds; a list made after this is fresh."""
        changed_at = self._changed_at(key)
        if changed_at is None:
            return now - self.fresh_seconds
        oldest = now - self.stale_seconds
        return oldest if now < changed_at + SETTLING_SECONDS else max(oldest, changed_at)

    def latest(self, now: float) -> float:
        """Unix seconds; a list made after this comes from the future, and counts as stale."""
        return now + min(MAX_CLOCK_SKEW_SECONDS, self.fresh_seconds)

    def _changed_at(self, key: UserKey | None) -> float | None:
        return None if self.live is None or key is None else self.live.changed_at(prefix_of(key))

    def usable(self, made_at: float, now: float) -> bool:
        """Whether a list may be served when no transaction can be had."""
        return now - made_at < self.stale_seconds
