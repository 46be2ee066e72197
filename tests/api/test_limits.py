"""How large a request may be: each bound as it is met, and one beyond it."""

import pytest

from service.api.limits import (
    BODY_TOO_LARGE,
    HEAD_TOO_LARGE,
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    MAX_PATH_BYTES,
    MAX_TARGET_BYTES,
    Refusal,
    is_too_long,
    refusal_of,
)


@pytest.mark.parametrize(
    ("path", "query", "too_long"),
    [
        (MAX_PATH_BYTES, 0, False),
        (MAX_PATH_BYTES + 1, 0, True),
        (1, MAX_TARGET_BYTES - 2, False),
        (1, MAX_TARGET_BYTES - 1, True),
        (MAX_PATH_BYTES, MAX_TARGET_BYTES - MAX_PATH_BYTES - 1, False),
    ],
)
def test_path_and_query_have_a_bound_together_and_the_path_one_of_its_own(
    path: int, query: int, *, too_long: bool
) -> None:
    target = b"/" + b"p" * (path - 1) + (b"?" + b"q" * query if query else b"")
    assert is_too_long(target) == too_long


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ([], None),
        ([(b"a", b"x" * (MAX_HEADER_BYTES - 1))], None),
        ([(b"a", b"x" * MAX_HEADER_BYTES)], HEAD_TOO_LARGE),
        ([(b"a" * 10, b"x" * 10)] * (MAX_HEADER_BYTES // 20), None),
        ([(b"a" * 10, b"x" * 10)] * (MAX_HEADER_BYTES // 20 + 1), HEAD_TOO_LARGE),
        ([(b"content-length", b"%d" % MAX_BODY_BYTES)], None),
        ([(b"content-length", b"%d" % (MAX_BODY_BYTES + 1))], BODY_TOO_LARGE),
        ([(b"content-length", b"1"), (b"content-length", b"%d" % (MAX_BODY_BYTES + 1))], BODY_TOO_LARGE),
        ([(b"content-size", b"%d" % (MAX_BODY_BYTES + 1))], None),
    ],
)
def test_headers_have_a_bound_and_so_has_the_body_that_they_announce(
    headers: list[tuple[bytes, bytes]], refusal: Refusal | None
) -> None:
    assert refusal_of(headers) is refusal


def test_a_refusal_is_json_of_the_length_it_says() -> None:
    headers = dict(BODY_TOO_LARGE.headers)
    assert headers[b"content-length"] == b"%d" % len(BODY_TOO_LARGE.body)
    assert BODY_TOO_LARGE.body == b'{"error":"content_too_large","message":"at most 262144 bytes of body"}'
    assert (BODY_TOO_LARGE.status, HEAD_TOO_LARGE.status) == (413, 431)
