"""The short way for calls of a send: a fresh list, which most of them get, and a list that is yet to come.

It stands in front of the FastAPI application, answers what `service.api.hits` finds, and misses when their list has
come. It lets everything else through, errors included.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final, TypeAlias

from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.api.auth import CREDENTIALS
from service.api.entrance import entered
from service.api.headers import (
    REQUEST_ID,
    TRACEPARENT,
    lasting_headers,
    new_request_id,
    passing_headers,
    request_id_of,
    taken_apart,
    written,
)
from service.api.hits import Hits
from service.api.known_heads import KnownHeads
from service.api.lifecycle import ACCESS_LINE, ASKED, CLIENT_GONE, FAILED, LEAVING, Asked, Lifecycle, Services
from service.api.misses import Receive, answer_to
from service.api.turns import Turns
from service.constants import QUIET_PATHS, RANKING_PATH, RECOMMENDATIONS_PATH, SIMILAR_ITEMS_PATH
from service.errors import ConfigurationError
from service.models import RequestKind

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

KINDS: Final[Mapping[str, RequestKind]] = {
    RECOMMENDATIONS_PATH: "recommendations",
    SIMILAR_ITEMS_PATH: "similar-items",
    RANKING_PATH: "ranking",
}
"""What is asked for under each path."""

AT_ONCE_HEADERS: Final = CREDENTIALS | {REQUEST_ID, TRACEPARENT}
"""Those of a request that an answer depends on."""


class HitLane:
    """ASGI application around another one.

    Args:
        app: Answers what the lane does not.
        lifecycle: Of the process.
        root_path: The prefix under which a proxy passes all paths on.
    """

    def __init__(self, app: FastAPI, lifecycle: Lifecycle, root_path: str = "") -> None:
        self.application = app
        self._app: App = app
        self.lifecycle = lifecycle
        self.startup_error: ConfigurationError | None = None
        """Why the lifespan could not begin."""
        self._services: Services | None = None
        self._root_path = root_path
        self._answering: App = self._answer
        self._is_surrounded = False
        self._turns = Turns()
        self.heads = KnownHeads(AT_ONCE_HEADERS, time.monotonic)
        """Heads of requests that the parser has read before."""
        self._hits: Hits | None = None
        self._kinds = {f"{prefix}{path}".encode(): kind for path, kind in KINDS.items() for prefix in {"", root_path}}
        self._begins: tuple[Sequence[tuple[bytes, bytes]], int, bytes | None] = ((), -1, None)

    def open(self, services: Services) -> None:
        """Begin to answer; until then everything is let through."""
        self._services = services
        self._hits = Hits(services)

    def close(self) -> None:
        """Let everything through again."""
        self._services = self._hits = None

    def surround(self, around: Callable[[App], App]) -> None:
        """Let something stand around all answers, such as what makes a span of each."""
        self._answering = around(self._answer)
        self._is_surrounded = True

    def at_once(
        self, target: bytes, headers: Sequence[tuple[bytes, bytes]], servers: Sequence[tuple[bytes, bytes]]
    ) -> bytes | Asked | None:
        """The whole answer to a plain GET that keeps its connection, as `__call__` would have it sent; no wait.

        Args:
            target: Path and query as they came.
            headers: Of the request, at least those in `AT_ONCE_HEADERS`.
            servers: The headers that the server begins every answer with.

        Returns:
            None, or what was found out, where the request has to take the ordinary way.
        """
        services, hits = self._services, self._hits
        if services is None or hits is None or self._is_surrounded or self.lifecycle.phase != "ready":
            return None
        path, _, query_string = target.partition(b"?")
        kind = self._kinds.get(path)
        if kind is None or not services.gate.admits(headers):
            return None
        begin = self._begin(servers)
        if begin is None:
            return None
        found = hits.find(kind, query_string, services.clock.monotonic(), is_parsed=False)
        if not isinstance(found, tuple):
            return found
        head, body, age_seconds, counted, seconds = found
        request_id = request_id_of(headers) if headers else None
        logged = services.telemetry.sampled()
        if logged and request_id is None:
            request_id = new_request_id()
        services.telemetry.hit(counted, age_seconds, seconds, request_id if logged else None)
        named = b"" if request_id is None else written([(REQUEST_ID, request_id)])
        return b"".join((begin, head, named, b"\r\n", body))

    def _begin(self, servers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
        """How the server begins an answer; None where it would end the connection behind it."""
        # The server makes a new list each second, and may add to it.
        if self._begins[0] is not servers or self._begins[1] != len(servers):
            closes = any(name == b"connection" for name, _ in servers)
            self._begins = servers, len(servers), None if closes else STATUS_LINE[200] + written(servers)
        return self._begins[2]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        await self._answering(entered(scope, self._root_path), receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        services, hits = self._services, self._hits
        if services is None or hits is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope["headers"])
        logged = scope["path"] not in QUIET_PATHS and services.telemetry.sampled()
        if logged and request_id is None:
            request_id = new_request_id()
        is_callers = scope["path"] in KINDS and services.gate.admits(scope["headers"])
        if not is_callers and await self._turns.take() and scope["method"] == "GET":
            received = await receive()
            if received["type"] == "http.disconnect":
                return
            receive = _beginning_with(received, receive)
        if not is_callers or scope["method"] != "GET":
            await self._pass_on(services, scope, receive, send, request_id, logged=logged)
            return
        found = scope.get(ASKED)
        if found is None:
            found = hits.find(KINDS[scope["path"]], scope["query_string"], services.clock.monotonic())
        if isinstance(found, Asked):
            await self._missed(services, found, scope, receive, send, request_id=request_id, logged=logged)
            return
        if found is None:
            await self._pass_on(services, scope, receive, send, request_id, logged=logged)
            return
        head, body, age_seconds, counted, seconds = found
        headers = taken_apart(head)
        if request_id is not None:
            headers.append((REQUEST_ID, request_id))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        services.telemetry.hit(counted, age_seconds, seconds, request_id if logged else None)

    async def _missed(
        self,
        services: Services,
        asked: Asked,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        request_id: bytes | None,
        logged: bool,
    ) -> None:
        """Answer when the list has come; an error is the application's to put into words."""
        try:
            answer = await answer_to(services, asked, scope["headers"], receive, scope.get(LEAVING))
        except Exception as error:  # noqa: BLE001  # the route raises it again
            scope[FAILED] = error
            await self._pass_on(services, scope, receive, send, request_id, logged=logged)
            return
        seconds = services.clock.monotonic() - asked.began
        status, headers, body = CLIENT_GONE, [(b"content-length", b"0")], b""
        if answer is not None:
            services.telemetry.answered(answer, seconds, request_id if logged else None)
            status, headers, body = 200, lasting_headers(answer) + passing_headers(answer, seconds), answer.body
        elif logged and request_id is not None:
            services.telemetry.other(scope["path"], CLIENT_GONE, seconds, request_id)
        if request_id is not None:
            headers.append((REQUEST_ID, request_id))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _pass_on(
        self, services: Services, scope: Scope, receive: Receive, send: Send, request_id: bytes | None, *, logged: bool
    ) -> None:
        if request_id is not None:
            send = _naming(request_id, send)
        scope[ACCESS_LINE] = request_id if logged else None
        if not logged:
            await self._app(scope, receive, send)
            return
        began, status = services.clock.monotonic(), 0

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            # The route of recommendations has more to say, and takes the id away when it has said it.
            unsaid = scope[ACCESS_LINE]
            if unsaid is not None:
                route = getattr(scope.get("route"), "path", None)
                services.telemetry.other(route, status, services.clock.monotonic() - began, unsaid)


def _beginning_with(message: MutableMapping[str, Any], receive: Receive) -> Receive:
    """As `receive`, with a message that has been taken out already."""
    taken = [message]

    async def received() -> MutableMapping[str, Any]:
        return taken.pop() if taken else await receive()

    return received


def _naming(request_id: bytes, send: Send) -> Send:
    async def named(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (REQUEST_ID, request_id)]
        await send(message)

    return named
