"""The use case "for you": one user's recommendations."""

from service.errors import DegradedReason
from service.models import ListRequest, RecommendationQuery


class Recommend:
    """Asks for a user's list."""

    def lacks(self, query: RecommendationQuery) -> DegradedReason | None:
        """Why there is no list to ask for; None if there is one."""
        return None if query.user_id else "no_user"

    def request(self, query: RecommendationQuery, num_results: int) -> ListRequest:
        """The list to ask for."""
        return ListRequest(user_id=query.user_id, num_results=num_results)
