"""A campaign or recommender of Amazon Personalize over the AWS SDK."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from service.clock import Clock
from service.constants import (
    MAX_FILTER_NAME_CHARACTERS,
    MAX_FILTER_VALUE_CHARACTERS,
    MAX_FILTER_VALUES,
    MAX_ID_CHARACTERS,
    PERSONALIZE_MAX_RESULTS,
)
from service.errors import ConfigurationError, RecommenderError, RecommenderRefused
from service.models import ItemList, ListRequest, Promotion
from service.personalize.sdk.errors import translated_errors
from service.personalize.sdk.failure_log import FailureLog

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[^,]+', re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


def quote_filter_value(value: str) -> str:
    r"""One value of `filterValues` as Personalize wants it: ``a,b`` becomes ``"a","b"``.

    Pieces already in double quotes stay as they are, so a caller can keep a comma inside a string. Numbers
    stay bare unless a leading zero shows that they are names. Blanks around a piece and empty pieces go. A
    quote inside a piece is written as ``\"``; Amazon documents no escape.

    Source: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html
    """
    pieces = (piece.strip() for piece in _PIECE.findall(value))
    return ",".join(_quoted(piece) for piece in pieces if piece)


def _quoted(piece: str) -> str:
    if _NUMBER.fullmatch(piece) or _QUOTED.fullmatch(piece):
        return piece
    escaped = piece.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


POPULAR_ITEM: Final = "Popular item"
"""Among the reasons of an item that Personalize shows for want of a better one; User-Personalization-v2 says it.

Source: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_PredictedItem.html
"""


class OpenClient(Protocol):
    """The SDK's client of Personalize's runtime."""

    @property
    def client(self) -> Any:  # noqa: ANN401  # the SDK makes its clients' classes at run time
        """The client.

        Raises:
            BotoCoreError: There is none yet.
        """


class PersonalizeRecommender:
    """A campaign or a recommender of Amazon Personalize, asked through an open SDK client.

    Attributes:
        campaign_arn: The campaign that answers; exactly one of this and `recommender_arn`.
        recommender_arn: The recommender of a domain dataset group that answers.
        filter_arn: The filter that Personalize applies, if any.
    """

    def __init__(
        self,
        runtime: OpenClient,
        *,
        campaign_arn: str | None = None,
        recommender_arn: str | None = None,
        filter_arn: str | None = None,
        clock: Clock,
    ) -> None:
        if (campaign_arn is None) == (recommender_arn is None):
            raise ConfigurationError("exactly one of campaign_arn and recommender_arn is needed")
        self.campaign_arn = campaign_arn
        self.recommender_arn = recommender_arn
        self.filter_arn = filter_arn
        self._runtime = runtime
        self._clock = clock
        self._fixed: dict[str, str] = (
            {"campaignArn": campaign_arn} if campaign_arn else {"recommenderArn": str(recommender_arn)}
        )
        if filter_arn:
            self._fixed["filterArn"] = filter_arn
        self._failures = FailureLog(clock, campaign_arn or recommender_arn or "")

    async def recommend(self, request: ListRequest, *, timeout_seconds: float) -> ItemList:
        """Spend one transaction; the list has no id twice and may be empty.

        Values for placeholders are left out when no filter is configured. What Personalize is known to
        refuse is refused here, before a transaction is spent.

        Source: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html

        Raises:
            RecommenderError: The transaction brought no list, for the reason that the class names.
        """
        parameters = self._parameters(request)
        try:
            with translated_errors():
                async with asyncio.timeout(timeout_seconds):
                    client = self._runtime.client
                    if request.kind == "ranking":
                        output = await client.get_personalized_ranking(**parameters)
                    else:
                        output = await client.get_recommendations(**parameters)
            key = "personalizedRanking" if request.kind == "ranking" else "itemList"
            items = _item_list(output, key, created_at=self._clock.time())
        except RecommenderError as error:
            self._failures.failed(error, request)
            raise
        self._failures.worked()
        return items

    def _parameters(self, request: ListRequest) -> dict[str, object]:
        if len(request.user_id) > MAX_ID_CHARACTERS:
            raise RecommenderRefused(f"userId is longer than {MAX_ID_CHARACTERS} characters")
        if len(request.item_id) > MAX_ID_CHARACTERS:
            raise RecommenderRefused(f"itemId is longer than {MAX_ID_CHARACTERS} characters")
        parameters: dict[str, object] = dict(self._fixed)
        if request.kind == "ranking":
            parameters |= {"userId": request.user_id, "inputList": list(request.item_ids)}
        else:
            if not 1 <= request.num_results <= PERSONALIZE_MAX_RESULTS:
                raise RecommenderRefused(f"numResults is not between 1 and {PERSONALIZE_MAX_RESULTS}")
            parameters["numResults"] = request.num_results
            if request.user_id or request.kind == "recommendations":
                parameters["userId"] = request.user_id
            if request.item_id:
                parameters["itemId"] = request.item_id
        if self.filter_arn and request.filter_values:
            parameters["filterValues"] = _filter_values(dict(request.filter_values))
        if request.context:
            parameters["context"] = dict(request.context)
        if request.promotion is not None:
            parameters["promotions"] = [_promotion(request.promotion, request.filter_values)]
        return parameters


def _filter_values(given: Mapping[str, str]) -> dict[str, str]:
    if len(given) > MAX_FILTER_VALUES:
        raise RecommenderRefused(f"more than {MAX_FILTER_VALUES} filterValues")
    values = {name: quote_filter_value(value) for name, value in given.items()}
    for name, value in values.items():
        if len(name) > MAX_FILTER_NAME_CHARACTERS:
            raise RecommenderRefused(f"a filterValues name is longer than {MAX_FILTER_NAME_CHARACTERS} characters")
        if len(value) > MAX_FILTER_VALUE_CHARACTERS:
            raise RecommenderRefused(
                f"filterValues {name} is longer than {MAX_FILTER_VALUE_CHARACTERS} characters with quotes"
            )
    return {name: value for name, value in values.items() if value}


def _promotion(promotion: Promotion, given: Sequence[tuple[str, str]]) -> dict[str, object]:
    # Personalize refuses values for placeholders that the promotion's filter does not have, and we cannot know them:
    # the caller's values go to it only where the promotion names them.
    names = {name for name, _ in promotion.filter_values}
    values = _filter_values({**dict(promotion.filter_values), **{name: one for name, one in given if name in names}})
    wanted: dict[str, object] = {
        "name": promotion.name,
        "percentPromotedItems": promotion.percent,
        "filterArn": promotion.filter_arn,
    }
    return {**wanted, "filterValues": values} if values else wanted


def _item_list(output: Mapping[str, object], key: str, *, created_at: float) -> ItemList:
    items = output.get(key)
    if not isinstance(items, list):
        raise RecommenderError(f"the answer holds no {key}")
    # The SDK turns a body that is not an object, or an entry that is null, into None rather than an error.
    items = [item for item in items if isinstance(item, dict)]
    promoted = [item.get("itemId") for item in items if item.get("promotionName")]
    item_ids = tuple(dict.fromkeys([one for item in items if isinstance(one := item.get("itemId"), str) and one]))
    recommendation_id = output.get("recommendationId")
    return ItemList(
        item_ids=item_ids,
        recommendation_id=recommendation_id if isinstance(recommendation_id, str) else "",
        created_at=created_at,
        promoted=frozenset(item_id for item_id in promoted if isinstance(item_id, str)),
        is_popular=bool(items) and all(POPULAR_ITEM in (item.get("reason") or ()) for item in items),
    )
