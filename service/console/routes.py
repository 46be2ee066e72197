"""The two kinds of routes that pages are made of, and what an endpoint asks of them."""

import inspect
import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from service.api.error_table import STATUS_CODES
from service.api.lifecycle import lifecycle_of
from service.console.access import NOBODY, Visit
from service.console.console import console_of
from service.errors import ServiceError

_log = logging.getLogger(__name__)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

TOKEN_HEADER: Final = "x-console-token"  # noqa: S105  # the name of a header
"""What a module sends with every POST; `console.js` does it."""

_NOT_UNDER: Final = (
    "This console is open without a key, so it does not answer under a name that may be a stranger's. "
    "Use localhost or this machine's address, put the name into CONSOLE_HOSTS, or set CONSOLE_ACCESS=keyed."
)

_NO_SNIFFING: Final = {"X-Content-Type-Options": "nosniff"}

VISIT: Final = "personalize_connect.visit"
"""Of a request's scope: who sends it, a `Visit`."""


class PageRoute(APIRoute):
    """A page: shows the login to who has not logged in, and an error as a page. Its endpoint takes only the request."""

    def get_route_handler(self) -> Handler:
        """What answers a request."""

        async def answered(request: Request) -> Response:
            console = console_of(request)
            try:
                visit = arrive(request)
            except HTTPException as error:
                return error_page(request, error)
            if visit.entered:
                try:
                    response: Response = await self.endpoint(request)
                except Exception as error:  # noqa: BLE001  # a person is shown a page, and a bug is logged
                    response = error_page(request, error)
            else:
                response = login_page(request, HTTPStatus.UNAUTHORIZED)
            console.reception.keep_visit(request, response, visit)
            return response

        return answered


class ApiRoute(APIRoute):
    """What a page asks for: JSON. A POST needs the page's token. Errors are as everywhere in the service."""

    def get_route_handler(self) -> Handler:
        """What answers a request."""
        takes_only_the_request = list(inspect.signature(self.endpoint).parameters) == ["request"]
        answer: Handler = self.endpoint if takes_only_the_request else super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                visit = arrive(request)
            except HTTPException as error:
                return _refused(request, HTTPStatus(error.status_code), error.detail)
            if not visit.entered:
                return _refused(request, HTTPStatus.UNAUTHORIZED, "log in again: the session is over")
            token = request.headers.get(TOKEN_HEADER, "")
            if request.method != "GET" and not console_of(request).reception.may_post(request, visit, token):
                return _refused(request, HTTPStatus.FORBIDDEN, "load the page anew: its token is not known")
            response = await answer(request)
            response.headers.update(_NO_SNIFFING)
            return response

        return answered


def arrive(request: Request) -> Visit:
    """Who sends a request; noted for what answers it.

    Raises:
        HTTPException: An open console is asked under a name that may be a stranger's; 403.
    """
    reception = console_of(request).reception
    host = request.headers.get("host", "")
    if not reception.answers_under(host):
        request.scope[VISIT] = NOBODY
        raise HTTPException(HTTPStatus.FORBIDDEN, _NOT_UNDER)
    visit = reception.visit_of(request)
    request.scope[VISIT] = visit
    return visit


def render(request: Request, template: str, **values: Any) -> Response:  # noqa: ANN401  # see `Pages.render`
    """A page for who sends this request; see `Pages.render`."""
    console = console_of(request)
    return console.pages.render(template, request.scope[VISIT], is_open=console.reception.is_open, **values)


def login_page(request: Request, status: int, problem: str = "") -> Response:
    """The login, in the place of a page: after it the same page is there."""
    console = console_of(request)
    return render(
        request, "login.html", status=status, problem=problem, has_key=console.reception.has_key, next=_here(request)
    )


def error_page(request: Request, error: Exception) -> Response:
    """An error as people read it."""
    status, message = HTTPStatus.INTERNAL_SERVER_ERROR, "The fault is ours and has been logged."
    if isinstance(error, HTTPException):
        status, message = HTTPStatus(error.status_code), error.detail
    elif isinstance(error, ServiceError):
        codes = (code for kind, code in STATUS_CODES.items() if isinstance(error, kind))
        status, message = HTTPStatus(next(codes, status)), str(error)
    else:
        _log.error("unexpected error", exc_info=error)
    return render(request, "error.html", status=status, heading=status.phrase, message=message)


def _here(request: Request) -> str:
    """The page's own path below the console; empty for a form that was sent."""
    return str(request.scope["path"]).removeprefix("/console") if request.method == "GET" else ""


def _refused(request: Request, status: HTTPStatus, message: str) -> Response:
    path = getattr(request.scope.get("route"), "path", "")
    lifecycle_of(request).refusals.refuse(path, status, "", message)
    # No WWW-Authenticate: the browser would ask for a password itself.
    body = {"error": status.phrase.lower().replace(" ", "_"), "message": message}
    return JSONResponse(body, status, headers={"Cache-Control": "no-store", **_NO_SNIFFING})
