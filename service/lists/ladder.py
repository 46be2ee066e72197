"""What is shown when no live list can be had."""

from collections.abc import Callable

from service.errors import DegradedReason
from service.lists.envelope import created_at
from service.lists.ports import Outcome


class Ladder:
    """Live, stale or made ahead (the newer one), popular; each step down keeps the one word that says why."""

    def __init__(self, popular_envelope: Callable[[], bytes | None]) -> None:
        self._popular_envelope = popular_envelope

    def step_down(self, stale: bytes | None, reason: DegradedReason, made_ahead: bytes | None = None) -> Outcome:
        """The best of what is left; its envelope is None only if there is no item at all to show."""
        if stale is not None and (made_ahead is None or created_at(stale) >= created_at(made_ahead)):
            return Outcome(stale, "stale", reason)
        if made_ahead is not None:
            return Outcome(made_ahead, "batch", reason)
        return Outcome(self._popular_envelope(), "popular", reason)
