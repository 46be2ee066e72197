"""Asks Personalize's runtime without the SDK's machinery; an eighth of its processor time. See `docs/adr/0022`."""

import json
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from botocore.parsers import ResponseParserFactory

from service.aws.session import AwsSession
from service.personalize.sdk.connections import ConnectionPool, HttpAnswer
from service.personalize.sdk.plain import PlainWay
from service.personalize.sdk.signature import CONTENT_TYPE

GET_RECOMMENDATIONS: Final = "GetRecommendations"
GET_PERSONALIZED_RANKING: Final = "GetPersonalizedRanking"
"""The SDK's names."""

_LIST_OF: Final = {GET_RECOMMENDATIONS: "itemList", GET_PERSONALIZED_RANKING: "personalizedRanking"}


class PlainClient:
    """The two operations that the service calls, with the SDK's parameters, outputs and errors.

    What the SDK would have made of an answer that is not a plain list, its own parser says.

    Args:
        aws: Its credentials sign; it hears what AWS answers.
        way: Where to, and how.
        pool: Connections to the way's place.
        sdk_client: The SDK's own; for its model and its errors.
    """

    def __init__(self, aws: AwsSession, way: PlainWay, pool: ConnectionPool, sdk_client: Any) -> None:  # noqa: ANN401  # the SDK has no types
        self._aws = aws
        self._way = way
        self._pool = pool
        self._sdk_client = sdk_client
        self._parser = ResponseParserFactory().create_parser("rest-json")
        self._heads = {
            operation: (
                f"POST {path} HTTP/1.1\r\nHost: {_host(way)}\r\nAccept-Encoding: identity\r\n"
                f"Content-Type: {CONTENT_TYPE}\r\nUser-Agent: {way.user_agent}\r\namz-sdk-request: attempt=1\r\n"
            )
            for operation, path in way.paths.items()
        }

    async def get_recommendations(self, **parameters: object) -> Mapping[str, Any]:
        """See `GetRecommendations` of the SDK.

        Raises:
            BotoCoreError, ClientError: The SDK's own.
        """
        return await self._call(GET_RECOMMENDATIONS, parameters)

    async def get_personalized_ranking(self, **parameters: object) -> Mapping[str, Any]:
        """See `GetPersonalizedRanking` of the SDK.

        Raises:
            BotoCoreError, ClientError: The SDK's own.
        """
        return await self._call(GET_PERSONALIZED_RANKING, parameters)

    async def _call(self, operation: str, parameters: Mapping[str, object]) -> Mapping[str, Any]:
        credentials = self._aws.credentials.frozen()
        body = json.dumps(parameters).encode()
        signature = self._way.signer.sign(self._way.paths[operation], body, credentials)
        token = f"X-Amz-Security-Token: {signature.token}\r\n" if signature.token else ""
        head = (
            f"{self._heads[operation]}X-Amz-Date: {signature.amz_date}\r\n{token}"
            f"Authorization: {signature.authorization}\r\namz-sdk-invocation-id: {uuid.uuid4()}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        answer = await self._pool.exchange(head.encode() + body)
        if answer.status == HTTPStatus.OK and self._aws.on_answer is None:
            output = plain_output(answer.body, _LIST_OF[operation])
            if output is not None:
                return output
        return self._parsed(operation, answer, signed_with=credentials.access_key)

    def _parsed(self, operation: str, answer: HttpAnswer, *, signed_with: str) -> Mapping[str, Any]:
        """The output, as the SDK makes it.

        Raises:
            ClientError: AWS has refused.
            ResponseParserError: This is not an answer of AWS.
        """
        model = self._sdk_client.meta.service_model.operation_model(operation)
        context = {"operation_name": operation}
        whole = {"headers": answer.headers, "status_code": answer.status, "body": answer.body, "context": context}
        parsed: dict[str, Any] = self._parser.parse(whole, model.output_shape)
        self._aws.answered(parsed, signed_with=signed_with)
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            error: Exception = self._sdk_client.exceptions.from_code(parsed.get("Error", {}).get("Code"))(
                parsed, operation
            )
            raise error
        return parsed


def plain_output(body: bytes, key: str) -> dict[str, Any] | None:
    """An answer's body that the SDK's parser would give back as it is; None where that is not certain."""
    try:
        output: Any = orjson.loads(body)
    except ValueError:
        return None
    items = output.get(key) if type(output) is dict else None
    if type(items) is not list:
        return None
    for item in items:
        if type(item) is not dict or type(item.get("itemId")) is not str or type(item.get("reason", [])) is not list:
            return None
    plain: dict[str, Any] = output
    return plain


def _host(way: PlainWay) -> str:
    return way.place.url.partition("://")[2].lower()
