"""What a placement needs: how its use case asks."""

from typing import Protocol

from service.errors import DegradedReason
from service.models import ListRequest, RecommendationQuery


class UseCase(Protocol):
    """What a placement of one kind asks Personalize for."""

    def lacks(self, query: RecommendationQuery) -> DegradedReason | None:
        """Why there is no list to ask for; None if there is one."""

    def request(self, query: RecommendationQuery, num_results: int) -> ListRequest:
        """The list to ask for."""
