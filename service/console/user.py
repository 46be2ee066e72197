"""The page User: what a user did, what they get, and why."""

from collections.abc import Iterator
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from service.answers.explain import explain
from service.answers.placement import Placement
from service.api import admin
from service.api.admin import AdminServices
from service.api.lifecycle import Services, services_of
from service.api.query import parse_query
from service.console.console import console_of
from service.console.items import items_of
from service.console.routes import ApiRoute, PageRoute, render
from service.console.spare import Fetched
from service.console.words import FETCHED, summary, why
from service.constants import MAX_ID_CHARACTERS, MAX_NUM_RESULTS, MAX_RANKED_IDS
from service.models import RecommendationQuery

pages = APIRouter(route_class=PageRoute, include_in_schema=False)
api = APIRouter(route_class=ApiRoute, include_in_schema=False)

MAX_IDS_CHARACTERS: Final = MAX_RANKED_IDS * (MAX_ID_CHARACTERS + 1)

SHOWN: Final = 4
"""Items that a page shows until a person asks for another number: as many as most templates."""

ItemText = Annotated[str, Field(max_length=MAX_ID_CHARACTERS)]


class Look(BaseModel):
    """Whom a person looks at, and how."""

    model_config = ConfigDict(strict=True)

    user_id: Annotated[str, Field(max_length=MAX_ID_CHARACTERS)]
    placement: str = ""
    num_results: Annotated[int, Field(ge=1, le=MAX_NUM_RESULTS)] = SHOWN
    item_id: ItemText = ""
    item_ids: Annotated[str, Field(max_length=MAX_IDS_CHARACTERS)] = ""
    fetch: bool = False
    """Whether a list is to be fetched although one is kept."""


class OneUser(BaseModel):
    """A user to forget."""

    model_config = ConfigDict(strict=True)

    user_id: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]


@pages.get("/console")
@pages.get("/console/")
async def user_page(request: Request) -> Response:
    """What a user did, and what they get."""
    placements = [(one.name, one.kind) for one in services_of(request).placements]
    return render(request, "user.html", placements=placements, num_results=SHOWN, max_num_results=MAX_NUM_RESULTS)


@api.post("/console/api/user")
async def look_at_user(look: Look, request: Request) -> JSONResponse:
    """What a user gets and why. Fetches a list if none is kept or one is asked for, in a spare slot or not at all."""
    services = services_of(request)
    placement, query = _asked(look, services)
    found = await _explained(services, placement, query)
    fetched: Fetched | None = None
    if look.fetch or (found["next_call"]["does"] == "ask" and not found["lists"]):
        fetched = await console_of(request).spare.fetch(placement, query)
        found = await _explained(services, placement, query)
    for one in found["items"]:
        one["why"] = why(one)
    administration = services.administration
    about = {
        "kind": placement.kind,
        "summary": summary(found),
        "fresh_seconds": placement.arm_of(query).lists.fresh_seconds,
        "takes_events": services.events is not None,
        "fetched": FETCHED[fetched] if fetched else None,
        "items_by_id": await items_of(_ids(found), administration.items.snapshot, administration.block_list),
    }
    return JSONResponse({**found, **about}, headers={"Cache-Control": "no-store"})


def _ids(found: dict[str, Any]) -> Iterator[str]:
    """Of every item that an explanation names."""
    for one in found["items"]:
        yield one["id"]
    for one in found["events"] or ():
        if one["item_id"]:
            yield one["item_id"]
    if found["because_of_item"]:
        yield found["because_of_item"]


@api.post("/console/api/user/forget")
async def forget_user(one: OneUser, services: AdminServices) -> JSONResponse:
    """Forget all that is kept of a user, on every replica."""
    return await admin.forget_user(one.user_id, services)


def _asked(look: Look, services: Services) -> tuple[Placement, RecommendationQuery]:
    """The placement, and the query that a template would send.

    Raises:
        InvalidQuery: There is no such placement, or a parameter is wrong.
    """
    kinds = {one.name: one.kind for one in services.placements}
    kind = kinds.get(look.placement, "recommendations")
    given = {"user_id": look.user_id, "placement": look.placement, "num_results": look.num_results}
    if kind == "similar-items" and look.item_id:
        given["item_id"] = look.item_id
    if kind == "ranking":
        given["item_ids"] = look.item_ids
    query = parse_query(urlencode(given).encode(), kind)
    return services.placements.of(query), query


async def _explained(services: Services, placement: Placement, query: RecommendationQuery) -> dict[str, Any]:
    return await explain(placement, query, clock=services.clock, seconds=services.limits.deadline_seconds)
