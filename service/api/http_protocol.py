"""HTTP as Braze's templates make it, and what a request may cost before anybody has looked at it.

Authors seldom write `url_param_escape`, and not every client on the way escapes what they leave out. The parser
refuses bytes outside ASCII and spaces in a request's target, which would cost that user the message.

Everything is counted before it is decoded or kept: a caller without a credential gets this far. Who may hold a
connection is decided in `service.api.connections`; `service.api.held_protocol` tells it whose turn it is.
"""

import asyncio
import logging
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.api.at_once_protocol import AtOnceProtocol
from service.api.leaving import has_closed
from service.api.limits import (
    BODY_TOO_LARGE,
    CHUNK_BYTES,
    HEAD_TOO_LARGE,
    MAX_BODY_BYTES,
    MAX_CHUNKS,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_PATH_BYTES,
    MAX_TARGET_BYTES,
    TOO_MANY_CHUNKS,
    TOO_MANY_HEADERS,
    Refusal,
    is_too_long,
    refusal_of,
)
from service.api.request_line import escaped, escaped_bytes, needs_escapes

MAX_PIPELINED: Final = 32
"""Requests of one connection that wait for the one before them; Braze sends one at a time."""

MAX_REST_BYTES: Final = MAX_BODY_BYTES + MAX_HEADER_BYTES
"""Of everything behind a request's head as it is on the wire: the sizes of chunks, their extensions, trailers."""

LONG_PACKET_BYTES: Final = 65_536
"""Received in one piece; more is likely to come."""

MAX_LINE_BYTES: Final = MAX_TARGET_BYTES + 40
"""Of a request's first line, escaped: the target, a method and the version."""

_LINE_ENDS: Final = b"\r\n"

# Only errors: a line for each packet that is no HTTP would let anybody fill the disk.
_logger = logging.getLogger("uvicorn.error.http")
_logger.setLevel(logging.ERROR)


