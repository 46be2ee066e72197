"""The application: the hit lane, the routes behind it, and their lifespan."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import structlog
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles

from service.api import admin, error_table, explain, go, pages
from service.api.answers import router as answers_router
from service.api.connection_metrics import ConnectionMetrics
from service.api.events import router as events_router
from service.api.events import users as users_router
from service.api.hit_lane import HitLane
from service.api.lifecycle import Lifecycle, install_lifecycle
from service.api.refusals import Refusals
from service.api.routes import metrics_router, router
from service.clock import SystemClock
from service.errors import ConfigurationError
from service.settings import Settings
from service.tasks import stop_task
from service.wiring.replica import Overrides, open_services

_log = structlog.stdlib.get_logger(__name__)

SAMPLE_IMAGES = Path(__file__).parents[1] / "sample" / "images"
"""Pictures of the sample shop, served where a checkout has them."""


SAY_SECONDS: Final = 5.0
"""Between two looks whether a line on refusals is due."""


@asynccontextmanager
async def _saying(refusals: Refusals) -> AsyncIterator[None]:
    """Log what is refused as its minute passes, for as long as the block lasts."""

    async def say() -> None:
        while True:
            await asyncio.sleep(SAY_SECONDS)
            refusals.say()

    task = asyncio.create_task(say(), name="refusals")
    try:
        yield
    finally:
        await stop_task(task)
        refusals.say(all_of_it=True)


def create_app(settings: Settings, overrides: Overrides | None = None) -> HitLane:
    """The ASGI application; its lifespan opens and closes everything."""
    clock = (overrides and overrides.clock) or SystemClock()
    refusals = Refusals(clock.monotonic, settings.root_path)
    lifecycle = Lifecycle(refusals=refusals)
    lifecycle.connections.on_refused = refusals.refuse

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                services = await stack.enter_async_context(open_services(settings, overrides))
            except ConfigurationError as error:
                # The command line prints it; uvicorn would only log it with its traceback.
                lane.startup_error = error
                raise
            lifecycle.running = services
            lane.open(services)
            services.telemetry.registry.register(ConnectionMetrics(lifecycle.connections))
            services.telemetry.registry.register(refusals)
            await stack.enter_async_context(_saying(refusals))
            if console is not None:
                await stack.enter_async_context(console.previews)
                await stack.enter_async_context(console.opened(services.telemetry, services.clock))
            lifecycle.on_hangup = services.administration.catalog.refresh_now
            stack.callback(lane.close)
            lifecycle.phase = "ready"
            _log.info("ready", **services.about)
            try:
                yield
            finally:
                lifecycle.phase = "draining"
        _log.info("stopped")

    app = FastAPI(
        title="personalize-connect",
        description="Amazon Personalize recommendations for Braze Connected Content.",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    install_lifecycle(app, lifecycle)
    administration = (explain.router, admin.router, users_router, admin.versions)
    routers = [answers_router, events_router, go.router, router, metrics_router, *administration, pages.router]
    console = None
    if settings.console_access != "off":
        # Nothing of it is imported where it is off.
        from service.wiring.console import ROUTERS, build_console, install_console  # noqa: PLC0415  # an optional room

        console = build_console(settings, clock)
        install_console(app, console)
        routers += ROUTERS
    for one in routers:
        # `include_router` would work out each route anew, in the middle of the first request that looks for one.
        app.router.routes.extend(one.routes)
    error_table.install(app, routers)
    refusals.know(route.path for one in routers for route in one.routes if isinstance(route, APIRoute))
    if SAMPLE_IMAGES.is_dir():
        app.mount("/sample/images", StaticFiles(directory=SAMPLE_IMAGES))
    lane = HitLane(app, lifecycle, settings.root_path)
    return lane
