"""The events API: PutEvents and the calls on datasets, which a model and its filters feel at once.

Amazon's lists feel an event after 1 to 2 seconds, its filters within 20 minutes; here both feel it with the answer.
Source: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_PutEvents.html
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final

import orjson

from service.local_personalize.access_keys import AccessKeys
from service.local_personalize.arns import TRACKING_ID
from service.local_personalize.faults import Fault, FaultMode, is_taken_away
from service.local_personalize.http import Answer, Handler, Request
from service.local_personalize.json_object import json_object
from service.local_personalize.learn import CoVisitationModel
from service.local_personalize.puts import OPERATIONS, DatasetPuts
from service.local_personalize.refusals import check_signed, internal_failure, invalid_input, throttled
from service.local_personalize.throttle import TokenBucket

MAX_EVENTS: Final = 10
MAX_TEXT_CHARACTERS: Final = 256
MAX_PROPERTIES_CHARACTERS: Final = 1024
MAX_RECOMMENDATION_ID_CHARACTERS: Final = 40
MAX_IMPRESSION: Final = 25
RESERVED: Final = frozenset({"userId", "sessionId", "eventType", "timestamp", "recommendationId", "impression"})

MAX_KEPT: Final = 200_000
"""Events that `GET /_events` shows, and ids that are known again; the oldest go first."""


class SeenIds:
    """Tells which events are the first of their id: Amazon uses no later one.

    Source: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_Event.html
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()

    def add(self, event_id: str | None) -> bool:
        """Whether an event is the first of its id; one without an id always is."""
        if not event_id:
            return True
        if event_id in self._seen:
            return False
        self._seen[event_id] = None
        if len(self._seen) > MAX_KEPT:
            self._seen.popitem(last=False)
        return True


class ShownEvents:
    """The events that came, for tests: `GET /_events` shows all of them, `GET /_events/used` the first of each id."""

    def __init__(self) -> None:
        self._all: deque[dict[str, Any]] = deque(maxlen=MAX_KEPT)
        self._used: deque[dict[str, Any]] = deque(maxlen=MAX_KEPT)
        self.handlers: dict[tuple[str, str], Handler] = {
            ("GET", "/_events"): self._show,
            ("GET", "/_events/used"): self._show_used,
        }

    def add(self, event: dict[str, Any], *, is_used: bool) -> None:
        """One more came."""
        self._all.append(event)
        if is_used:
            self._used.append(event)

    async def _show(self, _: Request) -> Answer:
        return Answer(200, orjson.dumps(list(self._all)))

    async def _show_used(self, _: Request) -> Answer:
        return Answer(200, orjson.dumps(list(self._used)))


class EventsSurface:
    """`POST /events`, `/items`, `/users` and so on; and for tests what came.

    Args:
        model: Feels the events.
        bucket: How many calls a second are admitted.
        access_keys: Which callers are refused.
        fault: What happens to admitted calls instead of an answer.
        tracking_ids: The event trackers that exist besides `TRACKING_ID`.
    """

    def __init__(
        self,
        model: CoVisitationModel,
        *,
        bucket: TokenBucket,
        access_keys: AccessKeys,
        fault: Fault,
        tracking_ids: frozenset[str],
    ) -> None:
        self._model = model
        self._bucket = bucket
        self._access_keys = access_keys
        self._fault = fault
        self._tracking_ids = tracking_ids | {TRACKING_ID}
        self._puts = DatasetPuts(model, clock=time.monotonic)
        self._shown = ShownEvents()
        self._seen = SeenIds()

    def handler(self, request: Request) -> Handler | None:
        """See `Surface.handler`."""
        found: dict[tuple[str, str], Handler] = {
            **self._shown.handlers,
            ("GET", "/_puts"): self._show_puts,
            ("POST", "/events"): self._put_events,
            **dict.fromkeys((("POST", path) for path in OPERATIONS), self._put_in_dataset),
        }
        return found.get((request.method, request.path))

    async def _show_puts(self, _: Request) -> Answer:
        return Answer(200, orjson.dumps(self._puts.taken))

    async def _put_events(self, request: Request) -> Answer | None:
        self._check_caller(request)
        call = self._parsed(request.body)
        if not await self._admitted(request, self._bucket.try_take):
            return None
        if self._fault.mode is FaultMode.GARBAGE:
            return _GARBAGE
        for event in call["eventList"]:
            self._take(call, event)
        return Answer(200, b"")

    async def _put_in_dataset(self, request: Request) -> Answer | None:
        self._check_caller(request)
        call = json_object(request.body)
        rows = self._puts.check(request.path, call)
        if not await self._admitted(request, lambda: self._puts.try_take(request.path)):
            return None
        if self._fault.mode is FaultMode.GARBAGE:
            return _GARBAGE
        self._puts.put(request.path, call, rows)
        return Answer(200, b"")

    def _check_caller(self, request: Request) -> None:
        authorization = request.header(b"authorization")
        check_signed(authorization)
        self._access_keys.check(authorization)

    async def _admitted(self, request: Request, try_take: Callable[[], bool]) -> bool:
        """Whether the call is carried out; False where the caller gets no answer.

        Raises:
            Refusal: It is over the rate, or fails as the fault wants it.
        """
        mode = self._fault.mode
        if mode is FaultMode.THROTTLE or not try_take():
            raise throttled()
        if await is_taken_away(request, mode):
            return False
        if mode is FaultMode.ERROR500:
            raise internal_failure()
        return True

    def _take(self, call: dict[str, Any], event: dict[str, Any]) -> None:
        user_id = call.get("userId") or call["sessionId"]
        is_new = self._seen.add(event.get("eventId"))
        self._shown.add({"userId": user_id, "sessionId": call["sessionId"], **event}, is_used=is_new)
        if not is_new:
            return
        if item_id := event.get("itemId"):
            self._model.feel(user_id, item_id, int(event["sentAt"]), event["eventType"])

    def _parsed(self, body: bytes) -> dict[str, Any]:
        call = json_object(body)
        if _text(call, "trackingId", required=True) not in self._tracking_ids:
            raise invalid_input("There is no event tracker of this trackingId")
        _text(call, "sessionId", required=True)
        _text(call, "userId")
        listed = call.get("eventList")
        if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_EVENTS:
            raise invalid_input(f"eventList is not a list of 1 to {MAX_EVENTS} events")
        for event in listed:
            _check(event)
        return call


_GARBAGE: Final = Answer(200, b"<html>It works!</html>")


def _check(event: object) -> None:
    if not isinstance(event, dict):
        raise invalid_input("An event is not a JSON object")
    _text(event, "eventType", required=True)
    _text(event, "eventId")
    _text(event, "itemId")
    _text(event, "recommendationId", most=MAX_RECOMMENDATION_ID_CHARACTERS)
    properties = _text(event, "properties", most=MAX_PROPERTIES_CHARACTERS)
    if properties is not None:
        found = json_object(properties, "properties")
        if reserved := RESERVED.intersection(found):
            raise invalid_input(f"properties has the reserved key {min(reserved)}")
    if type(event.get("sentAt")) not in (int, float):
        raise invalid_input("sentAt is not a timestamp")
    impression = event.get("impression")
    if impression is not None and not (isinstance(impression, list) and 1 <= len(impression) <= MAX_IMPRESSION):
        raise invalid_input(f"impression is not a list of 1 to {MAX_IMPRESSION} items")


def _text(fields: dict[str, Any], name: str, *, most: int = MAX_TEXT_CHARACTERS, required: bool = False) -> str | None:
    value = fields.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise invalid_input(f"{name} is not a text of 1 to {most} characters")
    return value
