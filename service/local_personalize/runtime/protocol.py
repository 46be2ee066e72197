"""The runtime's REST-JSON protocol: what a call must look like.

The lists do not depend on `context`, `promotions` and `metadataColumns`, so these are not read. A call that names a
filter that was not declared is refused rather than answered unfiltered.
Source: https://docs.aws.amazon.com/personalize/latest/dg/API_Operations_Amazon_Personalize_Runtime.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.local_personalize.arns import KnownArns
from service.local_personalize.json_object import json_object
from service.local_personalize.refusals import invalid_input, not_found

DEFAULT_NUM_RESULTS = 25
MAX_NUM_RESULTS = 500
MAX_ID_CHARACTERS = 256
MAX_FILTER_VALUES = 25
MAX_FILTER_VALUE_CHARACTERS = 1000
MAX_INPUT_ITEMS = 500
"""Items in one ranking call."""

_ARN = re.compile(r"arn:[a-z\d-]+:personalize:.*:.*:.+")


@dataclass(frozen=True, slots=True)
class RecommendationsCall:
    """A valid GetRecommendations; at least one of the ids is there."""

    user_id: str | None
    item_id: str | None
    num_results: int
    filter_arn: str | None = None
    filter_values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RankingCall:
    """A valid GetPersonalizedRanking."""

    user_id: str
    item_ids: list[str]
    """1 to 500 ids, in the caller's order."""
    filter_arn: str | None = None
    filter_values: Mapping[str, str] = field(default_factory=dict)


def parse_recommendations(body: bytes, known: KnownArns) -> RecommendationsCall:
    """The GetRecommendations in a request body.

    Raises:
        Refusal: Personalize would not accept it.
    """
    fields = json_object(body)
    user_id, item_id = _id(fields, "userId"), _id(fields, "itemId")
    if user_id is None and item_id is None:
        raise invalid_input("One of userId and itemId is required")
    call = RecommendationsCall(
        user_id=user_id,
        item_id=item_id,
        num_results=_num_results(fields),
        filter_arn=_arn(fields, "filterArn"),
        filter_values=_filter_values(fields),
    )
    campaign, recommender = _arn(fields, "campaignArn"), _arn(fields, "recommenderArn")
    if (campaign is None) == (recommender is None):
        raise invalid_input("Exactly one of campaignArn and recommenderArn is required")
    _check_exists(campaign, known.campaigns)
    _check_exists(recommender, known.recommenders)
    _check_exists(call.filter_arn, known.filters)
    return call


def parse_ranking(body: bytes, known: KnownArns) -> RankingCall:
    """The GetPersonalizedRanking in a request body.

    Raises:
        Refusal: Personalize would not accept it.
    """
    fields = json_object(body)
    user_id = _id(fields, "userId")
    if user_id is None:
        raise invalid_input("userId is required")
    call = RankingCall(
        user_id=user_id,
        item_ids=_input_list(fields),
        filter_arn=_arn(fields, "filterArn"),
        filter_values=_filter_values(fields),
    )
    campaign = _arn(fields, "campaignArn")
    if campaign is None:
        raise invalid_input("campaignArn is required")
    _check_exists(campaign, known.campaigns)
    _check_exists(call.filter_arn, known.filters)
    return call


def _id(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    _check_id(value, name)
    return str(value)


def _check_id(value: object, name: str) -> None:
    if not isinstance(value, str):
        raise invalid_input(f"{name} is not a string")
    if len(value) > MAX_ID_CHARACTERS:
        raise invalid_input(f"{name} is longer than {MAX_ID_CHARACTERS} characters")


def _num_results(fields: dict[str, Any]) -> int:
    value = fields.get("numResults")
    if value is None:
        return DEFAULT_NUM_RESULTS
    if type(value) is not int or not 1 <= value <= MAX_NUM_RESULTS:
        raise invalid_input(f"numResults is not a whole number from 1 to {MAX_NUM_RESULTS}")
    return value


def _input_list(fields: dict[str, Any]) -> list[str]:
    value = fields.get("inputList")
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_INPUT_ITEMS:
        raise invalid_input(f"inputList is not a list of 1 to {MAX_INPUT_ITEMS} items")
    for item_id in value:
        _check_id(item_id, "an item of inputList")
    return value


def _arn(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not _ARN.fullmatch(value):
        raise invalid_input(f"{name} is not an ARN of Personalize")
    return value


def _check_exists(arn: str | None, known: frozenset[str]) -> None:
    if arn is not None and arn not in known:
        raise not_found(f"There is no resource {arn}")


def _filter_values(fields: dict[str, Any]) -> dict[str, str]:
    value = fields.get("filterValues") or {}
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise invalid_input("filterValues is not a map of strings")
    if len(value) > MAX_FILTER_VALUES:
        raise invalid_input(f"filterValues has more than {MAX_FILTER_VALUES} keys")
    if any(len(one) > MAX_FILTER_VALUE_CHARACTERS for one in value.values()):
        raise invalid_input(f"a filter value is longer than {MAX_FILTER_VALUE_CHARACTERS} characters")
    return value
