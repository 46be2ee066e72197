"""The plain way to Personalize: which requests take it, and that they are the SDK's to the byte."""

import asyncio
import json
import os
import random
import ssl
import string
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.httpsession import DEFAULT_CA_BUNDLE

from service.aws.session import AwsSession
from service.errors import RecommenderError
from service.models import ListRequest
from service.personalize.sdk import runtime as runtime_client
from service.personalize.sdk.client import PersonalizeRecommender
from service.personalize.sdk.connections import ConnectionPool, Place
from service.personalize.sdk.plain import PlainWay, Rehearsal, reason_for_sdk
from service.personalize.sdk.plain_client import PlainClient, plain_output
from service.personalize.sdk.runtime import open_personalize
from service.personalize.sdk.signature import Scope, Signer
from tests.support.certificates import certificate
from tests.support.clocks import StandingClock
from tests.support.streams import serving
from tests.support.waiting import PATIENCE_SECONDS, until

CAMPAIGN = "arn:aws:personalize:eu-west-1:123456789012:campaign/shop"
LETTERS = string.ascii_letters + string.digits + " ,\"'\\/{}%&=+~éß漢😀\n\t\0"
REQUESTS = 2_000


@pytest.fixture(autouse=True)
def sdk_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("AWS_", "REQUESTS_CA")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(runtime_client, "START_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


@pytest.fixture
def reasons(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was said of each rehearsal."""
    said: list[str] = []

    def noted(rehearsals: Mapping[str, Rehearsal]) -> str:
        said.append(reason_for_sdk(rehearsals))
        return said[-1]

    monkeypatch.setattr(runtime_client, "reason_for_sdk", noted)
    return said


@pytest.fixture
async def rehearsals(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Rehearsal]:
    """What the SDK shows without any settings of the operator's."""
    shown: dict[str, Rehearsal] = {}

    def noted(rehearsals: Mapping[str, Rehearsal]) -> str:
        shown.update(rehearsals)
        return reason_for_sdk(rehearsals)

    monkeypatch.setattr(runtime_client, "reason_for_sdk", noted)
    async with opened():
        return shown


@asynccontextmanager
async def opened() -> AsyncIterator[PersonalizeRecommender]:
    async with (
        AwsSession() as aws,
        open_personalize(
            aws=aws,
            campaign_arn=CAMPAIGN,
            clock=StandingClock(),
            read_timeout_seconds=PATIENCE_SECONDS,
            max_pool_connections=4,
        ) as recommender,
    ):
        yield recommender


def test_a_signature_is_the_sdks_whatever_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads the clock itself."""
    rng = random.Random(20)
    differing = []
    for number in range(REQUESTS):
        credentials = ReadOnlyCredentials(
            word(rng, string.ascii_uppercase, 20), word(rng, string.ascii_letters + "/+", 40), token(rng)
        )
        scope = Scope(rng.choice(("us-east-1", "eu-west-1", "cn-north-1")), "personalize")
        host = rng.choice(("personalize-runtime.us-east-1.amazonaws.com", "127.0.0.1:9000", "vpce-1.example.org"))
        path = rng.choice(("/recommendations", "/personalize-ranking"))
        body = rng.randbytes(rng.randrange(200))
        signer = Signer(host, scope, lambda: 1_500_000_000 + rng.random() * 1e9)
        ours = signer.sign(path, body, credentials)

        request = AWSRequest("POST", f"https://{host}{path}", {"Content-Type": "application/json"}, body)
        request.context["timestamp"] = ours.amz_date
        request.headers["X-Amz-Date"] = ours.amz_date
        signing = SigV4Auth(credentials, scope.service, scope.region)
        monkeypatch.setattr(signing, "_set_necessary_date_headers", lambda _: None)
        signing._modify_request_before_signing(request)
        text = signing.string_to_sign(request, signing.canonical_request(request))
        signing._inject_signature_to_request(request, signing.signature(text, request))
        theirs = request.headers["Authorization"], request.headers.get("X-Amz-Security-Token", "")
        if theirs != (ours.authorization, ours.token):
            differing.append((number, theirs, ours))
    assert differing == []


def test_a_signer_follows_credentials_and_the_day() -> None:
    """It keeps what it makes of a secret for a day."""
    now = [1_700_000_000.0]
    kept = Signer("h", Scope("us-east-1", "personalize"), lambda: now[0])
    for seconds, key in ((0, "a"), (1, "a"), (86_400, "a"), (86_400, "b"), (0, "a")):
        now[0] = 1_700_000_000.0 + seconds
        credentials = ReadOnlyCredentials(key, "secret of " + key, None)
        date = {0: "20231114T221320Z", 1: "20231114T221321Z", 86_400: "20231115T221320Z"}[seconds]
        assert kept.sign("/x", b"{}", credentials) == kept.sign_at(date, "/x", b"{}", credentials)
        fresh = Signer("h", Scope("us-east-1", "personalize"), lambda: now[0])
        assert kept.sign("/x", b"{}", credentials) == fresh.sign("/x", b"{}", credentials)


@pytest.mark.parametrize("token_", ["a\r\nHost: elsewhere", "a\nb"])
def test_credentials_with_a_line_break_are_not_sent(token_: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        Signer("h", Scope("us-east-1", "personalize")).sign("/x", b"{}", ReadOnlyCredentials("a", "b", token_))


async def test_a_request_is_the_sdks_to_the_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Path, headers and body of requests of every kind; time and invocation differ between any two."""
    rng = random.Random(7)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a token")
    runtimes: list[Any] = []
    monkeypatch.setattr(runtime_client, "PersonalizeRecommender", lambda runtime, **_: runtimes.append(runtime))
    async with opened():
        [runtime] = runtimes
        plain, sdk_client = runtime.client, runtime._sdk_client
        assert isinstance(plain, PlainClient)
        sent: list[bytes] = []

        async def keep(request: bytes) -> None:
            sent.append(request)
            raise ConnectionError

        monkeypatch.setattr(plain._pool, "exchange", keep)
        rehearsing = runtime_client._rehearsing.set(runtime._aws.credentials)
        for _ in range(100):
            parameters = parameters_of(rng)
            name = "get_personalized_ranking" if "inputList" in parameters else "get_recommendations"
            with pytest.raises(runtime_client._RehearsalError) as shown:
                await getattr(sdk_client, name)(**parameters)
            with pytest.raises(ConnectionError):
                await getattr(plain, name)(**parameters)
            theirs = shown.value.rehearsal
            head, _, body = sent.pop().partition(b"\r\n\r\n")
            line, *lines = head.decode().split("\r\n")
            ours = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines)}
            assert line == f"POST {theirs.url.rpartition('.com')[2]} HTTP/1.1"
            assert body == theirs.body
            assert ours.pop("host") == "personalize-runtime.eu-west-1.amazonaws.com"
            assert ours.pop("accept-encoding") == "identity"
            assert ours.keys() == theirs.headers.keys()
            changing = {"x-amz-date", "authorization", "amz-sdk-invocation-id"}
            assert {**ours, **dict.fromkeys(changing)} == {**theirs.headers, **dict.fromkeys(changing)}
            assert len(ours["amz-sdk-invocation-id"]) == len(theirs.headers["amz-sdk-invocation-id"])
        runtime_client._rehearsing.reset(rehearsing)


