"""What an operator does while the service runs; every route needs an admin key."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse

from service.api.lifecycle import Services
from service.constants import MAX_ID_CHARACTERS
from service.errors import Unauthorized

ItemId = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARACTERS)]


def admin_services(request: Request) -> Services:
    """The services, for a caller with an admin key.

    Raises:
        Unauthorized: No admin key was sent.
    """
    services: Services = request.app.state.services
    if not services.gate.admits_admin(request.scope["headers"]):
        raise Unauthorized
    return services


AdminServices = Annotated[Services, Depends(admin_services)]

router = APIRouter(tags=["administration"])


@router.get("/items/blocked")
async def blocked_items(services: AdminServices) -> JSONResponse:
    """Ids that are in no answer."""
    ids = services.block_list.ids()
    return JSONResponse({"items": ids, "count": len(ids)})


@router.put("/items/{item_id:path}/block")
async def block_item(item_id: ItemId, services: AdminServices) -> JSONResponse:
    """Take an item out of every answer, on every replica within a second."""
    await services.block_list.block(item_id)
    return JSONResponse({"item_id": item_id, "blocked": True})


@router.delete("/items/{item_id:path}/block")
async def unblock_item(item_id: ItemId, services: AdminServices) -> JSONResponse:
    """Let an item be shown again."""
    await services.block_list.unblock(item_id)
    return JSONResponse({"item_id": item_id, "blocked": False})
