"""Which error has which status; the only place that knows."""

import logging
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from service.api.auth import CREDENTIALS
from service.api.bodies import PACKED, is_packed
from service.api.lifecycle import CLIENT_GONE, lifecycle_of, services_of
from service.constants import RANKING_PATH, RECOMMENDATIONS_PATH, SIMILAR_ITEMS_PATH
from service.errors import BlockListFull, InvalidQuery, ServiceError, SharedStateUnavailable, TryLater, Unauthorized

_log = logging.getLogger(__name__)

STATUS_CODES: dict[type[ServiceError], int] = {
    InvalidQuery: 422,
    Unauthorized: 401,
    BlockListFull: 409,
    # Only administration meets it: recommendations go on without Redis.
    SharedStateUnavailable: 503,
    # Only the console meets it.
    TryLater: 503,
}


def install(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Make every error of the application a JSON body without a traceback.

    Args:
        app: Has the routers, but does not tell what is in them.
        routers: Theirs are the methods that a wrong one is answered with.
    """
    methods = _Methods([route for router in routers for route in router.routes if isinstance(route, APIRoute)])
    app.add_exception_handler(InvalidQuery, _invalid)
    app.add_exception_handler(Unauthorized, _unauthorized)
    app.add_exception_handler(BlockListFull, _full)
    app.add_exception_handler(SharedStateUnavailable, _unavailable)
    app.add_exception_handler(TryLater, _later)
    app.add_exception_handler(RequestValidationError, _wrong_path)
    app.add_exception_handler(HTTPException, methods.http)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _bug)


def _body(status_code: int, error: str, message: str, **more: Any) -> JSONResponse:  # noqa: ANN401  # JSON values
    return JSONResponse(
        {"error": error, "message": message, **more}, status_code, headers={"Cache-Control": "no-store"}
    )


def _count(request: Request, status: int, reason: str, parameter: str = "") -> None:
    """Tell metrics and log of a refusal."""
    lifecycle_of(request).refusals.refuse(getattr(request.scope.get("route"), "path", ""), status, parameter, reason)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InvalidQuery)  # noqa: S101  # registered for this class only
    _count(request, STATUS_CODES[InvalidQuery], error.reason, error.field)
    return _body(STATUS_CODES[InvalidQuery], "invalid_parameter", error.message, field=error.field)


async def _unauthorized(request: Request, _: Exception) -> JSONResponse:
    services_of(request).telemetry.unauthorized.inc()
    has_any = not CREDENTIALS.isdisjoint(name for name, _ in request.scope["headers"])
    reason = "the credential is not known" if has_any else "no credential was sent"
    _count(request, STATUS_CODES[Unauthorized], reason)
    await lifecycle_of(request).wrong_credentials.wait()
    answer = _body(
        STATUS_CODES[Unauthorized],
        "unauthorized",
        "send a known key in X-API-Key or Authorization: Bearer, or HTTP Basic",
    )
    answer.headers["WWW-Authenticate"] = 'Basic realm="personalize-connect"'
    answer.headers["Connection"] = "close"
    return answer


async def _full(request: Request, error: Exception) -> JSONResponse:
    _count(request, STATUS_CODES[BlockListFull], str(error))
    return _body(STATUS_CODES[BlockListFull], "full", str(error))


async def _unavailable(_: Request, error: Exception) -> JSONResponse:
    message = str(error) or "Redis does not answer"
    return _body(STATUS_CODES[SharedStateUnavailable], "unavailable", f"{message}; the change does not hold, try again")


async def _later(_: Request, error: Exception) -> JSONResponse:
    return _body(STATUS_CODES[TryLater], "try_later", str(error))


async def _wrong_path(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this class only
    first = error.errors()[0]
    # The innermost name; it begins with where it stands, and what follows is a place in a list.
    name = [one for one in first["loc"] if isinstance(one, str)][-1]
    place = first["loc"][-1]
    _count(request, STATUS_CODES[InvalidQuery], str(first["type"]).replace("_", " "), name)
    # What comes as a form or without a type is not parsed, and curl sends a form.
    message = NO_JSON if first["type"] == "model_attributes_type" else str(first["msg"])
    if place != name:
        message += f" (at place {place + 1})"
    return _body(422, "invalid_parameter", message, field=name)


NO_JSON: Final = "is not a JSON object; send one with Content-Type: application/json"

NO_SUCH_PATH: Final = (
    f"there is no such path; templates call {RECOMMENDATIONS_PATH}, {SIMILAR_ITEMS_PATH}, {RANKING_PATH}"
)


class _Methods:
    """Answers what the framework refuses; knows which methods a path has."""

    def __init__(self, routes: Sequence[APIRoute]) -> None:
        self._routes = routes

    async def http(self, request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class only
        if error.status_code == HTTPStatus.BAD_REQUEST:
            # The framework's answer to a body that is not text; one that is not JSON is a wrong parameter to it too.
            why = PACKED if is_packed(request) else "is not JSON"
            _count(request, STATUS_CODES[InvalidQuery], why, "body")
            return _body(422, "invalid_parameter", why, field="body")
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            error.headers = {"Allow": self._of(request.scope["path"])}
        if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            _count(request, error.status_code, error.detail)
        is_no_path = error.status_code == HTTPStatus.NOT_FOUND and "route" not in request.scope
        message = NO_SUCH_PATH if is_no_path else error.detail
        answer = _body(error.status_code, re.sub(r"\W+", "_", error.detail.lower()), message)
        answer.headers.update(error.headers or {})
        return answer

    def _of(self, path: str) -> str:
        """All methods of a path; the framework names those of the first route that has it.

        HEAD goes wherever GET does. Pictures of the sample are no route, and are read.
        """
        found = {method for one in self._routes if one.path_regex.match(path) for method in one.methods or ()}
        if "GET" in found or not found:
            found |= {"GET", "HEAD"}
        return ", ".join(sorted(found))


async def _gone(*_: object) -> Response:
    """For nobody: the client has left before its body was there, or has been refused meanwhile."""
    return Response(status_code=CLIENT_GONE)


async def _bug(_: Request, error: Exception) -> JSONResponse:
    _log.error("unexpected error", exc_info=error)
    return _body(500, "internal_error", "the fault is ours and has been logged")
