"""The pages that machines read: liveness, readiness, metrics."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.api.lifecycle import lifecycle_of, services_of

router = APIRouter()


@router.get("/livez")
async def livez() -> Response:
    """The process runs."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz", responses={503: {"description": "Starting or draining."}})
async def readyz(request: Request) -> Response:
    """It can answer; 503 while starting or draining."""
    lifecycle = lifecycle_of(request)
    return JSONResponse({"status": lifecycle.phase}, 200 if lifecycle.phase == "ready" else 503)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Prometheus."""
    services = services_of(request)
    services.gate.let_in(services.limits.metrics_access, request.scope["headers"])
    return Response(generate_latest(services.telemetry.registry), media_type=CONTENT_TYPE_LATEST)
