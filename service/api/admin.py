"""What an operator asks while the service runs; what changes anything needs an admin key."""

import logging
from contextlib import nullcontext
from dataclasses import asdict
from functools import cache
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path as FilePath
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.exceptions import HTTPException

from service.api import path_ids  # noqa: F401  # registers `{...:id}`
from service.api.keyed_route import administrator, caller, keyed
from service.api.lifecycle import Services, services_of
from service.constants import (
    DEFAULT_NUM_RESULTS,
    MAX_ID_CHARACTERS,
    MAX_NUM_RESULTS,
    MAX_PREWARM_SECONDS,
    MAX_PREWARM_USERS,
)
from service.errors import InvalidQuery
from service.sends.ports import DEFAULT_SPARE, ItemListMaker, PrewarmTerms
from service.sends.prewarm.prewarmer import prewarmed_placement

_log = logging.getLogger(__name__)

DISTRIBUTION: Final = "personalize-connect"

REVISION_FILE: Final = FilePath(__file__).parents[1] / "REVISION"
"""Written when the image is built."""

ItemId = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARACTERS)]
UserId = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARACTERS)]
WantedUserId = Annotated[
    str, StringConstraints(strip_whitespace=True), Field(min_length=1, max_length=MAX_ID_CHARACTERS)
]


AdminServices = Annotated[Services, Depends(services_of)]


class Wanted(BaseModel):
    """Users, or items, whose lists are to be fetched before a send."""

    model_config = ConfigDict(strict=True)

    user_ids: Annotated[list[WantedUserId] | None, Field(max_length=MAX_PREWARM_USERS)] = None
    item_ids: Annotated[list[WantedUserId] | None, Field(max_length=MAX_PREWARM_USERS)] = None
    seconds: Annotated[float, Field(ge=0, le=MAX_PREWARM_SECONDS)] = MAX_PREWARM_SECONDS
    spare: Annotated[float, Field(gt=0, le=1)] = DEFAULT_SPARE
    num_results: Annotated[int, Field(ge=1, le=MAX_NUM_RESULTS)] = DEFAULT_NUM_RESULTS
    max_age_seconds: Annotated[float, Field(ge=0)] = 0.0
    placement: str = ""


def _prewarmer_of(services: Services, name: str, *, items: bool) -> ItemListMaker:
    kinds = {one.name: one.kind for one in services.placements}
    placement = prewarmed_placement(kinds, name, items=items)
    prewarmer = services.administration.prewarmers[placement]
    refusal = prewarmer.refusal_of(items=items)
    if refusal is not None:
        raise InvalidQuery("placement", refusal)
    return prewarmer


router = APIRouter(tags=["administration"], route_class=keyed(administrator))
versions = APIRouter(route_class=keyed(caller))


@router.delete("/users/{user_id:id}")
async def forget_user(user_id: UserId, services: AdminServices) -> JSONResponse:
    """Forget all that is kept of a user, on every replica.

    What is on its way from Personalize is not kept either.
    """
    await services.administration.forgetting.forget(user_id)
    _log.info("user forgotten")
    return JSONResponse({"forgotten": True})


@router.post("/users/prewarm")
async def prewarm_users(wanted: Wanted, services: AdminServices) -> JSONResponse:
    """Fetch lists before a send, in slots of the budget that no caller wants.

    Answers within `seconds`, and the time that a transaction takes, who is left; nothing is queued. One at a time,
    but for those with 0 seconds, which only look.
    """
    names = wanted.item_ids if wanted.user_ids is None else wanted.user_ids
    if names is None or (wanted.item_ids is not None and wanted.user_ids is not None):
        raise InvalidQuery("user_ids", "exactly one of user_ids and item_ids is needed")
    if any(name.startswith("{") for name in names):
        raise InvalidQuery("user_ids" if wanted.item_ids is None else "item_ids", "an id begins with {, as JSON does")
    prewarmer = _prewarmer_of(services, wanted.placement, items=wanted.item_ids is not None)
    turn = services.administration.prewarm_turn
    if turn.locked() and wanted.seconds:
        raise HTTPException(HTTPStatus.CONFLICT, "Another prewarm is under way")
    terms = PrewarmTerms(wanted.spare, wanted.num_results, wanted.max_age_seconds, wanted.placement)
    async with turn if wanted.seconds else nullcontext():
        report = await prewarmer.make(list(dict.fromkeys(names)), terms, seconds=wanted.seconds)
    return JSONResponse(asdict(report))


@router.get("/items/asked")
async def asked_items(services: AdminServices, placement: str = "") -> JSONResponse:
    """Ids of the items that a placement was asked for lately in this replica, the latest first."""
    items = await _prewarmer_of(services, placement, items=True).recent_items()
    return JSONResponse({"items": items, "count": len(items)})


@router.get("/items/blocked")
async def blocked_items(services: AdminServices) -> JSONResponse:
    """Ids that are in no answer."""
    ids = services.administration.block_list.ids()
    return JSONResponse({"items": ids, "count": len(ids)})


@router.put("/items/{item_id:id}/block")
async def block_item(item_id: ItemId, services: AdminServices) -> JSONResponse:
    """Take an item out of every answer, on every replica within a second."""
    await services.administration.block_list.block(item_id)
    return JSONResponse({"item_id": item_id, "blocked": True})


@router.delete("/items/{item_id:id}/block")
async def unblock_item(item_id: ItemId, services: AdminServices) -> JSONResponse:
    """Let an item be shown again."""
    await services.administration.block_list.unblock(item_id)
    return JSONResponse({"item_id": item_id, "blocked": False})


@versions.get("/version")
async def running_version(request: Request) -> JSONResponse:
    """Which version answers."""
    del request
    return JSONResponse({"name": DISTRIBUTION, "version": installed_version(), "commit": built_from()})


def built_from() -> str | None:
    """The commit that the image was built from; None elsewhere."""
    try:
        return REVISION_FILE.read_text("utf-8").strip() or None
    except OSError:
        return None


@cache
def installed_version() -> str:
    """The version that is installed; `unknown` in a checkout that is not."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
