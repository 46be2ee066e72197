"""The headers of an answer, for the route and the hit lane alike."""

from service.models import Answer

RawHeaders = list[tuple[bytes, bytes]]


def lasting_headers(answer: Answer) -> RawHeaders:
    """Those that stay the same however often the answer is repeated."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-recommendation-source", answer.source.encode()),
    ]
    if answer.degraded_reason:
        headers.append((b"x-degraded-reason", answer.degraded_reason.encode()))
    if answer.recommendation_id and answer.recommendation_id.isascii() and answer.recommendation_id.isprintable():
        headers.append((b"x-recommendation-id", answer.recommendation_id.encode()))
    return headers


def passing_headers(answer: Answer, seconds: float) -> RawHeaders:
    """Those of this moment: the list's age, and where the time went."""
    parts = [f"{name};dur={milliseconds:.1f}" for name, milliseconds in answer.timings]
    parts.append(f"total;dur={seconds * 1000:.1f}")
    headers = [(b"server-timing", ", ".join(parts).encode())]
    if answer.age_seconds is not None:
        headers.append((b"age", str(answer.age_seconds).encode()))
    return headers
