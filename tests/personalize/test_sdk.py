import asyncio
import inspect
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import botocore.session
import pytest
from aiobotocore.httpsession import AIOHTTPSession
from botocore import exceptions as sdk
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker
from structlog.testing import capture_logs

from service.aws.session import AwsSession
from service.errors import (
    ConfigurationError,
    RecommenderError,
    RecommenderRefused,
    RecommenderThrottled,
    RecommenderTimeout,
)
from service.models import ListRequest, Promotion
from service.personalize.sdk import errors as personalize
from service.personalize.sdk import runtime as runtime_client
from service.personalize.sdk.advice import NO_CREDENTIALS
from service.personalize.sdk.client import PersonalizeRecommender, quote_filter_value
from service.personalize.sdk.runtime import open_personalize
from tests.support.clocks import StandingClock
from tests.support.ports import free_port
from tests.support.streams import serving
from tests.support.waiting import PATIENCE_SECONDS

CAMPAIGN = "arn:aws:personalize:eu-west-1:123456789012:campaign/shop"
RECOMMENDER = "arn:aws:personalize:eu-west-1:123456789012:recommender/shop"
FILTER = "arn:aws:personalize:eu-west-1:123456789012:filter/bought"
REQUEST = ListRequest(user_id="user1", num_results=25)


