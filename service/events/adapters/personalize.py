"""Amazon Personalize's PutEvents over the AWS SDK."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aiobotocore.config import AioConfig

from service.aws.client import AwsClient
from service.aws.session import AwsSession
from service.events.event import Event
from service.personalize.sdk.errors import translated_errors

CALL_SECONDS: Final = 10.0
"""Longest wait for one call; nobody waits for it but the events."""

CONFIG: Final = AioConfig(
    retries={"total_max_attempts": 1, "mode": "standard"},
    connect_timeout=2,
    read_timeout=CALL_SECONDS,
    max_pool_connections=10,
)


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
        with translated_errors():
            async with asyncio.timeout(CALL_SECONDS):
                client = await self._client.get()
                await client.put_events(**parameters)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()


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
