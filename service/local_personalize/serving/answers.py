"""What a target answers to a valid call: its list, with promotions, metadata and the filters of use cases."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from service.local_personalize.control.recipes import USERS
from service.local_personalize.data import Dataset
from service.local_personalize.learn import ScoredItem
from service.local_personalize.refusals import invalid_input
from service.local_personalize.serving.calls import RANKINGS, RuntimeCall
from service.local_personalize.serving.exploration import explored
from service.local_personalize.serving.filters import Passes, filter_test
from service.local_personalize.serving.group import LiveGroup
from service.local_personalize.serving.targets import Target, Targets

if TYPE_CHECKING:
    # numpy, which only a process with a trained model needs.
    from service.local_personalize.serving.lists import TrainedLists

_FILTERED_EVENTS: Final = {
    "aws-ecomm-recommended-for-you": "purchase",
    "aws-ecomm-customers-who-viewed-x-also-viewed": "purchase",
    "aws-vod-top-picks": "watch",
    "aws-vod-because-you-watched-x": "watch",
    "aws-vod-more-like-x": "watch",
}
"""Use cases that leave out what the user has bought or watched."""

_ITEM: Final = "itemId"


class Answers:
    """Makes answers.

    Args:
        targets: Find the filters.
    """

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    def answer(self, call: RuntimeCall, target: Target, lists: "TrainedLists", group: LiveGroup) -> dict[str, Any]:
        """The answer's fields.

        Raises:
            Refusal: A filter does not fit the call, or metadata are not enabled.
        """
        data = group.dataset
        columns = self._columns(call, target)
        passes = self._passes(call, call.fields, target, data)
        if call.operation == RANKINGS:
            found = lists.ranking(call.user_id or "", call.fields["inputList"], data, passes=passes)
            shown = [_shown(one) for one in found]
        else:
            found = _list(call, target, lists, data, passes=passes, count=call.num_results)
            if target.recipe.recipe_type == USERS:
                user_id = call.user_id or ""
                found = explored(found, group=group, user_id=user_id, config=target.config, passes=passes)
            shown = [_shown(one) for one in found]
            shown = self._promoted(call, target, lists, data, shown)
        for one in shown:
            if columns:
                one["metadata"] = _metadata(data.items.get(one[_ITEM], {}), columns)
        name = "personalizedRanking" if call.operation == RANKINGS else "itemList"
        return {name: shown, "recommendationId": f"RID-{uuid4()}"}

    def _promoted(
        self, call: RuntimeCall, target: Target, lists: "TrainedLists", data: Dataset, shown: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """The list with promoted items spread over it; the call's own filter does not touch these."""
        for promotion in call.fields.get("promotions", [])[:1]:
            count = call.num_results * int(promotion.get("percentPromotedItems", 0)) // 100
            passes = self._passes(call, promotion, target, data)
            chosen = (
                [_shown(one) for one in _list(call, target, lists, data, passes=passes, count=count)] if count else []
            )
            names = {one[_ITEM] for one in chosen}
            rest = [one for one in shown if one[_ITEM] not in names][: call.num_results - len(chosen)]
            marked = [{**one, "promotionName": promotion["name"]} for one in chosen]
            return _spread(rest, marked)
        return shown

    def _passes(self, call: RuntimeCall, asked: Mapping[str, Any], target: Target, data: Dataset) -> Passes | None:
        tests: list[Passes] = []
        if arn := asked.get("filterArn"):
            expression = self._targets.filter(arn, target.group_arn)
            item_id = call.item_id if target.recipe.needs_item else None
            values = asked.get("filterValues", {})
            tests.append(filter_test(expression, data, user_id=call.user_id, item_id=item_id, values=values))
        if event_type := _FILTERED_EVENTS.get(target.recipe.name):
            history = data.histories.get(call.user_id or "", ())
            had = {one.item_id for one in history if one.event_type.lower() == event_type}
            tests.append(lambda item_id: item_id not in had)
        if not tests:
            return None
        return lambda item_id: all(test(item_id) for test in tests)

    @staticmethod
    def _columns(call: RuntimeCall, target: Target) -> list[str]:
        is_enabled = target.config.get("enableMetadataWithRecommendations", False)
        if call.metadata_columns and not is_enabled and target.recipe.name != "aws-semantic-similarity":
            raise invalid_input("metadataColumns need enableMetadataWithRecommendations on the campaign or recommender")
        return call.metadata_columns


def _list(
    call: RuntimeCall, target: Target, lists: "TrainedLists", data: Dataset, *, passes: Passes | None, count: int
) -> list[ScoredItem]:
    if target.recipe.needs_item:
        return lists.for_item(call.item_id or "", count=count, passes=passes)
    return lists.for_user(call.user_id or "", data, count=count, passes=passes)


def _shown(item: ScoredItem) -> dict[str, Any]:
    return {_ITEM: item.item_id} if item.score is None else {_ITEM: item.item_id, "score": item.score}


def _metadata(columns: Mapping[str, str], wanted: list[str]) -> dict[str, str]:
    return {name: columns[name] for name in wanted if columns.get(name)}


def _spread(rest: list[dict[str, Any]], promoted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Both lists in one, the promoted evenly among the others; Amazon puts them at random places."""
    total = len(rest) + len(promoted)
    places = {place * total // len(promoted) for place in range(len(promoted))} if promoted else set()
    others, chosen = iter(rest), iter(promoted)
    return [next(chosen) if place in places else next(others) for place in range(total)]
