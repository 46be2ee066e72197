"""The page Operations: how the service is, and the items."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from service.api import admin
from service.api.admin import AdminServices
from service.console.routes import ApiRoute, PageRoute, render
from service.constants import MAX_ID_CHARACTERS

pages = APIRouter(route_class=PageRoute, include_in_schema=False)
api = APIRouter(route_class=ApiRoute, include_in_schema=False)


@pages.get("/console/operations")
async def operations_page(request: Request) -> Response:
    """Answers, budget, stores, events, items and settings."""
    return render(request, "operations.html")


class OneItem(BaseModel):
    """An item to block, or to show again."""

    model_config = ConfigDict(strict=True)

    item_id: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]


@api.post("/console/api/items/block")
async def block_item(one: OneItem, services: AdminServices) -> JSONResponse:
    """Take an item out of every answer, on every replica within a second."""
    return await admin.block_item(one.item_id, services)


@api.post("/console/api/items/unblock")
async def unblock_item(one: OneItem, services: AdminServices) -> JSONResponse:
    """Let an item be shown again."""
    return await admin.unblock_item(one.item_id, services)
