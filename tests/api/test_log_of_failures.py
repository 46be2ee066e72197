"""Whatever fails, and however the other side quotes what it was sent: nothing of a request is in the log.

The other sides here put all that they are sent into whatever they answer.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis.exceptions import (
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from service.events import intake, outbox
from service.fleet.causes import cause_of
from service.logs import configure_logging
from service.personalize.sdk.errors import ERROR_BY_CODE
from tests.support.front_door import OpenDoor
from tests.support.redis import RedisServer
from tests.support.streams import connected, serving
from tests.support.waiting import until

ADMIN = "an-admin-key-of-twenty-four-letters"
EVENT_KEY = "events-key-of-twenty-four-letters"
MAIL = "zoe.q@example.com"
USER = "user-zoe"
CONTEXT = "context-zoe"
ITEM = "item-zoe"
SECRETS = ("zoe", ADMIN, EVENT_KEY)
FILTER = "arn:aws:personalize:us-east-1:000000000000:filter/f"

Answer = Callable[[bytes], bytes]
"""From the body of a request to the bytes that are sent back."""


@pytest.fixture(autouse=True)
def quiet_client() -> Iterator[None]:
    # The client of these tests logs each URL.
    logger = logging.getLogger("httpx")
    level = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(level)


def http(status: int, body: bytes, code: str = "", length: int | None = None) -> bytes:
    kind = f"x-amzn-ErrorType: {code}\r\n" if code else ""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{kind}"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % (len(body) if length is None else length) + body


def refusal(code: str, status: int = 400) -> Answer:
    return lambda sent: http(status, json.dumps({"message": f"not this: {sent.decode()}"}).encode(), code)


def quoted_code(sent: bytes) -> bytes:
    return http(400, b"{}", "".join(filter(str.isprintable, sent.decode())))


ANSWERS: dict[str, Answer] = {
    **{code: refusal(code) for code in ERROR_BY_CODE},
    "a code that nobody knows": refusal("SomethingNewException"),
    "the request as a code": quoted_code,
    **{f"status {status}": refusal("", status) for status in (400, 404, 408, 429, 500, 502, 503, 504)},
    "no JSON": lambda sent: http(200, b"<html>" + sent),
    "no JSON, refused": lambda sent: http(400, b"<html>" + sent),
    "a text": lambda sent: http(200, json.dumps(sent.decode()).encode()),
    "a text for a list": lambda sent: http(200, json.dumps({"itemList": sent.decode()}).encode()),
    "the request": lambda sent: http(200, sent),
    "the request, refused": lambda sent: http(400, sent),
    "no HTTP": lambda sent: sent + b"\r\n\r\n",
    "a header of its own": lambda sent: b"HTTP/1.1 200 X\r\n" + sent.replace(b":", b"") + b"\r\n\r\n",
    "cut short": lambda sent: http(200, sent, length=9_999),
    "nothing": lambda _: b"",
}


@dataclass(slots=True)
class Echo:
    """A server of Amazon's that quotes."""

    port: int = 0
    asked: list[bytes] = field(default_factory=list)
    answer: Answer = ANSWERS["nothing"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            body = await reader.readexactly(length)
            self.asked.append(body)
            writer.write(self.answer(body))
            await writer.drain()


@asynccontextmanager
async def echo() -> AsyncIterator[Echo]:
    found = Echo()
    async with serving(found.serve) as found.port:
        yield found


def assert_nothing_of_a_request(written: str, *events: str) -> None:
    lines = written.splitlines()
    logged = [json.loads(line)["event"] for line in lines if line.startswith("{")]
    for event in events:
        assert event in logged
    assert [line for line in lines if any(secret in line for secret in SECRETS)] == []


def placements(folder: Path) -> str:
    arn = "arn:aws:personalize:us-east-1:000000000000"
    file = folder / "placements.toml"
    file.write_text(
        f"""
[placements.for-you]
campaign_arn = "{arn}:campaign/for-you"
tps = 500
filter_arn = "{FILTER}"
context_names = ["SEASON"]
[placements.similar]
kind = "similar-items"
campaign_arn = "{arn}:campaign/similar"
tps = 500
[placements.ranking]
kind = "ranking"
campaign_arn = "{arn}:campaign/ranking"
tps = 500
"""
    )
    return str(file)


async def test_nothing_of_a_request_is_logged_however_personalize_fails(
    open_door: OpenDoor, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """I8"""
    async with (
        echo() as personalize,
        open_door(
            local_personalize=personalize.url, PERSONALIZE_CAMPAIGN_ARN="", PLACEMENTS_FILE=placements(tmp_path)
        ) as door,
    ):
        configure_logging("info", "json")
        for number, (kind, answer) in enumerate(ANSWERS.items()):
            personalize.answer = answer
            # The breaker has closed again, and each kind may be in the log again.
            door.clock.moved_seconds += 61
            paths = [
                f"/recommendations?user_id={USER}{number}&filter_values.MAIL={MAIL}&context.SEASON={CONTEXT}",
                f"/similar-items?item_id={ITEM}{number}",
                f"/ranking?user_id={USER}{number}&item_ids={ITEM}{number},item001",
            ]
            before = len(personalize.asked)
            for path in paths:
                assert (await door.http.get(path)).status_code == 200, kind
            assert len(personalize.asked) == before + 3, kind
        assert any(MAIL.encode() in sent and CONTEXT.encode() in sent for sent in personalize.asked)
    written = capsys.readouterr().err
    assert_nothing_of_a_request(written, "personalize_failed")
    assert written.count("personalize_failed") >= 3 * (len(ANSWERS) - 5)


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the other side leaves."""
    with suppress(OSError):
        await reader.read()
    writer.close()


async def test_nothing_of_a_request_is_logged_when_personalize_is_away_or_slow(
    open_door: OpenDoor, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """I8"""
    async with echo() as personalize:
        gone = personalize.url
    async with open_door(
        local_personalize=gone,
        PERSONALIZE_CAMPAIGN_ARN="",
        PLACEMENTS_FILE=placements(tmp_path),
        REQUEST_DEADLINE_SECONDS="0.3",
    ) as door:
        configure_logging("info", "json")
        await door.http.get(f"/recommendations?user_id={USER}&filter_values.MAIL={MAIL}")
        async with serving(says_nothing, int(gone.rpartition(":")[2])):
            await door.http.get(f"/recommendations?user_id={USER}1&filter_values.MAIL={MAIL}")
    assert_nothing_of_a_request(capsys.readouterr().err, "personalize_failed")


async def test_nothing_of_an_event_is_logged_however_its_call_fails(
    open_door: OpenDoor, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """I8"""
    monkeypatch.setattr(outbox, "MIN_PAUSE_SECONDS", 0.001)
    async with echo() as personalize:
        kinds = list(ANSWERS.values())

        def answer_of_the_turn(sent: bytes) -> bytes:
            return kinds[len(personalize.asked) % len(kinds)](sent)

        personalize.answer = answer_of_the_turn
        async with open_door(
            local_personalize="http://127.0.0.1:9",
            AWS_ENDPOINT_URL_PERSONALIZE_EVENTS=personalize.url,
            EVENT_KEYS=EVENT_KEY,
            PERSONALIZE_TRACKING_ID="tracker",
        ) as door:
            configure_logging("info", "json")
            for number in range(len(kinds)):
                event = {"eventType": "View", "itemId": ITEM, "properties": {"mail": MAIL}}
                body = {"userId": f"{USER}{number}", "sessionId": f"{USER}-s", "eventList": [event]}
                answer = await door.http.post("/events", json=body, headers={"X-API-Key": EVENT_KEY})
                assert answer.status_code == 202
            refused = await door.http.post("/events", content=MAIL, headers={"X-API-Key": EVENT_KEY})
            assert refused.status_code == 422
            await until(lambda: len(personalize.asked) > len(kinds))
    assert any(MAIL.encode() in sent for sent in personalize.asked)
    assert_nothing_of_a_request(capsys.readouterr().err, "events_not_sent", "refused")


REDIS_CODES = (
    *("ERR", "OOM", "NOPERM", "NOAUTH", "WRONGPASS", "LOADING", "READONLY", "MISCONF", "BUSY", "WRONGTYPE"),
    *("CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "NOREPLICAS", "EXECABORT", "UNKILLABLE", "SOMETHINGNEW"),
)


class QuotingRedis:
    """A way to a real Redis that can answer every command with an error that quotes it."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self.fails = False
        self.quoted = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            async with connected(self._to_port) as (there, back):
                answering = asyncio.ensure_future(self._back(there, writer))
                try:
                    while True:
                        whole, words = await self._command(reader)
                        if not self.fails:
                            back.write(whole)
                            continue
                        code = REDIS_CODES[self.quoted % len(REDIS_CODES)]
                        self.quoted += 1
                        said = " ".join(words).replace("\r", " ").replace("\n", " ")
                        writer.write(f"-{code} while doing '{said}'\r\n".encode())
                finally:
                    answering.cancel()

    async def _command(self, reader: asyncio.StreamReader) -> tuple[bytes, list[str]]:
        whole = await reader.readuntil(b"\r\n")
        words = []
        for _ in range(int(whole[1:])):
            size = await reader.readuntil(b"\r\n")
            word = await reader.readexactly(int(size[1:]) + 2)
            whole += size + word
            words.append(word[:-2].decode("utf-8", "replace"))
        return whole, words

    async def _back(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await there.read(65_536):
                writer.write(data)


async def test_nothing_of_a_request_is_logged_however_redis_fails(
    open_door: OpenDoor,
    capsys: pytest.CaptureFixture[str],
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """I8"""
    # An event waits for a Redis that is away, and here it stays away.
    monkeypatch.setattr(intake, "PATIENCE_SECONDS", 0.01)
    redis = QuotingRedis(redis_server.port)
    async with serving(redis.serve) as redis.port:
        settings = {
            "REDIS_URL": f"redis://127.0.0.1:{redis.port}",
            "ADMIN_KEYS": ADMIN,
            "EVENT_KEYS": EVENT_KEY,
            "EXCLUDE_AFTER": "View:1d",
            "PERSONALIZE_FILTER_ARN": FILTER,
        }
        async with open_door(**settings) as door:
            configure_logging("info", "json")
            door.http.headers["X-API-Key"] = ADMIN
            await door.shows("redis_up 1.0")
            redis.fails = True
            for number in range(6):
                user = f"{USER}{number}"
                answer = await door.http.get(f"/recommendations?user_id={user}&filter_values.MAIL={MAIL}")
                assert answer.status_code == 200
                await door.http.put(f"/items/{ITEM}/block")
                await door.http.delete(f"/users/{user}")
                event = {
                    "userId": user,
                    "eventList": [{"eventType": "View", "itemId": ITEM, "properties": {"a": MAIL}}],
                }
                await door.http.post("/events", json=event, headers={"X-API-Key": EVENT_KEY})
    assert redis.quoted > 0
    assert_nothing_of_a_request(capsys.readouterr().err)


@pytest.mark.parametrize("code", REDIS_CODES)
def test_the_cause_of_redis_failure_quotes_no_command(code: str) -> None:
    """I8"""
    said = f"{code} while doing 'set lists:{USER} {MAIL}'"
    for kind in (ResponseError, NoPermissionError, OutOfMemoryError, BusyLoadingError, ReadOnlyError):
        cause = cause_of(kind(said), tls=False)
        assert "zoe" not in str(cause)
