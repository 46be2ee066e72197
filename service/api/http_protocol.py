"""HTTP as Braze's templates make it, and what a connection may cost.

Authors seldom write `url_param_escape`, and not every client on the way escapes what they leave out. The parser
refuses bytes outside ASCII and spaces in a request's target, which would cost that user the message.

Whoever holds a connection without asking anything holds nobody up: a request has to arrive within
`REQUEST_SECONDS`, an answer has to be taken within `TAKING_SECONDS`, and when there is no room left, the connection
that has been silent longest makes room.
"""

import asyncio
import logging
import re
import resource
from itertools import islice
from typing import Any, Final
from weakref import WeakKeyDictionary

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.api.limits import (
    BODY_TOO_LARGE,
    HEAD_TOO_LARGE,
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    MAX_TARGET_BYTES,
    Refusal,
    refusal_of,
)

MAX_PIPELINED: Final = 32
"""Requests of one connection that wait for the one before them; Braze sends none ahead."""

MAX_CONNECTIONS: Final = 8_192
"""Open at a time; fewer where the process may open fewer files."""

FILES_KEPT_BACK: Final = 256
"""Of the files a process may open, for Redis, Personalize, the catalogue and the log."""

REQUEST_SECONDS: Final = 10.0
"""From the first byte of a request to its last; a slow phone's takes two, and Braze's one packet."""

TAKING_SECONDS: Final = 20.0
"""How long a client may leave an answer untaken that does not fit into the socket's buffer."""

LINGERING_SECONDS: Final = 2.0
"""What a refused client still sends is read and dropped for so long: a connection closed before would be reset, and
the refusal lost with it."""

_UNSAFE = re.compile(rb"[^\x21-\x7e]")
_REQUEST_LINE = re.compile(rb"([A-Z]+ )([^\x00-\x1f\x7f]+)( HTTP/1\.[01]\r?)")

# Only errors: a line for each packet that is no HTTP would let anybody fill the disk.
_logger = logging.getLogger("uvicorn.error.http")
_logger.setLevel(logging.ERROR)

# Connections that were never answered, the oldest first, for each server.
_newcomers: WeakKeyDictionary[ServerState, dict["TolerantProtocol", None]] = WeakKeyDictionary()

_MAX_EXAMINED = 100


def _most_connections() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files < 0 else max(1, min(MAX_CONNECTIONS, files - FILES_KEPT_BACK))


class TolerantProtocol(HttpToolsProtocol):
    """Uvicorn's own; percent-encodes what a request's target may not hold, bounds everything, refuses in JSON.

    Only the first of several pipelined requests in one packet is helped. Control characters stay refused.
    """

    most_connections = _most_connections()

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # whatever uvicorn passes
        super().__init__(*args, **kwargs)
        self.logger = _logger
        self._newcomers = _newcomers.setdefault(self.server_state, {})
        self._between_requests = True
        self._in_head = True
        self._unparsed = b""
        self._head_bytes = 0
        self._body_bytes = 0
        self._refused = False
        self._under_way: RequestResponseCycle | None = None
        self._late: asyncio.TimerHandle | None = None
        self._untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Make room if there is none."""
        super().connection_made(transport)
        self._newcomers[self] = None
        if len(self.connections) > self.most_connections:
            examined = islice(self._newcomers, _MAX_EXAMINED)
            next((one for one in examined if not one.asking), self).transport.abort()
        # Uvicorn itself would wait for the first byte for ever.
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    @property
    def asking(self) -> bool:
        """Whether a request has been passed on and not been answered."""
        # Uvicorn declares it as always there, but has None until the first request.
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop every clock."""
        self._newcomers.pop(self, None)
        self._unset_keepalive_if_required()
        for clock in (self._late, self._untaken):
            if clock is not None:
                clock.cancel()
        # Uvicorn tells only the request that was parsed last; with others ahead of it, it is not the one under way.
        if self._under_way is not None:
            self._under_way.disconnected = True
            self._under_way.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; a request's first line is held until it is there as a whole."""
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        if self._between_requests:
            data = self._unparsed + data
            end = data.find(b"\n")
            # What begins otherwise is no HTTP, a TLS handshake for example, and is refused without a wait.
            if end < 0 and data[:1].isupper() and len(data) < MAX_TARGET_BYTES:
                self._unparsed = data
                self._expect_the_rest()
                return
            self._unparsed = b""
            line = data[:end]
            if not line.isascii() or line.count(b" ") > 2:  # noqa: PLR2004  # METHOD, target, version
                data = _escaped(line) + data[end:]
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_TARGET_BYTES + MAX_HEADER_BYTES:
            self._refuse(HEAD_TOO_LARGE)
        if not self._between_requests and not self._refused:
            self._expect_the_rest()

    def pause_writing(self) -> None:
        """The client is slow to take its answer."""
        super().pause_writing()
        self._untaken = self.loop.call_later(TAKING_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It goes on."""
        super().resume_writing()
        if self._untaken is not None:
            self._untaken.cancel()

    def on_message_begin(self) -> None:
        """From here on the bytes are the parser's."""
        self._between_requests = False
        self._body_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Let the application answer, unless the request is larger than anything it would look at.

        Raises:
            ValueError: Too many requests wait; those are answered, then the connection is closed.
        """
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests ahead of their answers")
        refusal = None
        if self._head_bytes > MAX_HEADER_BYTES or self.parser.get_method() != b"GET":
            refusal = refusal_of(self.url, self.headers)
        self._in_head = False
        self._head_bytes = 0
        application = self.app
        if refusal is not None:
            self.app = refusal
        super().on_headers_complete()
        self.app = application

    def on_body(self, body: bytes) -> None:
        """Keep what a route may read, within bounds; drop the rest."""
        if self.cycle.response_complete or self.scope["method"] == "GET":
            return
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse(BODY_TOO_LARGE)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The next bytes begin a request."""
        self._between_requests = self._in_head = True
        if self._late is not None:
            self._late.cancel()
            self._late = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Whoever was answered once is no newcomer."""
        self._newcomers.pop(self, None)
        super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._under_way = cycle
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Say in JSON, as with every other error, that this was no HTTP."""
        self._refuse(Refusal(400, "bad_request", msg))

    def _expect_the_rest(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _refuse(self, refusal: Refusal) -> None:
        """Read no more; the refusal comes after the answers to the requests before, if any is under way."""
        if self._refused:
            return
        self._refused = True
        self._unparsed = b""
        if self.asking:
            cycle = self.cycle
            if self._in_head:
                cycle.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.abort()
                return
        self.transport.write(
            STATUS_LINE[refusal.status]
            + b"".join(b"%s: %s\r\n" % header for header in refusal.headers)
            + b"connection: close\r\n\r\n"
            + refusal.body
        )
        self.transport.write_eof()
        self.loop.call_later(LINGERING_SECONDS, self.transport.abort)


def _escaped(line: bytes) -> bytes:
    parts = _REQUEST_LINE.fullmatch(line)
    if parts is None:
        return line
    return parts[1] + _UNSAFE.sub(lambda one: b"%%%02X" % one[0][0], parts[2]) + parts[3]
