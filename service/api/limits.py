"""What a caller may cost: bytes of a request."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

MAX_TARGET_BYTES: Final = 65_535
"""Of path and query: 500 excluded ids of 100 characters. The parser of URLs takes no more."""

MAX_PATH_BYTES: Final = 4_096
"""Of the path by itself, which is decoded before anything is known of the caller: an id of 256 letters of 4 bytes each,
escaped, and what stands around it."""

MAX_HEADERS: Final = 100
"""Of a request, trailers included; Braze and a load balancer send about twenty."""

MAX_CHUNKS: Final = 100
"""Of a body that comes in chunks; one more for each `CHUNK_BYTES` that have come. An honest client packs more into a
chunk, and each costs as much as a header, however short it is."""

CHUNK_BYTES: Final = 256

MAX_HEADER_BYTES: Final = 32_768
"""Of all headers of a request; Braze and a load balancer send about one thousand."""

MAX_BODY_BYTES: Final = 262_144
"""Of a request's body: 500 items to rank, each id of 256 characters, twice over."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that needs nothing of the service; an ASGI application."""

    status: int
    error: str
    message: str

    @property
    def body(self) -> bytes:
        """JSON."""
        return orjson.dumps({"error": self.error, "message": self.message})

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Those of the body."""
        return [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self.body)),
            (b"cache-control", b"no-store"),
        ]

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Refuse, whatever is asked."""
        del scope, receive
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


HEAD_TOO_LARGE: Final = Refusal(
    431,
    "request_header_fields_too_large",
    f"at most {MAX_TARGET_BYTES} bytes of path and query, {MAX_PATH_BYTES} of path and {MAX_HEADER_BYTES} of headers",
)

TOO_MANY_HEADERS: Final = Refusal(431, "request_header_fields_too_large", f"at most {MAX_HEADERS} headers")

TOO_MANY_CHUNKS: Final = Refusal(
    413, "content_too_large", f"at most {MAX_CHUNKS} chunks of less than {CHUNK_BYTES} bytes"
)

BODY_TOO_LARGE: Final = Refusal(413, "content_too_large", f"at most {MAX_BODY_BYTES} bytes of body")


def is_too_long(target: bytes) -> bool:
    """Whether a path and its query are longer than any that has an answer."""
    return len(target) > MAX_TARGET_BYTES or len(target.partition(b"?")[0]) > MAX_PATH_BYTES


def refusal_of(headers: Sequence[tuple[bytes, bytes]]) -> Refusal | None:
    """Why a request with these headers, names in lower case, is not looked at."""
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return HEAD_TOO_LARGE
    announced = (int(value) for name, value in headers if name == b"content-length")
    return BODY_TOO_LARGE if any(size > MAX_BODY_BYTES for size in announced) else None