class TolerantProtocol(AtOnceProtocol):
    """Uvicorn's own; percent-encodes what a request's target may not hold, bounds everything, refuses in JSON.

    Only the first of several pipelined requests in one packet is helped. Control characters stay refused.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # whatever uvicorn passes
        super().__init__(*args, **kwargs)
        self.logger = _logger
        self._packet_bytes = 0
        self._saying: asyncio.TimerHandle | None = None
        self._rest_bytes = 0
        self._body_bytes = 0
        self._chunks = 0
        self._refused = False
        self._refusal: Refusal | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything, at once: a refusal that waits would keep it all for a second."""
        if self._saying is not None:
            self._saying.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; a request's first line is held until it is there as a whole."""
        if self._refused:
            return
        if self._known_end and self._between_requests and not self._unparsed and self._answer_as_before(data):
            return
        self._packet_bytes = len(data)
        if self._between_requests:
            data = self._begun(data)
        else:
            self._is_one_request = False
        if data:
            self._parse(data)
        if self._is_settled:
            self._is_settled = False
        else:
            self._settle()

    def _begun(self, data: bytes) -> bytes:
        """What there is of a request, as the parser takes it; nothing before its first line is there as a whole."""
        if self._unparsed:
            data = self._unparsed + data
            self._unparsed = b""
        if data[0] in _LINE_ENDS:
            data = data.lstrip(_LINE_ENDS)
        end = data.find(b"\n")
        # What begins otherwise is no HTTP, a TLS handshake for example, and is refused without a wait.
        if end < 0 and data[:1].isupper() and len(data) < MAX_LINE_BYTES:
            self._unparsed = data
            return b""
        line = data[:end]
        if needs_escapes(line):
            if escaped_bytes(line) > MAX_LINE_BYTES:
                self._refuse(HEAD_TOO_LARGE)
                return b""
            line = escaped(line)
            data = line + data[end:]
        self._note_packet(line, data)
        return data

    def _parse(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        else:
            self._rest_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_TARGET_BYTES + MAX_HEADER_BYTES:
            self._refuse(HEAD_TOO_LARGE)
        elif self._rest_bytes > MAX_REST_BYTES:
            self._refuse(BODY_TOO_LARGE)

    def on_message_begin(self) -> None:
        """From here on the bytes are the parser's."""
        self._between_requests = False
        self._body_bytes = self._chunks = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; a trailer too.

        Raises:
            ValueError: There are too many. The parser stops at it.
        """
        if len(self.headers) >= MAX_HEADERS:
            self._refusal = TOO_MANY_HEADERS
            raise ValueError("too many headers")
        # As uvicorn's own, without another call for each of the ten that a load balancer adds.
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_chunk_header(self) -> None:
        """Count a piece of the body.

        Raises:
            ValueError: There are too many for what is in them.
        """
        self._chunks += 1
        if self._chunks > MAX_CHUNKS + self._body_bytes // CHUNK_BYTES:
            self._refusal = TOO_MANY_CHUNKS
            raise ValueError("too many chunks")

    def on_headers_complete(self) -> None:
        """Let the application answer, unless the request is larger than anything it would look at.

        Raises:
            ValueError: Too many requests wait; those are answered, then the connection is closed. Or the target is
                too long to be taken apart, or the headers are longer than any that are read.
        """
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests without an answer")
        if len(self.url) > MAX_PATH_BYTES and is_too_long(self.url):
            self._refusal = HEAD_TOO_LARGE
            raise ValueError("target too long")
        if self._answer_at_once():
            self._head_bytes = 0
            return
        refusal = None
        if self._head_bytes > MAX_HEADER_BYTES or self.parser.get_method() != b"GET":
            refusal = refusal_of(self.headers)
            if refusal is HEAD_TOO_LARGE:
                # The connection ends with it: long headers cost more to read than to send.
                self._refusal = refusal
                raise ValueError("headers too large")
        application = self.app
        if refusal is not None:
            self.app = refusal
        try:
            super().on_headers_complete()
        finally:
            self.app = application
        if refusal is not None:
            self._held.refused(self.scope["path"], refusal.status, refusal.message)
        self._in_head = False
        self._head_bytes = self._rest_bytes = 0
        if self._held.stopping:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Keep what a route may read, within bounds; drop the rest."""
        if self.cycle.response_complete or self.scope["method"] in {"GET", "HEAD"}:
            return
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse(BODY_TOO_LARGE)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The next bytes begin a request."""
        self._between_requests = self._in_head = True
        self._rest_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Say in JSON, as with every other error, that this was no HTTP, or more than is read."""
        self._refuse(self._refusal or Refusal(400, "bad_request", msg))

    def _refuse(self, refusal: Refusal) -> None:
        """Read no more; the refusal comes after the answers to the requests before, if any is under way."""
        if self._refused:
            return
        self._refused = True
        self._unparsed = b""
        is_answered = not self._in_head and self.cycle.response_complete
        if self._asking:
            cycle = self.cycle
            if self._in_head:
                cycle.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.abort()
                return
        self._refusal_sent = True
        if not is_answered:
            path = "" if self._in_head else self.scope["path"]
            self._held.refused(path, refusal.status, refusal.message)
        is_head = not self._in_head and self.scope["method"] == "HEAD"
        answer = b"" if is_answered else _written(refusal, with_body=not is_head)
        seconds = self._held.delays.seconds()
        if seconds:
            # What is not read is kept from coming. Of a short request no more comes, and its client is seen to leave.
            if self._packet_bytes >= LONG_PACKET_BYTES:
                self.flow.pause_reading()
            self._saying = self.loop.call_later(seconds, self._say_late, answer)
        else:
            self._say(answer)

    def _say_late(self, answer: bytes) -> None:
        """Say it, unless the client has left meanwhile, which nobody has noticed."""
        if self.transport.is_closing():
            return
        if has_closed(self.transport.get_extra_info("socket")):
            self.transport.abort()
        else:
            self.flow.resume_reading()
            self._say(answer)

    def _say(self, answer: bytes) -> None:
        """The last words; what comes afterwards is dropped, since a reset would take them from the client."""
        self.transport.write(answer)
        self.transport.write_eof()


def _written(refusal: Refusal, *, with_body: bool) -> bytes:
    return (
        STATUS_LINE[refusal.status]
        + b"".join(b"%s: %s\r\n" % header for header in refusal.headers)
        + b"connection: close\r\n\r\n"
        + (refusal.body if with_body else b"")
    )