PLAIN: list[dict[str, str]] = [
    {},
    {"AWS_SESSION_TOKEN": "a token"},
    {"AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME": "http://127.0.0.1:9"},
    {"AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME": "https://vpce-1.personalize-runtime.eu-west-1.vpce.amazonaws.com"},
    {"AWS_ENDPOINT_URL": "http://localhost:9/"},
    {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ".amazonaws.com"},
    {"HTTP_PROXY": "http://127.0.0.1:9"},
    # without TLS no certificate is read
    {"AWS_CA_BUNDLE": DEFAULT_CA_BUNDLE, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
]


@pytest.mark.parametrize("environment", PLAIN)
async def test_requests_that_are_plain_go_without_the_sdk(
    monkeypatch: pytest.MonkeyPatch, reasons: list[str], environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with opened():
        pass
    assert reasons == [""]


SPECIAL: list[tuple[dict[str, str], str]] = [
    ({"HTTPS_PROXY": "http://127.0.0.1:9"}, "proxy"),
    ({"http_proxy": "http://127.0.0.1:9", "AWS_ENDPOINT_URL": "http://h:9"}, "proxy"),
    ({"AWS_CA_BUNDLE": DEFAULT_CA_BUNDLE}, "bundle"),
    ({"REQUESTS_CA_BUNDLE": DEFAULT_CA_BUNDLE}, "bundle"),
    ({"AWS_USE_FIPS_ENDPOINT": "true"}, "FIPS"),
    ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "DUALSTACK"),
    ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9/personalize"}, "path"),
    ({"AWS_ENDPOINT_URL": "http://me:secret@127.0.0.1:9"}, "address"),
    ({"AWS_ENDPOINT_URL": "http://[::1]:9"}, "address"),
    ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9?a=b"}, "address|path"),
    ({"AWS_ENDPOINT_URL": "https://vpce.example.org:443"}, "signs"),
    ({"AWS_LAMBDA_FUNCTION_NAME": "f", "_X_AMZN_TRACE_ID": "Root=1"}, "headers"),
]


@pytest.mark.parametrize(("environment", "reason"), SPECIAL)
async def test_what_is_not_plain_is_left_to_the_sdk(
    monkeypatch: pytest.MonkeyPatch, reasons: list[str], environment: dict[str, str], reason: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with opened():
        pass
    [said] = reasons
    assert any(one in said for one in reason.split("|")), said


async def test_what_the_sdk_may_come_to_do_otherwise_is_left_to_it(rehearsals: Mapping[str, Rehearsal]) -> None:
    """Settings that no environment makes today, and versions of the SDK to come."""
    one = rehearsals["GetRecommendations"]
    headers = dict(one.headers)
    changed = {
        "certificate of the client": replace(one, has_client_certificate=True),
        "not at all": replace(one, verifies=False),
        "other headers": replace(one, headers={**headers, "x-amz-checksum": "a"}),
        "other values": replace(one, headers={**headers, "content-type": "application/x-amz-json-1.1"}),
        "in another way": replace(one, headers={**headers, "authorization": "AWS4-ECDSA-P256-SHA256 Credential=a"}),
        "with a body": replace(one, body=one.body + b" "),
        "a path of its own": replace(one, url=one.url.replace("/recommendations", "/v2-recommendations")),
    }
    reasons = {name: reason_for_sdk({**rehearsals, "GetRecommendations": other}) for name, other in changed.items()}
    assert reasons.pop("with a body") == "the SDK signs in another way"
    assert all(name in reason for name, reason in reasons.items()), reasons
    elsewhere = replace(one, url=one.url.replace("eu-west-1", "us-east-1"))
    assert "endpoints of their own" in reason_for_sdk({**rehearsals, "GetRecommendations": elsewhere})


async def test_one_line_says_why_the_sdk_asks(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    async with opened():
        pass
    assert "personalize_asked_by_sdk" in "".join(capfd.readouterr())


async def test_a_place_is_the_endpoints_own(rehearsals: Mapping[str, Rehearsal]) -> None:
    place = PlainWay.of(rehearsals).place
    assert (place.url, place.host, place.port) == (
        "https://personalize-runtime.eu-west-1.amazonaws.com",
        "personalize-runtime.eu-west-1.amazonaws.com",
        443,
    )
    assert place.tls is not None
    assert place.tls.verify_mode is ssl.CERT_REQUIRED
    assert place.tls.check_hostname


@pytest.mark.parametrize(
    ("url", "port", "is_tls"),
    [
        ("http://h/recommendations", 80, False),
        ("http://h:8080/recommendations", 8080, False),
        ("https://h/a", 443, True),
    ],
)
async def test_without_a_port_it_is_the_schemes_own(
    rehearsals: Mapping[str, Rehearsal], url: str, port: int, *, is_tls: bool
) -> None:
    place = PlainWay.of({"GetRecommendations": replace(rehearsals["GetRecommendations"], url=url)}).place
    assert (place.host, place.port, place.tls is not None) == ("h", port, is_tls)


class Server:
    """Answers each request with what a test says, in writes of its own."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.requests: list[bytes] = []
        self.answers: list[list[bytes] | None] = []
        """For each request what is written; None hangs up. `listed` when there is no other."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.hung_up = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
                self.requests.append(body)
                answer = self.answers.pop(0) if self.answers else [listed("a")]
                await self.gate.wait()
                if answer is None:
                    break
                for part in answer:
                    if part == HANG_UP:
                        return
                    writer.write(part)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()
            self.hung_up.set()


HANG_UP = b""


def listed(*ids: str, headers: str = "") -> bytes:
    """An answer with these items."""
    body = listing(*ids)
    return f"HTTP/1.1 200 OK\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def listing(*ids: str) -> bytes:
    """Its body."""
    return json.dumps({"itemList": [{"itemId": one} for one in ids]}).encode()


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    server = Server()
    monkeypatch.setattr(runtime_client, "CONNECT_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    async with serving(server.serve) as server.port:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME", f"http://127.0.0.1:{server.port}")
        yield server


async def ask(recommender: PersonalizeRecommender) -> tuple[str, ...]:
    return (await recommender.recommend(ListRequest("u", 25), timeout_seconds=PATIENCE_SECONDS)).item_ids


async def test_one_connection_serves_one_request_after_the_other_and_is_closed_at_the_end(server: Server) -> None:
    async with opened() as recommender:
        assert [await ask(recommender) for _ in range(5)] == [("a",)] * 5
        assert (server.connections, server.open) == (1, 1)
    await server.hung_up.wait()
    assert server.open == 0


async def test_a_request_that_is_lost_on_an_idle_connection_is_sent_once(server: Server) -> None:
    """Nobody knows whether Personalize has counted it, so it takes a slot of its own to ask again."""
    server.answers = [[listed("a")], None, [listed("b")]]
    async with opened() as recommender:
        assert await ask(recommender) == ("a",)
        with pytest.raises(RecommenderError, match="ConnectionClosedError"):
            await ask(recommender)
        assert await ask(recommender) == ("b",)
    assert (len(server.requests), server.connections) == (3, 2)


async def test_a_host_that_hangs_up_between_two_requests_costs_none(server: Server) -> None:
    server.answers = [[listed("a"), HANG_UP], [listed("b", headers="Connection: close\r\n")], [listed("c")]]
    async with opened() as recommender:
        assert await ask(recommender) == ("a",)
        client = recommender._runtime.client
        await until(lambda: not client._pool._open)
        assert await ask(recommender) == ("b",)
        assert await ask(recommender) == ("c",)
    assert (len(server.requests), server.connections) == (3, 3)


async def test_a_connection_that_was_being_made_at_the_end_is_not_kept(server: Server) -> None:
    place = Place(f"http://127.0.0.1:{server.port}", "127.0.0.1", server.port, tls=None)
    pool = ConnectionPool(place, max_connections=1, connect_seconds=PATIENCE_SECONDS, silence_seconds=PATIENCE_SECONDS)
    asking = asyncio.create_task(pool.exchange(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"))
    await asyncio.sleep(0)
    await pool.close()
    assert (await asking).status == 200
    await until(lambda: server.open == 0)


async def test_what_comes_too_late_or_unasked_answers_nothing(server: Server) -> None:
    server.answers = [[listed("late")], [listed("a") + listed("unasked")], [listed("b")]]
    server.gate.clear()
    async with opened() as recommender:
        asking = asyncio.create_task(ask(recommender))
        await until(lambda: len(server.requests) == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        server.gate.set()
        assert await ask(recommender) == ("a",)
        assert await ask(recommender) == ("b",)
    assert server.connections == 3


async def test_never_more_connections_than_allowed(server: Server) -> None:
    async with opened() as recommender:
        lists = await asyncio.gather(*(ask(recommender) for _ in range(50)))
    assert lists == [("a",)] * 50
    assert server.most_open == 4


BODY = listing("a", "b")
WAYS_TO_WRITE: dict[str, list[bytes]] = {
    "in bytes": [bytes([one]) for one in listed("a", "b")],
    "in chunks": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\n" + BODY[:5] + b"\r\n",
                  f"{len(BODY) - 5:x}\r\n".encode() + BODY[5:] + b"\r\n0\r\n\r\n"],
    "after a hint": [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", listed("a", "b")],
    "up to the connection's end": [b"HTTP/1.0 200 OK\r\n\r\n", BODY, HANG_UP],
    "with a parameter": [listed("a", "b", headers="Content-Type: application/json; charset=utf-8\r\n")],
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS_TO_WRITE)
async def test_an_answer_may_be_written_in_any_way_of_http(server: Server, way: str) -> None:
    server.answers = [WAYS_TO_WRITE[way], [listed("c")]]
    async with opened() as recommender:
        assert await ask(recommender) == ("a", "b")
        assert await ask(recommender) == ("c",)


ODD_ANSWERS = [
    (status, code, body)
    for status in (200, 299, 300, 400, 403, 429, 500, 503)
    for code, body in [
        ("", b""),
        ("ThrottlingException", b'{"message": "Rate exceeded"}'),
        ("ValidationException:http://internal/", b'{"Message": "no"}'),
        ("", b'{"__type": "ResourceNotFoundException", "message": "gone"}'),
        ("", b"<html>"),
        ("", b'{"itemList": [{"itemId": "a", "reason": null}, {"itemId": 7}, null, {"reason": 7}]}'),
        ("", b'{"itemList": [{"itemId": "a", "score": NaN}]}'),
        ("", b'{"itemList": {"itemId": "a"}}'),
        ("", b'{"itemList": [{"itemId": "\\ud800"}], "recommendationId": 7}'),
        ("", b'{"itemList": [{"itemId": "a", "promotionName": "p", "reason": ["Popular item"]}], "more": 1}'),
        ("", b'[{"itemId": "a"}]'),
    ]
]


@pytest.mark.parametrize(
    ("body", "is_plain"),
    [
        (b'{"itemList": []}', True),
        (b'{"itemList": [{"itemId": "a"}, {"itemId": "b", "reason": ["x"], "score": 1}], "more": 1}', True),
        (b'{"itemList": [{"itemId": "a"}, {"itemId": 7}]}', False),
        (b'{"itemList": [{"itemId": "a", "reason": null}]}', False),
        (b'{"itemList": [null]}', False),
        (b'{"itemList": {}}', False),
        (b"{}", False),
        (b"[]", False),
        (b"7", False),
        (b"{", False),
    ],
)
def test_what_is_not_a_plain_list_is_left_to_the_sdks_parser(body: bytes, *, is_plain: bool) -> None:
    assert plain_output(body, "itemList") == (json.loads(body) if is_plain else None)


async def test_any_answer_means_what_the_sdk_makes_of_it(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    async with opened() as plain:
        monkeypatch.setattr(runtime_client, "reason_for_sdk", lambda _: "as the test wishes")
        async with opened() as by_sdk:
            for status, code, body in ODD_ANSWERS:
                header = f"x-amzn-ErrorType: {code}\r\n" if code else ""
                head = f"HTTP/1.1 {status} X\r\n{header}Content-Length: {len(body)}\r\n\r\n".encode()
                server.answers = [[head + body]] * 2
                assert await meaning(plain) == await meaning(by_sdk), (status, code, body)


async def meaning(recommender: PersonalizeRecommender) -> object:
    try:
        return await recommender.recommend(ListRequest("u", 25), timeout_seconds=PATIENCE_SECONDS)
    except RecommenderError as error:
        return type(error), str(error)


async def test_a_host_whose_certificate_nobody_knows_is_sent_nothing(
    monkeypatch: pytest.MonkeyPatch, server: Server, tmp_path: Path
) -> None:
    certificate(tmp_path, "own", "DNS:localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "own.crt", tmp_path / "own.key")
    async with serving(server.serve, tls=context) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME", f"https://localhost:{port}")
        async with opened() as recommender:
            with pytest.raises(RecommenderError, match="SSLError"):
                await ask(recommender)
        assert server.requests == []

        # The SDK's own certificates, with this one among them.
        monkeypatch.setattr("aiobotocore.httpsession.get_cert_path", lambda _: str(tmp_path / "own.crt"))
        async with opened() as recommender:
            assert [await ask(recommender) for _ in range(2)] == [("a",)] * 2
        assert server.connections == 1


def parameters_of(rng: random.Random) -> dict[str, object]:
    """Of a call, as the service makes them."""
    parameters: dict[str, object] = {"campaignArn": CAMPAIGN, "userId": word(rng, LETTERS, rng.randrange(40))}
    if rng.random() < 0.3:
        return parameters | {"inputList": [word(rng, LETTERS, 8) for _ in range(rng.randrange(1, 9))]}
    parameters["numResults"] = rng.randrange(1, 500)
    if rng.random() < 0.3:
        parameters["itemId"] = word(rng, LETTERS, 9)
    for name in ("filterValues", "context"):
        if rng.random() < 0.5:
            parameters[name] = {word(rng, LETTERS, 5): word(rng, LETTERS, 9) for _ in range(3)}
    if rng.random() < 0.3:
        promoted = {"name": word(rng, LETTERS, 5), "percentPromotedItems": 30, "filterArn": "arn", "filterValues": {}}
        parameters["promotions"] = [promoted]
    return parameters


def word(rng: random.Random, letters: str, length: int) -> str:
    return "".join(rng.choices(letters, k=length))


def token(rng: random.Random) -> str | None:
    return rng.choice((None, "", word(rng, string.ascii_letters + "/+= ", 60)))
