"""The key comes before everything else of a request: neither body nor query is decoded for a caller without one."""

import contextlib
import sys
from collections.abc import AsyncIterator

import pytest
from starlette.datastructures import QueryParams

from service.api import query
from service.api.auth import MAX_CREDENTIALS, Gate
from service.api.escapes import MAX_STRAY, StrayPercents, text_of, unescaped
from service.credentials import MAX_SECRET_BYTES
from service.errors import InvalidQuery
from tests.support.front_door import Door, OpenDoor

KEY = "a-key-of-twenty-four-letters-or-more"
ADMIN = "an-admin-key-of-twenty-four-letters"
EVENT = "an-event-key-of-twenty-four-letters"
CALLS = (
    ("GET", "/recommendations?user_id=u"),
    ("GET", "/similar-items?item_id=item001"),
    ("GET", "/ranking?user_id=u&item_ids=item001"),
    ("POST", "/ranking"),
    ("POST", "/users/prewarm"),
    ("DELETE", "/users/u"),
    ("PUT", "/items/item001/block"),
    ("DELETE", "/items/item001/block"),
    ("GET", "/items/blocked"),
    ("GET", "/version"),
    ("GET", "/metrics"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("POST", "/events"),
    ("POST", "/events/braze"),
)


@pytest.fixture
async def keyed(open_door: OpenDoor) -> AsyncIterator[Door]:
    async with open_door(API_KEYS=KEY, ADMIN_KEYS=ADMIN, EVENT_KEYS=EVENT, ALLOW_ANONYMOUS="false") as door:
        yield door


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_nothing_of_a_request_is_read_before_its_key(
    keyed: Door, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    """I3"""
    read: list[str] = []
    monkeypatch.setattr("starlette.requests.Request.body", lambda _: read.append("body"))
    monkeypatch.setattr("starlette.requests.Request.stream", lambda _: read.append("stream"))
    monkeypatch.setattr(QueryParams, "__init__", lambda *_, **__: read.append("query"))
    monkeypatch.setattr(query, "_decoded", lambda _: read.append("query"))

    for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Basic !!!"}):
        answer = await keyed.http.request(method, path, content=b"{" * 1_000, headers=headers)
        assert answer.status_code == 401
    assert read == []


async def test_of_five_credentials_none_is_looked_at(keyed: Door) -> None:
    """I3"""
    wrong = [("X-API-Key", "wrong")] * (MAX_CREDENTIALS - 1)
    good = [("X-API-Key", KEY)]
    assert (await keyed.http.get("/recommendations?user_id=u", headers=[*wrong, *good])).status_code == 200
    assert (await keyed.http.get("/recommendations?user_id=u", headers=[*good, *wrong, *good])).status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        ("X-API-Key", "k" * 3_000),
        ("Authorization", "Bearer " + "k" * 3_000),
        ("Authorization", "Basic " + "a" * 3_000),
    ],
)
def test_a_long_credential_is_measured_and_not_decoded(
    monkeypatch: pytest.MonkeyPatch, header: tuple[str, str]
) -> None:
    """I3"""
    gate = Gate(api_keys=["k" * 3_000], basic=["u:p"], admin_keys=(), anonymous=False)
    monkeypatch.setattr("base64.b64decode", lambda *_, **__: pytest.fail("decoded"))
    monkeypatch.setattr("service.api.auth.blake2b", lambda *_, **__: pytest.fail("hashed"))

    assert not gate.admits([(header[0].lower().encode(), header[1].encode())])


def test_a_credential_of_the_greatest_length_opens() -> None:
    """I3"""
    key = "k" * MAX_SECRET_BYTES
    gate = Gate(api_keys=[key], basic=None, admin_keys=(), anonymous=False)
    assert gate.admits([(b"authorization", b"Bearer " + key.encode())])


LARGE = {
    "an id": b"user_id=" + b"%C3%BC" * 10_000,
    "excluded ids": b"user_id=u&exclude=" + b"%2C".join([b"%C3%BC" * 20] * 480),
    "one excluded id": b"user_id=u&exclude=" + b"%C3%BC" * 10_000,
    "commas": b"user_id=u&exclude=" + b"," * 60_000,
    "fields": b"user_id=u&fields=" + b"a," * 30_000,
    "signs that escape nothing": b"user_id=u&exclude=" + b"%" * 60_000,
    "an unknown parameter": b"user_id=u&x=" + b"%C3%BC" * 10_000,
    "a number": b"user_id=u&num_results=" + b"9" * 60_000,
    "a format": b"user_id=u&format=" + b"%41" * 20_000,
    "a filter's name": b"user_id=u&filter_values." + b"a" * 60_000 + b"=1",
    "filter values": b"user_id=u" + b"".join(b"&filter_values.a%d=%s" % (n, b"%C3%BC" * 390) for n in range(25)),
    "a thousand parameters": b"user_id=u" + b"&exclude=%41" * 990,
    "too many parameters": b"user_id=u" + b"&a" * 30_000,
}


@pytest.mark.parametrize("query_string", LARGE.values(), ids=LARGE)
def test_a_query_of_sixty_kilobytes_takes_few_steps(query_string: bytes) -> None:
    """I3: a step is a call of a function, also of one written in C; a thousand take some 30 us."""
    steps = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal steps
        steps += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        with contextlib.suppress(InvalidQuery):
            query.parse_query(query_string)
    finally:
        sys.setprofile(None)

    assert steps < 30_000


def test_what_is_escaped_is_read_as_the_library_reads_it() -> None:
    """I3"""
    assert text_of(b"a%2Bb+c%26%3d%C3%BC%zz%") == "a+b c&=ü%zz%"
    assert unescaped(b"a+b=_%0A%0d=\r\n =0A") == b"a+b=_\n\r=\r\n =0A"
    assert unescaped(b"%" * MAX_STRAY) == b"%" * MAX_STRAY
    with pytest.raises(StrayPercents):
        unescaped(b"%" * (MAX_STRAY + 1))