class Runtime:
    """An HTTP server that records what it is asked and answers as the test says."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[dict[str, object]] = []
        self.was_asked = asyncio.Event()
        self.targets: list[str] = []
        self.authorizations: list[str] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b'{"itemList": [{"itemId": "a"}, {"itemId": "b"}], "recommendationId": "RID-1"}'
        self.announced_bytes: int | None = None
        self.raw: bytes | None = None
        self.delay_seconds = 0.0

    def answer(self, status: int, code: str = "", body: bytes | None = None) -> None:
        self.status = status
        self.headers = {"x-amzn-ErrorType": code} if code else {}
        self.body = json.dumps({"message": "Rate exceeded"}).encode() if body is None else body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._answer_one(head.decode("latin-1"), reader, writer)
                if self.raw is not None or self.announced_bytes is not None:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass

    async def _answer_one(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        self.targets.append(request_line)
        self.authorizations.append(headers.get("authorization", ""))
        self.asked.append(json.loads(await reader.readexactly(int(headers["content-length"]))))
        self.was_asked.set()
        await asyncio.sleep(self.delay_seconds)
        if self.raw is not None:
            writer.write(self.raw)
        else:
            length = len(self.body) if self.announced_bytes is None else self.announced_bytes
            answer = {"Content-Type": "application/json", "Content-Length": str(length), **self.headers}
            joined = "".join(f"{name}: {value}\r\n" for name, value in answer.items())
            writer.write(f"HTTP/1.1 {self.status} X\r\n{joined}\r\n".encode() + self.body)
        await writer.drain()


@pytest.fixture(autouse=True)
def sdk_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "HTTP_PROXY",
        "http_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(runtime_client, "CONNECT_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(runtime_client, "START_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


@pytest.fixture
async def runtime(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runtime]:
    runtime = Runtime()
    async with serving(runtime.serve) as runtime.port:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME", f"http://127.0.0.1:{runtime.port}")
        yield runtime


@asynccontextmanager
async def opened(
    clock: StandingClock | None = None, *, read_timeout_seconds: float = PATIENCE_SECONDS, **arns: str
) -> AsyncIterator[PersonalizeRecommender]:
    async with (
        AwsSession() as aws,
        open_personalize(
            aws=aws,
            **(arns or {"campaign_arn": CAMPAIGN}),
            clock=clock or StandingClock(),
            read_timeout_seconds=read_timeout_seconds,
            max_pool_connections=4,
        ) as recommender,
    ):
        yield recommender


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
async def recommender(runtime: Runtime, clock: StandingClock) -> AsyncIterator[PersonalizeRecommender]:
    assert runtime.port
    async with opened(clock) as recommender:
        yield recommender


async def test_a_list_comes_back_as_ranked(runtime: Runtime, recommender: PersonalizeRecommender) -> None:
    ranked = await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)
    assert (ranked.item_ids, ranked.recommendation_id, ranked.created_at) == (
        ("a", "b"),
        "RID-1",
        1_700_000_000.0,
    )
    assert runtime.asked == [{"campaignArn": CAMPAIGN, "userId": "user1", "numResults": 25}]
    assert runtime.targets == ["POST /recommendations HTTP/1.1"]
    assert "/eu-west-1/personalize/aws4_request" in runtime.authorizations[0]


async def test_a_recommender_and_a_filter_are_named_in_the_request(runtime: Runtime) -> None:
    request = ListRequest("ü b", 30, filter_values=(("GENRE", "a,b"), ("EMPTY", ""), ("PRICE", "12.5")))
    async with opened(recommender_arn=RECOMMENDER, filter_arn=FILTER) as recommender:
        await recommender.recommend(request, timeout_seconds=PATIENCE_SECONDS)
    assert runtime.asked == [
        {
            "recommenderArn": RECOMMENDER,
            "filterArn": FILTER,
            "userId": "ü b",
            "numResults": 30,
            "filterValues": {"GENRE": '"a","b"', "PRICE": "12.5"},
        }
    ]


async def test_similar_items_name_the_item_and_the_user_only_where_it_counts(
    runtime: Runtime, recommender: PersonalizeRecommender
) -> None:
    for user_id in ("", "u"):
        request = ListRequest(user_id, 25, kind="similar-items", item_id="a,b")
        await recommender.recommend(request, timeout_seconds=PATIENCE_SECONDS)
    asked = {"campaignArn": CAMPAIGN, "itemId": "a,b", "numResults": 25}
    assert runtime.asked == [asked, {**asked, "userId": "u"}]


async def test_a_ranking_sends_the_items_as_given_and_the_context(
    runtime: Runtime, recommender: PersonalizeRecommender
) -> None:
    runtime.body = b'{"personalizedRanking": [{"itemId": "b"}, {"itemId": "a"}], "recommendationId": "RID-2"}'
    request = ListRequest("u", 2, kind="ranking", item_ids=("a", "b"), context=(("DEVICE", "email"),))
    ranked = await recommender.recommend(request, timeout_seconds=PATIENCE_SECONDS)
    assert (ranked.item_ids, ranked.recommendation_id) == (("b", "a"), "RID-2")
    assert runtime.targets == ["POST /personalize-ranking HTTP/1.1"]
    assert runtime.asked == [
        {"campaignArn": CAMPAIGN, "userId": "u", "inputList": ["a", "b"], "context": {"DEVICE": "email"}}
    ]


async def test_a_promotion_is_asked_for_and_its_items_are_known(
    runtime: Runtime, recommender: PersonalizeRecommender
) -> None:
    runtime.body = b'{"itemList": [{"itemId": "a"}, {"itemId": "b", "promotionName": "sale"}]}'
    request = ListRequest("u", 25, filter_values=(("GENRE", "x"),), promotion=Promotion("sale", 20, FILTER))
    ranked = await recommender.recommend(request, timeout_seconds=PATIENCE_SECONDS)
    assert ranked.promoted == {"b"}
    # The caller's values are not the promotion's: Personalize refuses those that its filter does not have.
    assert runtime.asked[0]["promotions"] == [{"name": "sale", "percentPromotedItems": 20, "filterArn": FILTER}]


async def test_values_without_a_filter_are_not_sent(runtime: Runtime, recommender: PersonalizeRecommender) -> None:
    await recommender.recommend(ListRequest("u", 25, filter_values=(("GENRE", "a"),)), timeout_seconds=PATIENCE_SECONDS)
    assert "filterValues" not in runtime.asked[0]


async def test_empty_and_repeated_ids_are_left_out(runtime: Runtime, recommender: PersonalizeRecommender) -> None:
    runtime.body = b'{"itemList": [{"itemId": "b"}, {"itemId": ""}, {"score": 1}, {"itemId": "a"}, {"itemId": "b"}]}'
    ranked = await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)
    assert (ranked.item_ids, ranked.recommendation_id) == (("b", "a"), "")


async def test_an_empty_list_is_a_list(runtime: Runtime, recommender: PersonalizeRecommender) -> None:
    runtime.body = b'{"itemList": []}'
    assert (await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)).item_ids == ()


@pytest.mark.parametrize(
    ("reasons", "popular"),
    [
        ([["Popular item"], ["Exploration", "Popular item"]], True),
        ([["Popular item"], None], False),
        ([["Exploration"], ["Promoted item"], []], False),
        ([], False),
    ],
)
async def test_a_list_is_popular_where_personalize_says_so_of_every_item(
    runtime: Runtime, recommender: PersonalizeRecommender, reasons: list[list[str] | None], *, popular: bool
) -> None:
    """G3."""
    items = [{"itemId": str(number), "reason": reason} for number, reason in enumerate(reasons)]
    runtime.body = json.dumps({"itemList": items}).encode()
    assert (await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)).is_popular is popular


@pytest.mark.parametrize("status", [400, 429])
async def test_a_throttled_call_is_one_request(
    runtime: Runtime, recommender: PersonalizeRecommender, status: int
) -> None:
    runtime.answer(status, "ThrottlingException")
    with pytest.raises(RecommenderThrottled, match="ThrottlingException"):
        await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)
    assert len(runtime.asked) == 1


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "InvalidInputException", RecommenderRefused),
        (404, "ResourceNotFoundException", RecommenderRefused),
        (403, "AccessDeniedException", RecommenderRefused),
        (403, "UnrecognizedClientException", RecommenderRefused),
        (400, "NeverHeardOfException", RecommenderRefused),
        (403, "", RecommenderRefused),
        (429, "", RecommenderThrottled),
        (408, "", RecommenderTimeout),
        (504, "", RecommenderTimeout),
        (503, "ServiceUnavailable", RecommenderError),
        (500, "InternalFailure", RecommenderError),
        (502, "", RecommenderError),
        (500, "NeverHeardOfException", RecommenderError),
    ],
)
async def test_an_error_is_known_by_its_code_and_asked_once(
    runtime: Runtime,
    recommender: PersonalizeRecommender,
    status: int,
    code: str,
    expected: type[RecommenderError],
) -> None:
    runtime.answer(status, code)
    with pytest.raises(RecommenderError) as caught:
        await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)
    assert type(caught.value) is expected
    assert len(runtime.asked) == 1


async def test_a_failure_is_logged_once_a_minute_for_each_kind(
    runtime: Runtime, recommender: PersonalizeRecommender, clock: StandingClock
) -> None:
    runtime.answer(403, "AccessDeniedException", b'{"message": "task-role may not GetRecommendations"}')
    with capture_logs() as logs:
        for clock.now in (0.0, 59.0, 61.0):
            with pytest.raises(RecommenderRefused):
                await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)
        runtime.answer(503)
        with pytest.raises(RecommenderError):
            await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)
        runtime.answer(200, body=b'{"itemList": [{"itemId": "a"}]}')
        await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)

    assert logs[-1]["event"] == "personalize_answers_again"
    logged = [line for line in logs if line["event"] == "personalize_failed"]
    assert {line["arn"] for line in (*logged, logs[-1])} == {CAMPAIGN}
    refused = "AccessDeniedException (403): task-role may not GetRecommendations"
    assert [(line["log_level"], line["reason"], line["problem"]) for line in logged] == [
        ("warning", "error", refused),
        ("warning", "error", refused),
        ("warning", "error", "503 (503)"),
    ]
    assert "personalize:GetRecommendations" in logged[0]["advice"]


async def test_what_amazon_quotes_of_a_request_is_not_logged(runtime: Runtime) -> None:
    runtime.answer(400, "ValidationException", b'{"message": "no such userId as user1, no such value as red"}')
    with capture_logs() as logs:
        clock = StandingClock()
        async with opened(clock, campaign_arn=CAMPAIGN, filter_arn=FILTER) as recommender:
            for asked in (REQUEST, ListRequest("somebody", 25, filter_values=(("colour", "red"),))):
                with pytest.raises(RecommenderRefused):
                    await recommender.recommend(asked, timeout_seconds=PATIENCE_SECONDS)
                clock.now += 60.0

    logged = [line for line in logs if line["event"] == "personalize_failed"]
    assert [line["problem"] for line in logged] == ["ValidationException (400)"] * 2
    assert "user1" not in str(logs)
    assert "somebody" not in str(logs)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>oops",
        b"",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"itemList": null}',
        b'{"itemList": "x"}',
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("status", [200, 500])
async def test_a_garbage_body_is_an_error(
    runtime: Runtime, recommender: PersonalizeRecommender, body: bytes, status: int
) -> None:
    runtime.answer(status, body=body)
    with pytest.raises(RecommenderError) as caught:
        await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)
    assert type(caught.value) is RecommenderError
    assert len(runtime.asked) == 1


@pytest.mark.parametrize("entry", [b"null", b"7", b'"x"', b'{"itemId": 7}', b'{"itemId": {}}'])
async def test_a_garbage_entry_is_an_error_or_left_out(
    runtime: Runtime, recommender: PersonalizeRecommender, entry: bytes
) -> None:
    runtime.body = b'{"itemList": [{"itemId": "a"}, ' + entry + b"]}"
    try:
        ranked = await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)
    except RecommenderError:
        return
    assert ranked.item_ids == ("a",)


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\nContent-Len", b"SSH-2.0-OpenSSH\r\n\r\n"])
async def test_a_broken_connection_is_an_error(
    runtime: Runtime, recommender: PersonalizeRecommender, raw: bytes
) -> None:
    runtime.raw = raw
    with pytest.raises(RecommenderError):
        await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)
    assert len(runtime.asked) == 1


async def test_a_body_cut_short_is_an_error(runtime: Runtime, recommender: PersonalizeRecommender) -> None:
    runtime.announced_bytes = 5000
    with pytest.raises(RecommenderError):
        await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)
    assert len(runtime.asked) == 1


async def test_nobody_listening_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME", f"http://127.0.0.1:{free_port()}")
    async with opened() as recommender:
        with pytest.raises(RecommenderError, match="EndpointConnectionError"):
            await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)


async def test_a_slow_answer_is_given_up_in_time(runtime: Runtime, recommender: PersonalizeRecommender) -> None:
    runtime.delay_seconds = 3
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(RecommenderTimeout):
        await recommender.recommend(REQUEST, timeout_seconds=0.1)
    assert loop.time() - started < 1


async def test_a_silent_connection_is_given_up_after_the_read_timeout(runtime: Runtime) -> None:
    runtime.delay_seconds = 3
    async with opened(read_timeout_seconds=0.1) as recommender:
        with pytest.raises(RecommenderTimeout):
            await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)


async def test_cancelling_the_caller_stays_a_cancellation(
    runtime: Runtime, recommender: PersonalizeRecommender
) -> None:
    runtime.delay_seconds = 3
    task = asyncio.create_task(recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS))
    await runtime.was_asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_missing_credentials_are_a_refusal(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with opened() as recommender:
        with pytest.raises(RecommenderRefused, match="no AWS credentials"):
            await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)
    assert runtime.asked == []


async def test_a_profile_that_no_file_has_stops_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[somebody]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigurationError, match="nobody"):
        async with opened():
            pass


async def test_while_the_file_of_its_profile_is_yet_to_be_written_a_transaction_is_refused_for_want_of_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setattr(runtime_client, "START_SECONDS", 0.01)
    async with opened() as recommender:
        with pytest.raises(RecommenderRefused, match="MissingCredentialsError"):
            await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)


async def test_the_first_transaction_does_not_wait_for_certificates(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    load = AIOHTTPSession._build_verify_context

    def counted(session: AIOHTTPSession) -> ssl.SSLContext:
        read.append(session)
        context: ssl.SSLContext = load(session)
        return context

    monkeypatch.setattr(AIOHTTPSession, "_build_verify_context", counted)
    async with opened() as recommender:
        at_start = len(read)
        assert runtime.asked == []
        await recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS)
    assert (at_start, len(read)) == (1, 1)


async def test_what_personalize_refuses_costs_no_transaction(runtime: Runtime) -> None:
    def similar(item_id: str) -> ListRequest:
        return ListRequest("u", 25, kind="similar-items", item_id=item_id)

    def valued(*pairs: tuple[str, str]) -> ListRequest:
        return ListRequest("u", 25, filter_values=pairs)

    refused = [
        (ListRequest("u" * 257, 25), "userId is longer than 256"),
        (similar("i" * 257), "itemId is longer than 256"),
        (ListRequest("u", 501), "numResults"),
        (ListRequest("u", 0), "numResults"),
        (valued(*((f"N{n}", "x") for n in range(26))), "more than 25 filterValues"),
        (valued(("N" * 51, "x")), "name is longer than 50"),
        (valued(("N", "x" * 999)), "N is longer than 1000"),
    ]
    longest = [
        ListRequest("u" * 256, 25),
        similar("i" * 256),
        ListRequest("u", 500),
        ListRequest("u", 1),
        valued(*((f"N{n}", "x") for n in range(25))),
        valued(("N" * 50, "x")),
        valued(("N", "x" * 998)),
    ]
    async with opened(campaign_arn=CAMPAIGN, filter_arn=FILTER) as recommender:
        for request, words in refused:
            with pytest.raises(RecommenderRefused, match=words):
                await recommender.recommend(request, timeout_seconds=PATIENCE_SECONDS)
        assert runtime.asked == []
        for number, request in enumerate(longest, 1):
            await recommender.recommend(request, timeout_seconds=PATIENCE_SECONDS)
            assert len(runtime.asked) == number


async def test_a_hundred_simultaneous_calls_share_the_pool(
    runtime: Runtime, recommender: PersonalizeRecommender
) -> None:
    lists = await asyncio.gather(
        *(recommender.recommend(REQUEST, timeout_seconds=PATIENCE_SECONDS) for _ in range(100))
    )
    assert {ranked.item_ids for ranked in lists} == {("a", "b")}
    assert len(runtime.asked) == 100


class NoClient:
    client = None


@pytest.mark.parametrize("arns", [{}, {"campaign_arn": CAMPAIGN, "recommender_arn": RECOMMENDER}])
def test_exactly_one_arn_is_needed(arns: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        PersonalizeRecommender(NoClient(), clock=StandingClock(), **arns)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", '"a"'),
        ("a,b", '"a","b"'),
        (" a b , c ", '"a b","c"'),
        ('"a","b"', '"a","b"'),
        ('"a,b",c', '"a,b","c"'),
        ("12", "12"),
        ("-0.5,7", "-0.5,7"),
        ("007", '"007"'),
        ("1e5", '"1e5"'),
        ("٣", '"٣"'),
        ('5"', '"5\\""'),
        ('"open', '"\\"open"'),
        ("", ""),
        (" , ,", ""),
    ],
)
def test_filter_values_are_quoted_as_personalize_wants(value: str, expected: str) -> None:
    assert quote_filter_value(value) == expected


def test_every_error_of_the_model_is_translated() -> None:
    model = botocore.session.get_session().get_service_model("personalize-runtime")
    codes = {shape.error_code or shape.name for shape in model.error_shapes}
    assert codes
    assert codes <= personalize.ERROR_BY_CODE.keys()


def test_every_code_by_which_the_sdk_knows_throttling_is_throttling() -> None:
    table = personalize.ERROR_BY_CODE
    throttled = {code for code, kind in table.items() if kind is RecommenderThrottled}
    assert throttled == set(ThrottledRetryableChecker._THROTTLED_ERROR_CODES)
    assert set(TransientRetryableChecker._TRANSIENT_ERROR_CODES) <= table.keys()


NEVER_ON_A_CALL = {
    # the roots themselves, and a base that is known by its code
    "BotoCoreError", "ClientError", "EventStreamError",
    # warnings
    "ImminentRemovalWarning", "UnsupportedTLSVersionWarning",
    # other services
    "AwsChunkedWrapperError", "InvalidDNSNameError", "InvalidS3AddressingStyleError",
    "InvalidS3UsEast1RegionalEndpointConfigError", "InvalidSTSRegionalEndpointsConfigError",
    "MD5UnavailableError",
    "UnseekableStreamError", "UnsupportedOutpostResourceError", "UnsupportedS3AccesspointConfigurationError",
    "UnsupportedS3ArnError", "UnsupportedS3ConfigurationError", "UnsupportedS3ControlArnError",
    "UnsupportedS3ControlConfigurationError",
    # pages, waiters, stubs, discovery: nothing that we use
    "InvalidEndpointDiscoveryConfigurationError", "InvalidExpressionError", "OperationNotPageableError",
    "PaginationError", "StubAssertionError", "StubResponseError", "UnStubbedResponseError",
    "WaiterConfigError", "WaiterError",
    # making a client, which is not a call
    "ApiVersionNotFoundError", "InvalidChecksumConfigError", "InvalidDefaultsMode",
    "InvalidMaxRetryAttemptsError",
    "InvalidRetryConfigurationError", "InvalidRetryModeError", "MissingServiceIdError",
    "UndefinedModelAttributeError", "UnknownClientMethodError", "UnknownServiceStyle",
    "UnsupportedServiceProtocolsError",
}  # fmt: skip


def test_every_error_of_the_sdk_is_translated_or_known_to_stay_away() -> None:
    classes = {
        name: value
        for name, value in vars(sdk).items()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == sdk.__name__
    }
    translated = {
        name for name, value in classes.items() if any(base in personalize.ERROR_BY_CLASS for base in value.__mro__)
    }
    assert classes.keys() - translated == NEVER_ON_A_CALL
    assert not translated & NEVER_ON_A_CALL


def test_every_error_of_the_http_library_is_translated() -> None:
    classes = [value for value in vars(aiohttp).values() if inspect.isclass(value) and issubclass(value, Exception)]
    untranslated = {
        value.__name__ for value in classes if not any(base in personalize.ERROR_BY_CLASS for base in value.__mro__)
    }
    assert untranslated <= {
        "BadContentDispositionHeader", "BadContentDispositionParam", "EofStream", "WSMessageTypeError",
        "WebSocketError",
    }  # fmt: skip


async def test_settings_with_which_the_sdk_cannot_start_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME", "no address")
    with pytest.raises(ConfigurationError, match="the AWS SDK cannot start: Invalid endpoint"):
        async with opened():
            pass


@pytest.mark.parametrize(("error", "advice"), [(sdk.NoCredentialsError(), NO_CREDENTIALS), (ValueError("odd"), None)])
async def test_what_every_transaction_would_fail_of_is_said_at_the_start_with_what_helps(
    monkeypatch: pytest.MonkeyPatch, error: Exception, advice: str | None
) -> None:
    async def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(runtime_client._Runtime, "rehearse", fail)
    with capture_logs() as logs:
        async with opened():
            pass
    [line] = [line for line in logs if line["event"] == "personalize_cannot_be_asked"]
    assert line.get("advice") == advice


async def test_a_start_that_is_still_under_way_at_the_end_is_over_before_the_clients_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended, under_way = [], asyncio.Event()

    async def hang(_: object) -> None:
        under_way.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _step in range(20):
                await asyncio.sleep(0)
            ended.append("start")

    close = runtime_client._Runtime.__aexit__

    async def noted(self: runtime_client._Runtime, *raised: object) -> None:
        ended.append("client")
        await close(self, *raised)

    monkeypatch.setattr(runtime_client, "START_SECONDS", 0.01)
    monkeypatch.setattr(runtime_client._Runtime, "rehearse", hang)
    monkeypatch.setattr(runtime_client._Runtime, "__aexit__", noted)
    async with opened():
        await under_way.wait()
    assert ended == ["start", "client"]


async def test_a_filter_of_another_region_or_account_is_said_at_the_start() -> None:
    elsewhere = [FILTER.replace("eu-west-1", "us-east-1"), FILTER.replace("123456789012", "210987654321")]
    with capture_logs() as logs:
        for filter_arn in (FILTER, *elsewhere):
            async with opened(campaign_arn=CAMPAIGN, filter_arn=filter_arn):
                pass
        async with opened(recommender_arn=RECOMMENDER, filter_arn=FILTER):
            pass
    assert [line["filter_arn"] for line in logs if line["event"] == "personalize_filter_elsewhere"] == elsewhere


def test_what_is_an_error_of_ours_already_stays_as_it_is() -> None:
    with pytest.raises(RecommenderRefused, match="^no such filter$"), personalize.translated_errors():
        raise RecommenderRefused("no such filter")


async def test_a_timeout_of_the_http_library_is_a_timeout() -> None:
    for error in (aiohttp.ServerTimeoutError(), aiohttp.SocketTimeoutError(), TimeoutError()):
        with pytest.raises(RecommenderTimeout), personalize.translated_errors():
            raise error
