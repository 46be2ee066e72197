"""The three ways to ask: recommendations, similar items, ranking."""

from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.bodies import json_body
from service.api.headers import lasting_headers, passing_headers
from service.api.keyed_route import caller, keyed
from service.api.lifecycle import ACCESS_LINE, ASKED, CLIENT_GONE, FAILED, Asked, Services, asked_by, services_of
from service.api.misses import answer_to
from service.api.query import PARAMETERS, parse_body, parse_query
from service.catalog.item import ITEM_COLUMNS, JSON_TYPES
from service.constants import (
    MAX_ID_CHARACTERS,
    MAX_RANKED_IDS,
    RANKING_PATH,
    RECOMMENDATIONS_PATH,
    SIMILAR_ITEMS_PATH,
)
from service.models import RecommendationQuery, RequestKind

router = APIRouter(route_class=keyed(caller))

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
                                "placement": {"type": "string"},
                                "variant": {"type": ["string", "null"]},
                                "because": {"type": ["object", "null"]},
                                "topped_up": {"type": "integer"},
                                "popular": {"type": "boolean"},
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


_RANKING_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["user_id", "item_ids"],
                "properties": {
                    "user_id": {"type": "string", "maxLength": MAX_ID_CHARACTERS},
                    "item_ids": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MAX_RANKED_IDS,
                        "items": {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS},
                    },
                },
            }
        }
    },
}


def _document(kind: RequestKind) -> dict[str, Any]:
    return {"parameters": PARAMETERS[kind], "responses": _ANSWERS}


@router.get(RECOMMENDATIONS_PATH, openapi_extra=_document("recommendations"))
async def recommendations(request: Request) -> Response:
    """A user's recommendations."""
    return await _answer(request, "recommendations")


@router.get(SIMILAR_ITEMS_PATH, openapi_extra=_document("similar-items"))
async def similar_items(request: Request) -> Response:
    """What goes with an item."""
    return await _answer(request, "similar-items")


@router.get(RANKING_PATH, openapi_extra=_document("ranking"))
async def ranking(request: Request) -> Response:
    """Given items, in the order that suits a user."""
    return await _answer(request, "ranking")


@router.post(RANKING_PATH, openapi_extra={"requestBody": _RANKING_BODY, "responses": _ANSWERS})
async def ranking_of_body(request: Request) -> Response:
    """The same for many items, which a query string would not hold."""
    services = services_of(request)
    began = services.clock.monotonic()
    query = parse_body(await json_body(request), "ranking")
    return await _answered(request, services, asked_by(services, query, began))


async def _answer(request: Request, kind: RequestKind) -> Response:
    services = services_of(request)
    if (error := request.scope.get(FAILED)) is not None:
        raise error
    asked: Asked | None = request.scope.get(ASKED)
    if asked is None:
        # The hit lane has not looked at it, or could not admit it without a wait.
        began = services.clock.monotonic()
        query: RecommendationQuery = parse_query(request.scope["query_string"], kind)
        asked = asked_by(services, query, began)
    return await _answered(request, services, asked)


async def _answered(request: Request, services: Services, asked: Asked) -> Response:
    answer = await answer_to(services, asked, request.scope["headers"], request.receive)
    if answer is None:
        return Response(status_code=CLIENT_GONE)
    seconds = services.clock.monotonic() - asked.began
    services.telemetry.answered(answer, seconds, request.scope.get(ACCESS_LINE))
    request.scope[ACCESS_LINE] = None
    response = Response(answer.body)
    response.raw_headers = lasting_headers(answer) + passing_headers(answer, seconds)
    return response
