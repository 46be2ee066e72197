"""What decides how a send goes: the rate of transactions, how long lists are used, how long a caller waits."""

from collections.abc import Iterator

from pydantic import Field

from service.constants import (
    DEFAULT_DEADLINE_SECONDS,
    DEFAULT_FRESH_SECONDS,
    DEFAULT_STALE_SECONDS,
    PERSONALIZE_MAX_TPS,
)
from service.settings.base import Problem, SettingsGroup


class SendSettings(SettingsGroup):
    """What the service answers by, and `personalize-connect plan` simulates."""

    personalize_tps: float = Field(1, gt=0, le=PERSONALIZE_MAX_TPS)
    """Transactions per second that all replicas together may spend; never exceeded."""

    cache_fresh_seconds: float = Field(DEFAULT_FRESH_SECONDS, ge=0, le=2_592_000)
    """Younger lists are served without a transaction."""

    cache_stale_seconds: float = Field(DEFAULT_STALE_SECONDS, ge=0, le=31_536_000)
    """Older lists up to this age are served when no transaction can be had."""

    request_deadline_seconds: float = Field(DEFAULT_DEADLINE_SECONDS, ge=0.1, le=30)
    """Every answer leaves within this."""

    def problems(self) -> Iterator[Problem]:
        """Lists that would be fresh when they are no longer served."""
        if self.cache_stale_seconds < self.cache_fresh_seconds:
            yield Problem(
                ("cache_stale_seconds", "cache_fresh_seconds"),
                f"CACHE_STALE_SECONDS: {self.cache_stale_seconds:g} is less than CACHE_FRESH_SECONDS,"
                f" {self.cache_fresh_seconds:g}; must be at least as much",
            )
