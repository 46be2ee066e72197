"""Amazon Personalize's PutEvents over the AWS SDK."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError, NoRegionError, ParamValidationError
from botocore.parsers import ResponseParserError

from service.aws.client import AwsClient
from service.aws.session import AwsSession
from service.budget.budget import Budget
from service.budget.ports import Lane
from service.errors import RecommenderError, RecommenderRefused
from service.events.event import Event
from service.events.traits import USER_TRAITS
from service.personalize.sdk.errors import translated_errors

CALL_SECONDS: Final = 10.0
"""Longest wait for one call; nobody waits for it but the events."""

CONFIG: Final = AioConfig(
    retries={"total_max_attempts": 1, "mode": "standard"},
    connect_timeout=2,
    read_timeout=CALL_SECONDS,
    max_pool_connections=50,
)

USERS_TPS: Final = 10.0
"""PutUsers calls per second. Source: Personalize developer guide, Endpoints and quotas."""

USERS_PATIENCE_SECONDS: Final = 4.0
"""Longest wait for one of their slots, so that the claim does not lapse meanwhile."""

OF_THE_EVENTS: Final = frozenset({"InvalidInputException", "ValidationException", "SerializationException"})
"""Error codes that the events of a call bring about. Any other refusal, such as of rights, would meet all events."""


@dataclass(frozen=True, slots=True)
class UsersDataset:
    """Where users' columns go."""

    dataset_arn: str
    budget: Budget
    """PutUsers calls, of all replicas together."""

    monotonic: Callable[[], float]


class PersonalizeEvents:
    """An `EventTaker` that sends to an event tracker.

    Args:
        aws: Gives the credentials.
        tracking_id: Of the event tracker.
        users: Gets users' columns; None: none come.
    """

    def __init__(self, aws: AwsSession, tracking_id: str, users: "UsersDataset | None" = None) -> None:
        self._client = AwsClient(aws, "personalize-events", CONFIG)
        self._tracking_id = tracking_id
        self._users = users

    async def open(self) -> None:
        """Make the SDK's client, so that the first event need not.

        Raises:
            ConfigurationError: AWS_PROFILE names a profile that no file has.
        """
        # Without a region the first call says so, in the log and with its remedy.
        with suppress(NoRegionError):
            await self._client.make()

    async def put(self, user_id: str, session_id: str, events: Sequence[Event]) -> None:
        """See `EventTaker.put`.

        Source: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_PutEvents.html
        """
        if events[0].event_type == USER_TRAITS:
            await self._put_users(events)
            return
        parameters: dict[str, Any] = {
            "trackingId": self._tracking_id,
            "sessionId": session_id,
            "eventList": [_listed(event) for event in events],
        }
        if user_id:
            parameters["userId"] = user_id
        await self._call("put_events", parameters)

    async def _put_users(self, events: Sequence[Event]) -> None:
        """Users' columns; where a user comes twice, the later ones count.

        Source: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_PutUsers.html
        """
        if self._users is None:
            raise RecommenderError("PERSONALIZE_USERS_DATASET_ARN is not set")
        await self._users.budget.acquire(Lane.NO_LIST, self._users.monotonic() + USERS_PATIENCE_SECONDS)
        users = {event.user_id: {"userId": event.user_id, "properties": event.properties} for event in events}
        await self._call("put_users", {"datasetArn": self._users.dataset_arn, "users": list(users.values())})

    async def _call(self, operation: str, parameters: dict[str, Any]) -> None:
        try:
            with translated_errors():
                async with asyncio.timeout(CALL_SECONDS):
                    client = await self._client.get()
                    # A second registration under the same id changes nothing.
                    client.meta.events.register(_BEFORE_PARSE, check_body, unique_id="service-events-body")
                    await getattr(client, operation)(**parameters)
        except RecommenderRefused as refused:
            if _is_of_the_events(refused.__cause__):
                raise
            raise RecommenderError(str(refused)) from refused

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()


_BEFORE_PARSE: Final = "before-parse.personalize-events"


def check_body(response_dict: Mapping[str, Any], **_: object) -> None:
    """Refuse a 200 that Personalize did not write: its body is empty, and the SDK looks at no body here.

    Raises:
        ResponseParserError: A proxy or a page of somebody else has answered.
    """
    body = response_dict["body"].strip()
    if body and not body.startswith(b"{"):
        raise ResponseParserError("the answer is not Personalize's")


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
        "metricAttribution": {"eventAttributionSource": event.attribution_source} if event.attribution_source else None,
    }
    given = {name: value for name, value in optional.items() if value not in ("", None, [])}
    return {"eventId": event.event_id, "eventType": event.event_type, "sentAt": event.sent_at, **given}
