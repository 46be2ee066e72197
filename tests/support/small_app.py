"""A few routes over services that a test makes up: what a route does, without a whole service behind it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI

from service.api import error_table
from service.api.lifecycle import Lifecycle, install_lifecycle


class Refused:
    """Keeps what is refused: route, status, parameter and reason."""

    def __init__(self) -> None:
        self.kinds: list[tuple[Any, ...]] = []

    def refuse(self, *kind: Any) -> None:  # noqa: ANN401  # as above
        self.kinds.append(kind)


@asynccontextmanager
async def serving(
    routers: Sequence[APIRouter],
    services: object,
    **more: Any,  # noqa: ANN401  # of a lifecycle
) -> AsyncIterator[tuple[httpx.AsyncClient, Refused]]:
    """A client of these routes, and what they refuse.

    Args:
        routers: Have the routes.
        services: Whatever the routes ask.
        more: Attributes of the lifecycle.
    """
    app, refused = FastAPI(openapi_url=None), Refused()
    for one in routers:
        app.router.routes.extend(one.routes)
    error_table.install(app, routers)
    lifecycle = Lifecycle(**{"phase": "ready", "refusals": refused, "running": services, **more})
    install_lifecycle(app, lifecycle)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://recs.test") as http:
        yield http, refused
