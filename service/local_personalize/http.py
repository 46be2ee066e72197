"""The application: a request in, an answer out. What is answered is up to the surfaces.

A surface is one API of the process, such as the runtime. The first surface that knows a request answers it, so that a
further API is a class with `handler` and an entry in `app.create_app`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from uuid import uuid4

import orjson

from service.hosts import is_from_own, is_near
from service.local_personalize.refusals import (
    Refusal,
    invalid_input,
    not_for_pages,
    not_under_this_name,
    unknown_operation,
)

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

MAX_BODY_BYTES: Final = 1_048_576
"""Above the largest valid call: 500 ids of 256 characters in a ranking."""

RESET: Final = "local_personalize.reset"
"""The ASGI extension through which a request can reset its connection; the server has it."""

MAX_HANG_SECONDS: Final = 65.0
"""Longer than the SDK's default read timeout of 60 s."""


class Answer(NamedTuple):
    """What is sent back."""

    status: int
    body: bytes
    error_code: str | None = None
    """What botocore reports as the error code."""


class Request:
    """One HTTP request with its whole body."""

    __slots__ = ("_receive", "_scope", "body", "method", "path")

    def __init__(self, scope: "Scope", receive: "Receive", body: bytes) -> None:
        self._scope = scope
        self._receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.body = body

    def header(self, wanted: bytes) -> str:
        """The header of this name in lower case; empty if there is none."""
        return next((value.decode("latin-1") for name, value in self._scope["headers"] if name == wanted), "")

    async def hang(self) -> None:
        """Give no answer until the caller leaves, at most for `MAX_HANG_SECONDS`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_HANG_SECONDS):
                while (await self._receive())["type"] != "http.disconnect":
                    pass

    async def reset(self) -> None:
        """Reset the connection without an answer."""
        self._scope["extensions"][RESET]["reset"]()
        await self.hang()


Handler = Callable[[Request], Awaitable[Answer | None]]
"""Answers a request, or gives None where the caller is to get no answer; may raise `Refusal`."""


class Surface(Protocol):
    """One API of the process."""

    def handler(self, request: Request) -> Handler | None:
        """What answers this request; None if it is none of this API."""


class Application:
    """The ASGI application.

    Args:
        surfaces: Asked in this order.
        hosts: Names under which it answers, beside addresses and those without a dot.
    """

    def __init__(self, surfaces: Sequence[Surface], hosts: Collection[str] = ()) -> None:
        self._surfaces = surfaces
        self._hosts = hosts

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one HTTP request; an error that the SDK knows is answered in its shape."""
        if scope["type"] != "http":
            raise NotImplementedError(f"{scope['type']} is not served")
        try:
            request = Request(scope, receive, await _read_body(receive))
            self._keep_out_pages(request)
            answer = await self._answer(request)
        except Refusal as refusal:
            answer = Answer(refusal.status, orjson.dumps({"message": refusal.message}), refusal.code)
        if answer is not None:
            await _send(answer, send)

    def _keep_out_pages(self, request: Request) -> None:
        """Answer no page of a browser, neither one that sends here nor one whose own name leads here.

        Nothing here asks for a key, and a batch job writes files.
        """
        if not is_near(request.header(b"host"), self._hosts):
            raise not_under_this_name()
        if not is_from_own(request.header(b"origin"), self._hosts):
            raise not_for_pages()

    async def _answer(self, request: Request) -> Answer | None:
        for surface in self._surfaces:
            if handler := surface.handler(request):
                return await handler(request)
        raise unknown_operation(request.method, request.path)


async def _read_body(receive: "Receive") -> bytes:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise invalid_input("The request body is larger than 1 MiB")
        more = message.get("more_body", False)
    return body


async def _send(answer: Answer, send: "Send") -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer.body)).encode()),
        (b"x-amzn-requestid", str(uuid4()).encode()),
    ]
    if answer.error_code is not None:
        headers.append((b"x-amzn-errortype", answer.error_code.encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
