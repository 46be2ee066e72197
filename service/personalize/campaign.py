"""One campaign or recommender of Amazon Personalize, with everything that asking it takes."""

from service.budget.budget import Budget
from service.lists.envelope import Envelope
from service.lists.keys import UserKey
from service.lists.ports import Outcome
from service.models import NOBODY, ListRequest, Sender
from service.personalize.breaker import Breaker
from service.personalize.flight import Timings
from service.personalize.flights import Flights
from service.personalize.list_length import ListLength
from service.personalize.refresher import Refresher


class PersonalizeCampaign:
    """Fetches lists of one ARN, within its own budget; `wiring.campaign` builds it.

    Attributes:
        budget: The slots of its TPS.
        breaker: Keeps everybody from asking Personalize while it fails.
        flights: The transactions under way.
        refresher: Stale lists that wait for a free slot.
        length: How long a list to fetch.
    """

    def __init__(
        self, *, budget: Budget, breaker: Breaker, flights: Flights, refresher: Refresher, length: ListLength
    ) -> None:
        self.budget = budget
        self.breaker = breaker
        self.flights = flights
        self.refresher = refresher
        self.length = length

    async def outcome(
        self, key: UserKey, request: ListRequest, kept: Envelope | None, deadline: float, sender: Sender = NOBODY
    ) -> tuple[Outcome, Timings]:
        """The best list to be had before the deadline; see `Flights.outcome`."""
        return await self.flights.outcome(key, request, kept, deadline, sender)

    def start(self) -> None:
        """Begin to refresh stale lists."""
        self.refresher.start(self.flights)

    async def close(self, timeout_seconds: float) -> None:
        """Drop what waits, and wait so long for transactions under way, so that their lists are kept."""
        await self.refresher.close()
        await self.flights.close(timeout_seconds)
        self.budget.close()
