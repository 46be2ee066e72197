"""What users did, as callers of Personalize and as Braze send it.

Nothing here answers 429 or 503: Braze counts those as a host that is unhealthy. What cannot be kept safe is a 500,
which Braze sends again.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.api import path_ids  # noqa: F401  # registers `{...:id}`
from service.api.keyed_route import keyed, sender_of_events
from service.api.lifecycle import EventRoutes, event_routes_of, services_of
from service.api.query import is_utf8
from service.constants import MAX_ID_CHARACTERS
from service.errors import InvalidQuery, SharedStateUnavailable
from service.events.braze import Ignored, braze_events
from service.events.event import Event, EventProblem, events_of

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
    try:
        body: object = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        raise InvalidQuery("body", "is not JSON") from None
    return body


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
