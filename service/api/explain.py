"""Why a user gets what they get, for those who have an admin key."""

from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.answers.explain import explain
from service.api.admin import UserId, forget_user
from service.api.keyed_route import administrator, keyed
from service.api.lifecycle import Services, services_of
from service.api.query import PARAMETERS, parse_query
from service.constants import MAX_ID_CHARACTERS
from service.errors import InvalidQuery
from service.models import RequestKind

router = APIRouter(tags=["administration"], route_class=keyed(administrator))

_PARAMETERS: Final = [one for one in PARAMETERS["recommendations"] if one["name"] != "user_id"]
"""Those of a call; the user is in the path."""


@router.get(
    "/users/{user_id:id}/explain",
    openapi_extra={"parameters": _PARAMETERS},
    responses={422: {"description": "A parameter is wrong; the body names it and its bound."}},
)
async def explain_user(user_id: UserId, request: Request) -> JSONResponse:
    """Lists kept of a user, every item with the rule that drops or moves it, events, and what the next call would do.

    Takes the parameters of a call, and spends nothing.
    """
    services = services_of(request)
    # In front of what the caller gives: of a repeated parameter the first counts.
    query_string = b"user_id=" + quote(user_id, safe="").encode() + b"&" + request.scope["query_string"]
    query = parse_query(query_string, _kind(services, request))
    placement = services.placements.of(query)
    explained = await explain(placement, query, clock=services.clock, seconds=services.limits.deadline_seconds)
    return JSONResponse(explained, headers={"Cache-Control": "no-store"})


@router.delete("/users/{user_id:id}/explain", include_in_schema=False)
async def forget_user_of_such_a_name(user_id: str, request: Request) -> JSONResponse:
    """Forget a user whose id ends like this path; where the slash is the path's own, the method is wrong."""
    if request.scope["raw_path"].endswith(b"/explain"):
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED)
    user_id = f"{user_id}/explain"
    if len(user_id) > MAX_ID_CHARACTERS:
        raise InvalidQuery("user_id", f"at most {MAX_ID_CHARACTERS} characters, not {len(user_id)}")
    return await forget_user(user_id, services_of(request))


def _kind(services: Services, request: Request) -> RequestKind:
    name = request.query_params.get("placement", "").strip()
    kinds = {one.name: one.kind for one in services.placements}
    return kinds.get(name, "recommendations")
