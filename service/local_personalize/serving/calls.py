"""Calls of the runtime, checked as Amazon checks them.

Source: https://docs.aws.amazon.com/personalize/latest/dg/API_Operations_Amazon_Personalize_Runtime.html
"""

from dataclasses import dataclass
from typing import Any, Final

from service.local_personalize.control.recipes import POPULAR, RANKING, RELATED, USERS, Recipe
from service.local_personalize.control.wire import check_input
from service.local_personalize.json_object import json_object
from service.local_personalize.refusals import invalid_input

RECOMMENDATIONS: Final = "GetRecommendations"
RANKINGS: Final = "GetPersonalizedRanking"
ACTION_RECOMMENDATIONS: Final = "GetActionRecommendations"

PATHS: Final = {
    "/recommendations": RECOMMENDATIONS,
    "/personalize-ranking": RANKINGS,
    "/action-recommendations": ACTION_RECOMMENDATIONS,
}

MAX_RESULTS: Final = 500
MAX_RESULTS_WITH_METADATA: Final = 50
_WITH_CONTEXT: Final = (USERS, RANKING)
_WITH_PROMOTIONS: Final = (USERS, POPULAR, RELATED)


@dataclass(frozen=True, slots=True)
class RuntimeCall:
    """A call in the shape that the model gives it."""

    operation: str
    fields: dict[str, Any]

    @property
    def user_id(self) -> str | None:
        """Whose list it is; None without a user."""
        return self.fields.get("userId") or None

    @property
    def item_id(self) -> str | None:
        """The item asked for; None without one."""
        return self.fields.get("itemId") or None

    @property
    def num_results(self) -> int:
        """Items wanted."""
        return int(self.fields.get("numResults") or 25)

    @property
    def metadata_columns(self) -> list[str]:
        """Columns of items to put beside each item."""
        return [name.upper() for name in self.fields.get("metadataColumns", {}).get("ITEMS", [])]

    @property
    def target(self) -> tuple[str, str]:
        """Noun and ARN of what is asked.

        Raises:
            Refusal: There is none, or two.
        """
        campaign, recommender = self.fields.get("campaignArn"), self.fields.get("recommenderArn")
        if (campaign is None) == (recommender is None):
            raise invalid_input("Exactly one of campaignArn and recommenderArn is required")
        return ("Campaign", campaign) if campaign is not None else ("Recommender", str(recommender))

    def check_for(self, recipe: Recipe) -> None:
        """Let a call pass that a target of this recipe answers.

        Raises:
            Refusal: InvalidInputException.
        """
        is_ranking = recipe.recipe_type == RANKING
        if is_ranking != (self.operation == RANKINGS):
            raise invalid_input(f"{self.operation} is not supported by a target of {recipe.name}")
        if recipe.needs_user and self.user_id is None:
            raise invalid_input(f"userId is required for {recipe.name}")
        if recipe.needs_item and self.item_id is None:
            raise invalid_input(f"itemId is required for {recipe.name}")
        if self.fields.get("context") and recipe.recipe_type not in _WITH_CONTEXT:
            raise invalid_input(f"context is not supported by {recipe.name}")
        if self.fields.get("promotions") and recipe.recipe_type not in _WITH_PROMOTIONS:
            raise invalid_input(f"promotions are not supported by {recipe.name}")


def parse_call(operation: str, body: bytes) -> RuntimeCall:
    """The call in a request body.

    Raises:
        Refusal: Amazon would not accept it.
    """
    fields = json_object(body)
    check_input(operation, fields, service="personalize-runtime")
    call = RuntimeCall(operation, fields)
    most = MAX_RESULTS_WITH_METADATA if call.metadata_columns else MAX_RESULTS
    if not 1 <= call.num_results <= most:
        raise invalid_input(f"numResults must lie between 1 and {most}")
    listed = fields.get("inputList")
    if listed is not None and not 1 <= len(listed) <= most:
        raise invalid_input(f"inputList must have 1 to {most} items")
    return call
