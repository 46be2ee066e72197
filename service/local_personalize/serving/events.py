"""The events API for trackers and datasets of the control plane: lists and filters feel an event with the answer.

Source: https://docs.aws.amazon.com/personalize/latest/dg/API_Operations_Amazon_Personalize_Events.html
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson

from service.local_personalize.access_keys import AccessKeys
from service.local_personalize.control import avro
from service.local_personalize.control.control_plane import ControlPlane
from service.local_personalize.control.store import Record
from service.local_personalize.control.wire import check_input
from service.local_personalize.events import RESERVED, ShownEvents
from service.local_personalize.faults import Fault, FaultMode, is_taken_away
from service.local_personalize.http import Answer, Handler, Request
from service.local_personalize.json_object import json_object
from service.local_personalize.refusals import (
    Refusal,
    check_signed,
    internal_failure,
    invalid_input,
    not_found,
    throttled,
)
from service.local_personalize.serving.group import LiveGroups
from service.local_personalize.throttle import TokenBucket

SERVICE: Final = "personalize-events"
_OPERATIONS: Final = {
    "/events": "PutEvents",
    "/items": "PutItems",
    "/users": "PutUsers",
    "/actions": "PutActions",
    "/action-interactions": "PutActionInteractions",
}
_WORD_START: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class TrainedEventsSurface:
    """`POST /events`, `/items` and `/users`, and what came; the calls on actions are refused by name.

    Args:
        control: Has trackers and datasets.
        groups: Feel the events.
        answers_all: Whether calls that name nothing of the control plane are answered too, with a refusal.
        bucket: How many calls a second are admitted.
        access_keys: Which callers are refused.
        fault: What happens to admitted calls instead of an answer.
    """

    def __init__(
        self,
        *,
        control: ControlPlane,
        groups: LiveGroups,
        answers_all: bool,
        bucket: TokenBucket,
        access_keys: AccessKeys,
        fault: Fault,
    ) -> None:
        self._store = control.plane.store
        self._advance = control.advance
        self._groups = groups
        self._answers_all = answers_all
        self._bucket = bucket
        self._access_keys = access_keys
        self._fault = fault
        self._shown = ShownEvents()
        self._actions: dict[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "PutEvents": self._put_events,
            "PutItems": self._put_items,
            "PutUsers": self._put_users,
        }

    def handler(self, request: Request) -> Handler | None:
        """See `Surface.handler`."""
        if self._answers_all and (shows := self._shown.handlers.get((request.method, request.path))) is not None:
            return shows
        if request.method != "POST" or request.path not in _OPERATIONS:
            return None
        return self._answer if self._answers_all or self._is_mine(request.body) else None

    def _is_mine(self, body: bytes) -> bool:
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError:
            return False
        if not isinstance(fields, dict):
            return False
        return (
            self._tracker(fields.get("trackingId")) is not None or self._dataset(fields.get("datasetArn")) is not None
        )

    async def _answer(self, request: Request) -> Answer | None:
        authorization = request.header(b"authorization")
        check_signed(authorization)
        self._access_keys.check(authorization)
        operation = _OPERATIONS[request.path]
        fields = json_object(request.body)
        check_input(operation, fields, service=SERVICE)
        if operation not in self._actions:
            raise invalid_input(f"The local Personalize does not carry out {operation}")
        mode = self._fault.mode
        if mode is FaultMode.THROTTLE or not self._bucket.try_take():
            raise throttled()
        if await is_taken_away(request, mode):
            return None
        if mode is FaultMode.ERROR500:
            raise internal_failure()
        if mode is FaultMode.GARBAGE:
            return Answer(502, b"<html>It works!</html>")
        self._advance()
        await self._actions[operation](fields)
        return Answer(200, b"")

    async def _put_events(self, fields: dict[str, Any]) -> None:
        tracker = self._tracker(fields["trackingId"])
        if tracker is None or tracker["status"] != "ACTIVE":
            raise invalid_input("There is no event tracker of this trackingId that is ACTIVE")
        for event in fields["eventList"]:
            _properties(event, reserved=RESERVED)
            if type(event["sentAt"]) not in (int, float):
                raise invalid_input("sentAt is not a timestamp")
        group = await self._groups.get(tracker["datasetGroupArn"])
        user_id = fields.get("userId") or fields["sessionId"]
        for event in fields["eventList"]:
            is_used = group.add_event(user_id, event)
            self._shown.add({"userId": user_id, "sessionId": fields["sessionId"], **event}, is_used=is_used)

    async def _put_items(self, fields: dict[str, Any]) -> None:
        dataset = self._ready_dataset(fields["datasetArn"], avro.ITEMS)
        group = await self._groups.get(dataset["datasetGroupArn"])
        for columns in [self._columns(one, dataset, "itemId") for one in fields["items"]]:
            group.add_item(columns)

    async def _put_users(self, fields: dict[str, Any]) -> None:
        dataset = self._ready_dataset(fields["datasetArn"], avro.USERS)
        group = await self._groups.get(dataset["datasetGroupArn"])
        for columns in [self._columns(one, dataset, "userId") for one in fields["users"]]:
            group.add_user(columns)

    def _columns(self, given: dict[str, Any], dataset: Record, id_field: str) -> dict[str, str]:
        """The schema's columns of an item or user; properties are named in camel case."""
        schema = self._store.get(dataset["schemaArn"]) or {}
        named = {_column(key): value for key, value in _properties(given, reserved=frozenset()).items()}
        columns = {_column(id_field): given[id_field]}
        for column in avro.parse_schema(schema["schema"]):
            if column.name in columns:
                continue
            value = named.pop(column.name, None)
            if value is None and not column.is_optional:
                raise invalid_input(f"properties lacks {column.name}, which is not nullable")
            columns[column.name] = _text(value)
        if named:
            raise invalid_input(f"properties has {min(named)}, which the schema lacks")
        return columns

    def _ready_dataset(self, arn: str, dataset_type: str) -> Record:
        dataset = self._dataset(arn)
        if dataset is None or dataset["datasetType"] != dataset_type:
            raise not_found(f"There is no {dataset_type} dataset {arn}")
        for job in self._store.of("DatasetImportJob", datasetArn=arn):
            if job["status"] in ("CREATE PENDING", "CREATE IN_PROGRESS"):
                raise Refusal(
                    status=409, code="ResourceInUseException", message=f"An import job is at work on dataset {arn}"
                )
        return dataset

    def _tracker(self, tracking_id: object) -> Record | None:
        return next(self._store.of("EventTracker", trackingId=tracking_id), None) if tracking_id else None

    def _dataset(self, arn: object) -> Record | None:
        record = self._store.get(arn) if isinstance(arn, str) else None
        return record if record is not None and record["_noun"] == "Dataset" else None


def _properties(given: dict[str, Any], *, reserved: frozenset[str]) -> dict[str, Any]:
    text = given.get("properties")
    if text is None:
        return {}
    found = json_object(text, "properties")
    if taken := reserved.intersection(found):
        raise invalid_input(f"properties has the reserved key {min(taken)}")
    return found


def _column(key: str) -> str:
    """The schema's name of a property: `numRatings` is NUM_RATINGS."""
    return _WORD_START.sub("_", key).upper()


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
