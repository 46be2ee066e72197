"""What users did, as callers of Personalize and as Braze send it.

Nothing here answers 429 or 503: Braze counts those as a host that is unhealthy. What cannot be kept safe is a 500,
which Braze sends again.
"""

import json
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Annotated, Final, cast

import orjson
from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.api import path_ids  # noqa: F401  # registers `{...:id}`
from service.api.bodies import json_body
from service.api.keyed_route import keyed, sender_of_events
from service.api.lifecycle import EventRoutes, event_routes_of, services_of
from service.api.query import is_utf8
from service.constants import MAX_ID_CHARACTERS
from service.errors import InvalidQuery, SharedStateUnavailable
from service.events.braze import Ignored, braze_events
from service.events.event import Event, EventProblem, events_of

_HALVES: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
"""Half of a character beyond the basic plane, as JavaScript writes a text that was cut in the middle of one."""

MAX_WHOLE_CHARACTERS: Final = 20
"""Of a number that is kept as it is; orjson keeps no more either."""

_REPLACEMENT: Final = rb"\\ufffd"

router = APIRouter(
    tags=["events"],
    route_class=keyed(sender_of_events),
    responses={
        404: {"description": "EVENT_KEYS is not set, so there are no events."},
        413: {"description": "The body is too large."},
        422: {"description": "The body as a whole is wrong."},
        500: {"description": "The events could not be kept; send them again."},
    },
)


users = APIRouter(
    tags=["events"],
    route_class=keyed(sender_of_events),
    responses={
        404: {"description": "PERSONALIZE_USERS_DATASET_ARN or EVENT_KEYS is not set."},
        422: {"description": "The body is no object of columns."},
        500: {"description": "The user could not be kept; send it again."},
    },
)


@router.post("/events", status_code=HTTPStatus.ACCEPTED)
async def take_events(request: Request) -> JSONResponse:
    """Events in the words of PutEvents, or a list of such bodies; 202 once they are safe."""
    routes, now = event_routes_of(request), services_of(request).clock.time()
    body = await _body(request)
    return await _taken(routes, lambda: events_of(body, now))


@router.post("/events/braze", status_code=HTTPStatus.ACCEPTED)
async def take_braze_events(request: Request) -> JSONResponse:
    """What Currents' HTTP connector and Braze's webhooks send; 202 once it is safe."""
    routes, now = event_routes_of(request), services_of(request).clock.time()
    body = await _body(request)
    return await _taken(routes, lambda: braze_events(body, routes.services.braze, now))


@users.post("/users/{user_id:id}", status_code=HTTPStatus.ACCEPTED)
async def take_user(
    user_id: Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARACTERS)], request: Request
) -> JSONResponse:
    """A user's columns in Personalize's users dataset; 202 once they are safe. They replace those of before.

    A key of EVENT_KEYS opens it: a system that reports what users do may say who they are. It reads nothing.
    """
    routes = event_routes_of(request)
    if routes.services.traits is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    if not is_utf8(request.scope["raw_path"]):
        raise InvalidQuery("user_id", "is not UTF-8")
    try:
        await routes.services.traits.take(user_id, await _body(request), services_of(request).clock.time())
    except EventProblem as problem:
        raise InvalidQuery("body", str(problem)) from None
    except SharedStateUnavailable:
        raise HTTPException(HTTPStatus.INTERNAL_SERVER_ERROR, "the user could not be kept; send it again") from None
    if routes.services.outbox is not None:
        routes.services.outbox.wake()
    return JSONResponse({"accepted": True}, HTTPStatus.ACCEPTED)


async def _body(request: Request) -> object:
    """What a body says; a broken character or a number beyond all bounds costs its event only.

    Raises:
        InvalidQuery: It is packed, or no JSON.
    """
    content = await json_body(request)
    try:
        return cast("object", orjson.loads(content))
    except orjson.JSONDecodeError:
        pass
    try:
        # NaN and infinities are no values of an event; what reads the event says so.
        return cast("object", json.loads(_HALVES.sub(_REPLACEMENT, content).decode(), parse_int=_whole))
    except json.JSONDecodeError as error:
        raise InvalidQuery("body", f"is not JSON: see line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError:
        raise InvalidQuery("body", "is not UTF-8") from None
    except RecursionError:
        raise InvalidQuery("body", "is nested too deep") from None


def _whole(text: str) -> int | float:
    """A whole number; one that fits nowhere is as large as a float can say."""
    return int(text) if len(text) <= MAX_WHOLE_CHARACTERS else float(text)


async def _taken(routes: EventRoutes, events: Callable[[], Iterable[Event | EventProblem | Ignored]]) -> JSONResponse:
    try:
        report = await routes.services.intake.take(events())
    except EventProblem as problem:
        raise InvalidQuery("body", str(problem)) from None
    except SharedStateUnavailable:
        raise HTTPException(HTTPStatus.INTERNAL_SERVER_ERROR, "the events could not be kept; send them again") from None
    if report.accepted and routes.services.outbox is not None:
        routes.services.outbox.wake()
    counted = {"accepted": report.accepted, "duplicate": report.duplicate, "ignored": report.ignored}
    return JSONResponse({**counted, "rejected": report.rejected}, HTTPStatus.ACCEPTED)
