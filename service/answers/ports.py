"""What a placement needs: how its use case asks, and what its users did."""

from typing import Protocol

from service.errors import DegradedReason
from service.models import ListRequest, RecommendationQuery


class UseCase(Protocol):
    """What a placement of one kind asks Personalize for."""

    def lacks(self, query: RecommendationQuery) -> DegradedReason | None:
        """Why there is no list to ask for; None if there is one."""

    def request(self, query: RecommendationQuery, num_results: int) -> ListRequest:
        """The list to ask for."""


class OwnEvents(Protocol):
    """What a user's own events keep out of the user's answers."""

    def items(self, user_id: str) -> frozenset[str]:
        """Items that are in none of the user's answers now; no wait."""

    def version(self, user_id: str) -> int:
        """Changes with every event of the user; negative while they are not known here."""

    async def load(self, user_id: str, within_seconds: float) -> None:
        """Have the user's events here, as far as the time allows; never fails."""


class NoEvents:
    """`OwnEvents` of a service that takes none."""

    def items(self, user_id: str) -> frozenset[str]:
        """Nothing is kept out."""
        del user_id
        return frozenset()

    def version(self, user_id: str) -> int:
        """Nothing ever changes."""
        del user_id
        return 0

    async def load(self, user_id: str, within_seconds: float) -> None:
        """Nothing to load."""
