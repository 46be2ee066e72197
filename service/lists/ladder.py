"""What is shown when no live list can be had."""

from service.errors import DegradedReason
from service.lists.envelope import Envelope, created_at
from service.lists.ports import Outcome, PopularList


class Ladder:
    """Live, then stale or batch (the newer one), then popular; each step down keeps the one word that says why."""

    def __init__(self, popular: PopularList) -> None:
        self._popular = popular

    def step_down(self, stale: Envelope | None, reason: DegradedReason, batch: Envelope | None = None) -> Outcome:
        """The best of what is left; its envelope is None only if there is no item at all to show."""
        if stale is not None and (batch is None or created_at(stale) >= created_at(batch)):
            return Outcome(stale, "stale", reason)
        if batch is not None:
            return Outcome(batch, "batch", reason)
        return Outcome(self._popular.envelope(), "popular", reason)


class NoPopularList:
    """`PopularList` of a process that answers nobody."""

    def envelope(self) -> Envelope | None:
        """Nothing to show."""
        return None
