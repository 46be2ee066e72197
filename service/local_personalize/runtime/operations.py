"""What the runtime's operations do with a valid call: the lists that they ask of the model."""

from collections.abc import Callable
from typing import NamedTuple

from service.local_personalize.arns import KnownArns
from service.local_personalize.filters import DeclaredFilters
from service.local_personalize.learn import CoVisitationModel, ScoredItem
from service.local_personalize.runtime.protocol import (
    RankingCall,
    RecommendationsCall,
    parse_ranking,
    parse_recommendations,
)


class ListCall(NamedTuple):
    """A valid call, and the list that answers it."""

    user_id: str | None
    list_name: str
    """The answer's field that holds the list."""
    items: Callable[[], list[ScoredItem]]
    """Computes the list."""


class RuntimeOperations:
    """Reads calls; refuses what Personalize would.

    Args:
        model: Makes the lists.
        known: Which ARNs exist.
        filters: The filters among them.
    """

    def __init__(self, model: CoVisitationModel, *, known: KnownArns, filters: DeclaredFilters) -> None:
        self._model = model
        self._known = known
        self._filters = filters

    def get_recommendations(self, body: bytes) -> ListCall:
        """GetRecommendations.

        Raises:
            Refusal: Personalize would not accept it.
        """
        call = parse_recommendations(body, self._known)
        passes = self._test(call, call.item_id)
        # What a filter drops is refilled from further down the list.
        count = call.num_results if passes is None else self._model.item_count

        def items() -> list[ScoredItem]:
            if call.item_id is not None:
                found = self._model.similar(call.item_id, count=count)
            else:
                found = self._model.recommend(call.user_id or "", count=count)
            return found if passes is None else [one for one in found if passes(one.item_id)][: call.num_results]

        return ListCall(call.user_id, "itemList", items)

    def get_personalized_ranking(self, body: bytes) -> ListCall:
        """GetPersonalizedRanking.

        Raises:
            Refusal: Personalize would not accept it.
        """
        call = parse_ranking(body, self._known)
        passes = self._test(call, None)

        def items() -> list[ScoredItem]:
            ranked = self._model.rank(call.user_id, call.item_ids)
            return ranked if passes is None else [one for one in ranked if passes(one.item_id)]

        return ListCall(call.user_id, "personalizedRanking", items)

    def _test(self, call: RecommendationsCall | RankingCall, item_id: str | None) -> Callable[[str], bool] | None:
        """Whether an item passes the call's filter; None without one."""
        if call.filter_arn is None:
            return None
        return self._filters.test(call.filter_arn, user_id=call.user_id, item_id=item_id, values=call.filter_values)
