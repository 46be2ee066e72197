"""The use case "ranking": given items in the order that suits a user."""

from service.errors import DegradedReason
from service.models import ListRequest, RecommendationQuery


class Rank:
    """Asks for the order of a set of items; the order in which they are given changes nothing."""

    def lacks(self, query: RecommendationQuery) -> DegradedReason | None:
        """Why there is no order to ask for; None if there is one."""
        return None if query.user_id else "no_user"

    def request(self, query: RecommendationQuery, num_results: int) -> ListRequest:
        """The list to ask for."""
        del num_results
        return ListRequest(
            user_id=query.user_id, num_results=len(query.item_ids), kind="ranking", item_ids=query.item_ids
        )
