"""HTTP as Braze's templates make it: the value of a user goes into the URL as it is.

Authors seldom write `url_param_escape`, and not every client on the way escapes what they leave out. The parser
refuses bytes outside ASCII and spaces in a request's target, which would cost that user the message.
"""

import re
from typing import Any, Final

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

LONGEST_TARGET_BYTES: Final = 65_536
"""Of a request's first line: 500 excluded ids of 100 characters; the parser sees a longer one unescaped."""

_UNSAFE = re.compile(rb"[^\x21-\x7e]")
_REQUEST_LINE = re.compile(rb"([A-Z]+ )([^\x00-\x1f\x7f]+)( HTTP/1\.[01]\r?)")


class TolerantProtocol(HttpToolsProtocol):
    """Uvicorn's own; percent-encodes what a request's target may not hold, and refuses in JSON.

    Only the first of several pipelined requests in one packet is helped. Control characters stay refused.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # whatever uvicorn passes
        super().__init__(*args, **kwargs)
        self._between_requests = True
        self._unparsed = b""

    def data_received(self, data: bytes) -> None:
        """Parse; a request's first line is held until it is there as a whole."""
        if self._between_requests:
            data = self._unparsed + data
            end = data.find(b"\n")
            # What begins otherwise is no HTTP, a TLS handshake for example, and is refused without a wait.
            if end < 0 and data[:1].isupper() and len(data) < LONGEST_TARGET_BYTES:
                self._unparsed = data
                return
            self._unparsed = b""
            line = data[:end]
            if not line.isascii() or line.count(b" ") > 2:  # noqa: PLR2004  # METHOD, target, version
                data = _escaped(line) + data[end:]
        super().data_received(data)

    def on_message_begin(self) -> None:
        """From here on the bytes are the parser's."""
        self._between_requests = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """The next bytes begin a request."""
        self._between_requests = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Say in JSON, as with every other error, that this was no HTTP."""
        body = orjson.dumps({"error": "bad_request", "message": msg})
        head = b"content-type: application/json\r\ncache-control: no-store\r\nconnection: close\r\n"
        self.transport.write(STATUS_LINE[400] + head + b"content-length: %d\r\n\r\n" % len(body) + body)
        self.transport.close()


def _escaped(line: bytes) -> bytes:
    parts = _REQUEST_LINE.fullmatch(line)
    if parts is None:
        return line
    return parts[1] + _UNSAFE.sub(lambda one: b"%%%02X" % one[0][0], parts[2]) + parts[3]
