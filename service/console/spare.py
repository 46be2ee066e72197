"""Lists for people who look, fetched in slots that neither a caller nor a stale list wants."""

from dataclasses import dataclass
from typing import Final, Literal

from service.answers.placement import Placement
from service.budget.ports import Lane
from service.clock import Clock
from service.errors import BreakerOpen, BudgetExhausted
from service.models import RecommendationQuery

MAX_AT_A_TIME: Final = 4
"""Lists that people wait for; each more is refused at once. A few marketers, not a second send."""

MAX_WAIT_SECONDS: Final = 1.0
"""How long a page waits for a spare slot."""

Fetched = Literal["fetched", "no_spare_slot", "no_list", "breaker", "failed"]
"""A list; no slot; no list to ask for; the breaker is open; or neither Personalize nor the store brought one."""


@dataclass(slots=True)
class SpareSlots:
    """Fetches lists in the lowest lane of a placement's budget.

    Args:
        clock: Waits end on its monotonic time.
    """

    clock: Clock
    waiting: int = 0

    async def fetch(self, placement: Placement, query: RecommendationQuery) -> Fetched:
        """Fetch the list that answers a query, whether or not a fresh one is kept; at most one transaction."""
        arm, query = placement.arm_of(query), placement.with_item(query)
        key, campaign = arm.key_of(query), arm.campaign
        if key is None or campaign is None:
            return "no_list"
        if self.waiting >= MAX_AT_A_TIME:
            return "no_spare_slot"
        try:
            campaign.breaker.check()
        except BreakerOpen:
            return "breaker"
        until, request = self.clock.monotonic() + MAX_WAIT_SECONDS, arm.request_of(query)
        self.waiting += 1
        try:
            while True:
                slot_at = await campaign.budget.acquire(Lane.PREWARM, until)
                outcome, spent = await campaign.flights.prewarm(key, request, slot_at, renew=True)
                if spent or outcome.degraded_reason != "budget":
                    break
                # The loop stood still for so long that the slot was over before it could be used.
        except BudgetExhausted:
            return "no_spare_slot"
        finally:
            self.waiting -= 1
        return "fetched" if outcome.source in {"personalize", "cache"} else "failed"
