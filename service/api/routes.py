"""The pages that machines read: liveness, readiness, metrics."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.api.keyed_route import keyed, reader_of_metrics
from service.api.lifecycle import lifecycle_of, services_of

router = APIRouter()
metrics_router = APIRouter(route_class=keyed(reader_of_metrics))


@router.get("/livez")
async def livez() -> Response:
    """The process runs."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz", responses={503: {"description": "Starting or draining."}})
async def readyz(request: Request) -> Response:
    """It can answer; 503 while starting or draining."""
    lifecycle = lifecycle_of(request)
    return JSONResponse({"status": lifecycle.phase}, 200 if lifecycle.phase == "ready" else 503)


@metrics_router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Prometheus."""
    return Response(generate_latest(services_of(request).telemetry.registry), media_type=CONTENT_TYPE_LATEST)
