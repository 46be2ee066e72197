"""A request's first line as templates write it: what is escaped, and how long it will be before it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.request_line import escaped, escaped_bytes, needs_escapes

targets = st.binary(min_size=1, max_size=60).map(
    lambda found: bytes(one for one in found if one > 0x1F and one not in (0x7F, 0x5C)) or b"/"
)


@given(target=targets, method=st.sampled_from([b"GET", b"POST"]), end=st.sampled_from([b"", b"\r"]))
def test_a_line_is_as_long_as_it_will_be_and_is_escaped_once(target: bytes, method: bytes, end: bytes) -> None:
    line = method + b" " + target + b" HTTP/1.1" + end
    found = escaped(line)
    assert escaped_bytes(line) == len(found)
    assert not needs_escapes(found)
    assert escaped(found) == found
    assert needs_escapes(line) == (found != line)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("GET /ä b HTTP/1.1\r", "GET /%c3%a4%20b HTTP/1.1\r"),
        ("GET /a\\b  HTTP/1.0", "GET /a%5Cb%20 HTTP/1.0"),
        ("GET /%C3 HTTP/1.1", "GET /%C3 HTTP/1.1"),
        # No request, or none of this kind: the parser says what is wrong with it.
        ("get /ä HTTP/1.1", "get /ä HTTP/1.1"),
        ("GET /ä HTTP/2", "GET /ä HTTP/2"),
        ("GET /ä\x01 HTTP/1.1", "GET /ä\x01 HTTP/1.1"),
        ("GET /ä", "GET /ä"),
    ],
)
def test_only_the_target_of_a_request_is_escaped(line: str, found: str) -> None:
    assert escaped(line.encode()) == found.encode()
