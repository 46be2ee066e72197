"""Amazon Personalize's PutEvents over the AWS SDK."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError, ParamValidationError
from botocore.parsers import ResponseParserError

from service.aws.client import AwsClient
from service.aws.session import AwsSession
from service.errors import RecommenderError, RecommenderRefused
from service.events.event import Event
from service.personalize.sdk.errors import translated_errors

CALL_SECONDS: Final = 10.0
"""Longest wait for one call; nobody waits for it but the events."""

CONFIG: Final = AioConfig(
    retries={"total_max_attempts": 1, "mode": "standard"},
    connect_timeout=2,
    read_timeout=CALL_SECONDS,
    max_pool_connections=50,
)

OF_THE_EVENTS: Final = frozenset({"InvalidInputException", "ValidationException", "SerializationException"})
"""Error codes that the events of a call bring about. Any other refusal, such as of rights, would meet all events."""


class PersonalizeEvents:
    """An `EventTaker` that sends to an event tracker.

    Args:
        aws: Gives the credentials.
        tracking_id: Of the event tracker.
    """

    def __init__(self, aws: AwsSession, tracking_id: str) -> None:
        self._client = AwsClient(aws, "personalize-events", CONFIG)
        self._tracking_id = tracking_id

    async def put(self, user_id: str, session_id: str, events: Sequence[Event]) -> None:
        """See `EventTaker.put`.

        Source: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_PutEvents.html
        """
        parameters: dict[str, Any] = {
            "trackingId": self._tracking_id,
            "sessionId": session_id,
            "eventList": [_listed(event) for event in events],
        }
        if user_id:
            parameters["userId"] = user_id
        try:
            with translated_errors():
                async with asyncio.timeout(CALL_SECONDS):
                    client = await self._client.get()
                    # A second registration under the same id changes nothing.
                    client.meta.events.register(_BEFORE_PARSE, check_body, unique_id="service-events-body")
                    await client.put_events(**parameters)
        except RecommenderRefused as refused:
            if _is_of_the_events(refused.__cause__):
                raise
            raise RecommenderError(str(refused)) from refused

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()


_BEFORE_PARSE: Final = "before-parse.personalize-events.PutEvents"


def check_body(response_dict: Mapping[str, Any], **_: object) -> None:
    """Refuse a 200 that Personalize did not write: its body is empty, and the SDK looks at no body here.

    Raises:
        ResponseParserError: A proxy or a page of somebody else has answered.
    """
    body = response_dict["body"].strip()
    if body and not body.startswith(b"{"):
        raise ResponseParserError("the answer to PutEvents is not Personalize's")


def _is_of_the_events(error: BaseException | None) -> bool:
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "")) in OF_THE_EVENTS
    return isinstance(error, ParamValidationError)


def _listed(event: Event) -> dict[str, Any]:
    optional = {
        "itemId": event.item_id,
        "eventValue": event.event_value,
        "properties": event.properties,
        "recommendationId": event.recommendation_id,
        "impression": list(event.impression),
    }
    given = {name: value for name, value in optional.items() if value not in ("", None, [])}
    return {"eventId": event.event_id, "eventType": event.event_type, "sentAt": event.sent_at, **given}
