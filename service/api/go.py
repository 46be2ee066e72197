"""Links that record a click and lead on to the item's page, for those who get no clicks from Braze.

A link names an item, and leads to what the catalogue says of it: never to an address that somebody has put in.
"""

import asyncio
from hashlib import blake2b
from http import HTTPStatus
from typing import Final

import orjson
import structlog
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from service.api.entrance import HEAD_ONLY
from service.api.lifecycle import ClickRoutes, services_of
from service.attribution import Click, attributed
from service.errors import SharedStateUnavailable
from service.events.event import Event, EventProblem, session_of

KEEP_SECONDS: Final = 1.0
"""Longest that the click is waited for before the reader is led on."""

_log = structlog.stdlib.get_logger(__name__)

router = APIRouter(tags=["events"])


@router.get(
    "/go/{token}",
    status_code=HTTPStatus.FOUND,
    response_class=RedirectResponse,
    responses={404: {"description": "No link of ours, or its item is no longer in the catalogue."}},
)
async def go(token: str, request: Request) -> Response:
    """Record a click, and lead on to the item's page."""
    services = services_of(request)
    routes = services.clicks
    click = None if routes is None else routes.links.read(token)
    if routes is None or click is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    url = await _url_of(routes, click)
    if url is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    # Scanners of mail ask for the head only; nobody has clicked then.
    if HEAD_ONLY not in request.scope and click.user_id:
        await _keep(routes, click, token, services.clock.time())
    return RedirectResponse(url, HTTPStatus.FOUND, headers={"Cache-Control": "no-store"})


async def _url_of(routes: ClickRoutes, click: Click) -> str | None:
    catalog = routes.catalog.snapshot
    await catalog.prefetch([click.item_id], KEEP_SECONDS)
    (row,) = catalog.rows([click.item_id])
    return None if row is None else attributed(orjson.loads(row.fragment)["url"], click.parameters)


async def _keep(routes: ClickRoutes, click: Click, token: str, now: float) -> None:
    event = Event(
        event_type=routes.event_type,
        user_id=click.user_id,
        session_id=session_of(click.user_id, now),
        sent_at=now,
        # One of a link: a second click on it says nothing more.
        event_id=f"go-{blake2b(token.encode(), digest_size=16).hexdigest()}",
        item_id=click.item_id,
        recommendation_id=click.recommendation_id,
        attribution_source=click.attribution_source,
    )
    try:
        async with asyncio.timeout(KEEP_SECONDS):
            await routes.intake.take([event])
    except (SharedStateUnavailable, EventProblem, TimeoutError) as error:
        _log.warning("click_not_kept", cause=type(error).__name__)
