"""What users did, as callers of Personalize and as Braze send it.

Nothing here answers 429 or 503: Braze counts those as a host that is unhealthy. What cannot be kept safe is a 500,
which Braze sends again.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.api.keyed_route import keyed, sender_of_events
from service.api.lifecycle import EventRoutes, event_routes_of, services_of
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
