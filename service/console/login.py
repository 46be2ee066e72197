"""Logging in and out, the files of the pages, and what there is not."""

from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from service.api.lifecycle import lifecycle_of, services_of
from service.console.console import console_of
from service.console.pages import NAVIGATION
from service.console.routes import PageRoute, arrive, login_page
from service.credentials import MAX_SECRET_BYTES

_log = structlog.stdlib.get_logger(__name__)

MAX_FORM_BYTES: Final = 4 * MAX_SECRET_BYTES
"""Of the login form: a key, every byte of it escaped, and a token."""

router = APIRouter(include_in_schema=False)

last = APIRouter(route_class=PageRoute, include_in_schema=False)
"""After all other routes of the console."""


@router.get("/console/static/{digest}/{name}")
async def file_of_pages(digest: str, name: str, request: Request) -> Response:
    """A file that pages load; there is nothing of anybody in it."""
    return console_of(request).pages.file(digest, name)


@router.get("/console/login")
async def login_again(request: Request) -> Response:
    """Somebody reloads the page that said that a key is wrong."""
    return _to(request, "")


@router.post("/console/login")
async def log_in(request: Request) -> Response:
    """Begin a session for who sends an admin key."""
    console, visit = console_of(request), arrive(request)
    form = _fields(await request.body())
    if console.reception.is_open or visit.entered:
        return _to(request, form.get("next", ""))
    if not console.reception.may_post(request, visit, form.get("token", "")):
        response = login_page(request, HTTPStatus.FORBIDDEN, "The page was too old, or cookies are off. Try again.")
        console.reception.keep_visit(request, response, visit)
        return response
    headers = [(b"x-api-key", form.get("key", "").strip().encode())]
    if not await services_of(request).gate.lets_administrate(headers):
        lifecycle = lifecycle_of(request)
        services_of(request).telemetry.unauthorized.inc()
        lifecycle.refusals.refuse("/console/login", HTTPStatus.UNAUTHORIZED, "", "the admin key is not known")
        await lifecycle.wrong_credentials.wait()
        return login_page(request, HTTPStatus.UNAUTHORIZED, "This admin key is not known.")
    if not console.reception.is_shared:
        _log.warning(
            "console_sessions_local",
            problem="all admin keys are hashed: other replicas do not know this login, nor this one after a restart",
            remedy="set CONSOLE_SECRET to the same random text on every replica",
        )
    response = _to(request, form.get("next", ""))
    console.reception.log_in(request, response)
    return response


@router.post("/console/logout")
async def log_out(request: Request) -> Response:
    """Let the browser forget its session."""
    console, visit = console_of(request), arrive(request)
    form = _fields(await request.body())
    response = _to(request, "")
    if console.reception.may_post(request, visit, form.get("token", "")):
        console.reception.log_out(request, response)
    return response


@last.get("/console/{rest:path}")  # noqa: FAST003  # the path is in the request
async def no_such_page(request: Request) -> Response:
    """Say so.

    Raises:
        HTTPException: Always; 404.
    """
    raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no page {request.scope['path']}.")


def _fields(body: bytes) -> dict[str, str]:
    """The fields of a form, the last of each name; none of one that is too long."""
    if len(body) > MAX_FORM_BYTES:
        return {}
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=10)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in fields.items()}


def _to(request: Request, path: str) -> Response:
    """To a page of the console; whatever is not one leads to the first."""
    known = path if path in {link.path for link in NAVIGATION} else ""
    return RedirectResponse(f"{console_of(request).pages.root}{known}", HTTPStatus.SEE_OTHER)
