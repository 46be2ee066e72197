"""The routes: each asks the container for one service and calls one method on it."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.api.headers import lasting_headers, passing_headers
from service.api.lifecycle import ACCESS_LINE, ASKED, Asked, Services, lifecycle_of, services_of
from service.api.query import PARAMETERS, parse_query
from service.catalog.item import ITEM_COLUMNS, JSON_TYPES
from service.errors import Unauthorized
from service.models import Answer

router = APIRouter()

CLIENT_GONE = 499
"""For our own log only: nobody is there to read it."""

_ITEM = {
    "type": "object",
    "required": list(ITEM_COLUMNS),
    "properties": {name: {"type": json_type} for name, json_type in JSON_TYPES.items()},
}
_ANSWERS = {
    "200": {
        "description": "A list, best item first; `format=object` wraps it.",
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"type": "array", "items": _ITEM},
                        {
                            "type": "object",
                            "required": ["items", "count", "source"],
                            "properties": {
                                "items": {"type": "array", "items": _ITEM},
                                "count": {"type": "integer"},
                                "source": {"type": "string"},
                                "degraded_reason": {"type": ["string", "null"]},
                                "recommendation_id": {"type": ["string", "null"]},
                            },
                        },
                    ]
                }
            }
        },
    },
    "401": {"description": "No valid credential."},
    "422": {"description": "A parameter is wrong; the body names it and its bound."},
}


@router.get("/recommendations", openapi_extra={"parameters": PARAMETERS, "responses": _ANSWERS})
async def recommendations(request: Request) -> Response:
    """A user's recommendations."""
    services = services_of(request)
    asked = request.scope.get(ASKED) or _asked(request, services)
    deadline = asked.began + services.limits.deadline_seconds
    asking = asyncio.ensure_future(services.recommendations.answer(asked.query, deadline, asked.key))
    answer = await _unless_gone(request, asking)
    if answer is None:
        return Response(status_code=CLIENT_GONE)
    seconds = services.clock.monotonic() - asked.began
    services.telemetry.answered(answer, seconds, request.scope.get(ACCESS_LINE))
    request.scope[ACCESS_LINE] = None
    response = Response(answer.body)
    response.raw_headers = lasting_headers(answer) + passing_headers(answer, seconds)
    return response


@router.get("/livez")
async def livez() -> Response:
    """The process runs."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz", responses={503: {"description": "Starting or draining."}})
async def readyz(request: Request) -> Response:
    """It can answer; 503 while starting or draining."""
    lifecycle = lifecycle_of(request)
    return JSONResponse({"status": lifecycle.phase}, 200 if lifecycle.phase == "ready" else 503)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Prometheus."""
    services = services_of(request)
    services.gate.let_in(services.limits.metrics_access, request.scope["headers"])
    return Response(generate_latest(services.telemetry.registry), media_type=CONTENT_TYPE_LATEST)


def _asked(request: Request, services: Services) -> Asked:
    """The query of a request that the hit lane has not looked at, or has not admitted."""
    began = services.clock.monotonic()
    if not services.gate.admits(request.scope["headers"]):
        raise Unauthorized
    return Asked(parse_query(request.scope["query_string"]), None, began)


async def _unless_gone(request: Request, asking: "asyncio.Future[Answer]") -> Answer | None:
    """The answer; None when the client hangs up first, so that its slot goes to the next."""
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        waiting: set[asyncio.Future[Any]] = {asking, gone}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return asking.result() if asking.done() else None
    finally:
        asking.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
