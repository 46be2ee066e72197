"""Routes that ask for the key before anything of a request is decoded.

FastAPI reads and parses a body, and takes the query apart, before it looks at a dependency. So the key is no
dependency here: it is asked for in front of FastAPI's part of a route.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from service.api.lifecycle import services_of
from service.api.query import is_utf8
from service.errors import InvalidQuery, Unauthorized

Admission = Callable[[Request], Awaitable[None]]
"""Does nothing for a caller who may go on.

Raises:
    Unauthorized: No known credential was sent.
"""


class KeyedRoute(APIRoute):
    """A route behind an admission. An endpoint that takes only the request gets it as it came."""

    admission: ClassVar[Admission]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        admit = type(self).admission
        takes_only_the_request = list(inspect.signature(self.endpoint).parameters) == ["request"]
        answer = self.endpoint if takes_only_the_request else super().get_route_handler()

        async def admitted(request: Request) -> Response:
            await admit(request)
            response: Response = await answer(request)
            return response

        return admitted


def keyed(admit: Admission) -> type[KeyedRoute]:
    """The class of the routes behind this admission."""
    return type("KeyedRoute", (KeyedRoute,), {"admission": staticmethod(admit)})


async def caller(request: Request) -> None:
    """Let in who may read recommendations."""
    if not await services_of(request).gate.lets_in(request.scope["headers"]):
        raise Unauthorized


async def administrator(request: Request) -> None:
    """Let in who may administrate.

    Raises:
        InvalidQuery: The id in the path is not UTF-8; decoded all the same, it would be that of somebody else.
    """
    if not await services_of(request).gate.lets_administrate(request.scope["headers"]):
        raise Unauthorized
    if not is_utf8(request.scope["raw_path"]):
        raise InvalidQuery(next(iter(request.path_params), "path"), "is not UTF-8")


async def reader_of_docs(request: Request) -> None:
    """Let in who may read the documentation.

    Raises:
        HTTPException: It is off; 404.
    """
    services = services_of(request)
    await services.gate.let_in(services.limits.docs_access, request.scope["headers"])


async def reader_of_metrics(request: Request) -> None:
    """Let in who may read the metrics.

    Raises:
        HTTPException: They are off; 404.
    """
    services = services_of(request)
    await services.gate.let_in(services.limits.metrics_access, request.scope["headers"])


async def sender_of_events(request: Request) -> None:
    """Let in who may send events.

    Raises:
        HTTPException: Nobody may, since no EVENT_KEYS are set; 404.
    """
    events = services_of(request).events
    if events is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    if not await events.gate.lets_in(request.scope["headers"]):
        raise Unauthorized
