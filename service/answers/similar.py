"""The use case "similar items": what goes with an item."""

from service.errors import DegradedReason
from service.models import ListRequest, RecommendationQuery


class SimilarItems:
    """Asks for an item's list, one for every caller, unless the campaign needs the user too.

    Args:
        needs_user: Whether Personalize wants both ids, as the recommender "customers who viewed X also viewed" does.
    """

    def __init__(self, *, needs_user: bool) -> None:
        self._needs_user = needs_user

    def lacks(self, query: RecommendationQuery) -> DegradedReason | None:
        """Why there is no list to ask for; None if there is one."""
        if not query.item_id:
            return "no_item"
        return "no_user" if self._needs_user and not query.user_id else None

    def request(self, query: RecommendationQuery, num_results: int) -> ListRequest:
        """The list to ask for."""
        return ListRequest(
            user_id=query.user_id if self._needs_user else "",
            num_results=num_results,
            kind="similar-items",
            item_id=query.item_id,
        )
