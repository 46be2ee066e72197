"""The page Operations: how this replica is, the items, and the settings in effect."""

import platform
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from service.answers.placement import Placement
from service.api import admin
from service.api.admin import AdminServices
from service.api.lifecycle import services_of
from service.console.console import console_of
from service.console.items import items_of
from service.console.routes import ApiRoute, PageRoute, render
from service.console.search import search
from service.constants import MAX_ID_CHARACTERS
from service.models import SOURCES

pages = APIRouter(route_class=PageRoute, include_in_schema=False)
api = APIRouter(route_class=ApiRoute, include_in_schema=False)

MAX_BLOCKED_SHOWN: Final = 50
"""Blocked items that the page names; there may be a hundred thousand."""

FIGURES: Final = (
    "redis_up",
    "events_waiting",
    "events_oldest_seconds",
    "catalog_items",
    "catalog_loaded_timestamp_seconds",
    "catalog_refresh_failing",
    "catalog_shrink_refused",
    "cache_entries",
    "cache_bytes",
)
"""Gauges that the page shows as Prometheus reads them."""


class OneItem(BaseModel):
    """An item to block, or to show again."""

    model_config = ConfigDict(strict=True)

    item_id: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]


class Search(BaseModel):
    """What to look for."""

    model_config = ConfigDict(strict=True, str_strip_whitespace=True)

    text: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]


@pages.get("/console/operations")
async def operations_page(request: Request) -> Response:
    """Answers, budget, stores, events, items and settings."""
    services, console = services_of(request), console_of(request)
    return render(
        request,
        "operations.html",
        about=services.about,
        settings=console.settings,
        has_events=services.events is not None,
        sources=SOURCES,
    )


@api.get("/console/api/operations")
async def figures(request: Request) -> JSONResponse:
    """How this replica is."""
    services, history = services_of(request), console_of(request).history
    spent, seconds = history.transactions_lately()
    found = {
        "replica": platform.node(),
        "minutes": history.by_minute(),
        "placements": [
            _placement(placement, spent.get(placement.name, 0), seconds) for placement in services.placements
        ],
        "figures": services.telemetry.values(FIGURES),
    }
    return JSONResponse(found, headers={"Cache-Control": "no-store"})


@api.post("/console/api/items/search")
async def search_items(wanted: Search, request: Request, services: AdminServices) -> JSONResponse:
    """Items by id or name; one search at a time, so that many cost callers no more than one does."""
    administration = services.administration
    async with console_of(request).search_turn:
        found = await search(wanted.text, administration.items.snapshot, administration.block_list, services.clock)
    return JSONResponse({"items": found.items, "looked_at": found.looked_at, "complete": found.complete})


@api.get("/console/api/items/blocked")
async def blocked_items(request: Request) -> JSONResponse:
    """The first of the blocked items, and how many there are."""
    administration = services_of(request).administration
    ids = administration.block_list.ids()
    first = ids[:MAX_BLOCKED_SHOWN]
    items = await items_of(first, administration.items.snapshot, administration.block_list)
    found = {"count": len(ids), "items": [{"id": one, "item": items.get(one)} for one in first]}
    return JSONResponse(found, headers={"Cache-Control": "no-store"})


@api.post("/console/api/items/block")
async def block_item(one: OneItem, services: AdminServices) -> JSONResponse:
    """Take an item out of every answer, on every replica within a second."""
    return await admin.block_item(one.item_id, services)


@api.post("/console/api/items/unblock")
async def unblock_item(one: OneItem, services: AdminServices) -> JSONResponse:
    """Let an item be shown again."""
    return await admin.unblock_item(one.item_id, services)


def _placement(placement: Placement, spent: int, seconds: float) -> Mapping[str, Any]:
    campaigns = [arm.campaign for arm in placement.arms if arm.campaign is not None]
    tps = max((one.budget.tps_in_use for one in campaigns), default=0.0)
    return {
        "name": placement.name,
        "kind": placement.kind,
        "tps": tps,
        "spent": spent,
        "seconds": round(seconds),
        "breaker": max((one.breaker.state for one in campaigns), default=0),
        "under_way": sum(len(one.flights) for one in campaigns),
        "waiting": sum(len(one.refresher) for one in campaigns),
    }
