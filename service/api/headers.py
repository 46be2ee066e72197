"""The headers of an answer, for the route and the hit lane alike."""

import re
import secrets
from collections.abc import Iterable
from typing import Final

from service.models import Answer

RawHeaders = list[tuple[bytes, bytes]]

REQUEST_ID: Final = b"x-request-id"
TRACEPARENT: Final = b"traceparent"
RECOMMENDATION_ID: Final = b"x-recommendation-id"

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_PASSING: Final = b"server-timing: total;dur=%.1f\r\nage: %d\r\n"
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """How the caller calls its request: `X-Request-Id`, else the trace of `traceparent`; None without either.

    What is longer than 128 characters or holds others than visible ASCII is taken for none.
    """
    trace = None
    for name, value in headers:
        if name == REQUEST_ID and _REQUEST_ID.fullmatch(value):
            return value
        if name == TRACEPARENT and (parts := _TRACEPARENT.fullmatch(value)):
            trace = parts[1]
    return trace


def new_request_id() -> bytes:
    """A name for a request whose caller gave it none."""
    return secrets.token_hex(16).encode()


def lasting_headers(answer: Answer) -> RawHeaders:
    """Those that stay the same however often the answer is repeated."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-recommendation-source", answer.source.encode()),
    ]
    if answer.placement:
        headers.append((b"x-recommendation-placement", answer.placement.encode()))
    if answer.variant:
        headers.append((b"x-recommendation-variant", answer.variant.encode()))
    if answer.degraded_reason:
        headers.append((b"x-degraded-reason", answer.degraded_reason.encode()))
    if answer.recommendation_id and answer.recommendation_id.isascii() and answer.recommendation_id.isprintable():
        headers.append((RECOMMENDATION_ID, answer.recommendation_id.encode()))
    return headers


def head_of_hits(answer: Answer) -> bytes:
    """All headers of a hit but that of its request, as they are written, to be filled in with `%`.

    Places are left for the length of the body, the line that `naming_list` makes, milliseconds and the list's age.
    """
    lasting = written(lasting_headers(answer)).replace(b"%", b"%%").replace(b"length: 0\r\n", b"length: %d\r\n")
    return lasting + b"%b" + _PASSING


def naming_list(recommendation_id: bytes) -> bytes:
    """The header that names a list, as it is written; nothing for an empty id."""
    return b"x-recommendation-id: " + recommendation_id + b"\r\n" if recommendation_id else b""


def written(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as the server writes them."""
    return b"".join([b"%b: %b\r\n" % one for one in headers])


def taken_apart(written_headers: bytes) -> RawHeaders:
    """The same headers again."""
    return [(name, value) for name, _, value in (line.partition(b": ") for line in written_headers.splitlines())]


def passing_head(seconds: float, age_seconds: int) -> bytes:
    """Those of this moment as a hit has them, as they are written."""
    return _PASSING % (seconds * 1000, age_seconds)


def passing_headers(answer: Answer, seconds: float) -> RawHeaders:
    """Those of this moment: the list's age, and where the time went."""
    parts = [f"{name};dur={milliseconds:.1f}" for name, milliseconds in answer.timings]
    parts.append(f"total;dur={seconds * 1000:.1f}")
    headers = [(b"server-timing", ", ".join(parts).encode())]
    if answer.age_seconds is not None:
        headers.append((b"age", str(answer.age_seconds).encode()))
    return headers
