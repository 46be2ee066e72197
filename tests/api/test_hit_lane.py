"""What the lane in front of the application answers itself, what it lets through, and what it tells of both."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Final

import pytest

from service.answers.placement import Placements
from service.api import hit_lane
from service.api.hit_lane import HitLane
from service.api.lifecycle import ACCESS_LINE, ASKED, FAILED, LEAVING, Asked, Leaving, Lifecycle
from service.api.turns import MAX_A_TURN
from service.models import Answer
from tests.support.clocks import StandingClock

HEAD: Final = b"content-length: 2\r\nage: 7\r\n"
HEADERS: Final = [(b"content-length", b"2"), (b"age", b"7")]
HIT: Final = HEAD, b"[]", 7, ("for-you", "", "", 0), 0.25
LIVE: Final = Answer(b"[1]", "personalize", None, "", 3)
LIVE_HEADERS: Final = [
    (b"content-type", b"application/json"),
    (b"content-length", b"3"),
    (b"cache-control", b"no-store"),
    (b"x-recommendation-source", b"personalize"),
    (b"server-timing", b"total;dur=1500.0"),
    (b"age", b"3"),
]
SERVERS: Final = [(b"date", b"today")]
ID: Final = [(b"x-request-id", b"braze-1")]
NEW_ID: Final = b"a" * 32
QUERY: Final = b"user_id=u"
PATH: Final = "/recommendations"


class Telemetry:
    """Keeps what it hears; logs every request or none."""

    def __init__(self) -> None:
        self.logs = False
        self.asked = 0
        self.heard: list[tuple[Any, ...]] = []

    def sampled(self) -> bool:
        self.asked += 1
        return self.logs

    def hit(self, *said: object) -> None:
        self.heard.append(("hit", *said))

    def answered(self, *said: object) -> None:
        self.heard.append(("answered", *said))

    def other(self, *said: object) -> None:
        self.heard.append(("other", *said))


class Scene:
    """A lane before an application that answers 204; what it finds is set by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root_path: str = "") -> None:
        self.clock = StandingClock(100.0)
        self.telemetry = Telemetry()
        self.admitted = True
        self.found: object = HIT
        self.finds: list[tuple[Any, ...]] = []
        self.passed: list[MutableMapping[str, Any]] = []
        self.received: list[str] = []
        self.during: Callable[[MutableMapping[str, Any]], object] = lambda _: None
        self.lane = HitLane(self.app, Lifecycle(phase="ready"), root_path)  # type: ignore[arg-type]  # any application
        gate = SimpleNamespace(admits=lambda _: self.admitted)
        self.services: Any = SimpleNamespace(
            clock=self.clock, telemetry=self.telemetry, gate=gate, placements=Placements([])
        )
        self.answer: Callable[..., Awaitable[Answer | None]] = self.live
        monkeypatch.setattr(hit_lane, "new_request_id", lambda: NEW_ID)

        async def answer_to(*said: object) -> Answer | None:
            return await self.answer(*said)

        monkeypatch.setattr(hit_lane, "answer_to", answer_to)
        self.open()

    def open(self) -> None:
        self.lane.open(self.services)
        assert self.lane._hits is not None
        self.lane._hits.find = self.find  # type: ignore[method-assign]  # what it finds is another class's

    def find(self, *said: object, **more: object) -> Any:  # noqa: ANN401  # as the test has it
        self.finds.append((*said, more))
        return self.found

    async def live(self, *said: object) -> Answer | None:
        del said
        self.clock.now += 0.5
        return LIVE

    async def app(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401  # ASGI's own
        self.passed.append(scope)
        self.clock.now += 2.0
        if scope["type"] == "http":
            self.received.append((await receive())["type"])
        self.during(scope)
        await send({"type": "http.response.start", "status": 204, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b""})

    def at_once(
        self,
        target: bytes = PATH.encode() + b"?" + QUERY,
        headers: Sequence[tuple[bytes, bytes]] = (),
        servers: Sequence[tuple[bytes, bytes]] = SERVERS,
    ) -> Any:  # noqa: ANN401  # bytes or another
        return self.lane.at_once(target, headers, servers)

    async def ask(
        self,
        path: str = PATH,
        headers: Iterable[tuple[bytes, bytes]] = (),
        *,
        method: str = "GET",
        sends: str = "http.request",
        more: Mapping[str, object] | None = None,
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Status, headers and body of the answer; status 0 if none is sent."""
        status, got, body = 0, list[tuple[bytes, bytes]](), b""
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": QUERY,
            "headers": list(headers),
            **(more or {}),
        }

        async def receive() -> dict[str, Any]:
            return {"type": sends, "body": b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal status, got, body
            status, got = message.get("status", status), message.get("headers", got)
            body += message.get("body", b"")

        await self.lane(scope, receive, send)
        return status, got, body


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def asked() -> Asked:
    nothing: Any = None
    return Asked(nothing, nothing, nothing, None, 99.0)


BEGIN: Final = b"HTTP/1.1 200 OK\r\ndate: today\r\n"


@pytest.mark.parametrize(
    ("logs", "headers", "named", "said"),
    [
        (False, [], b"", None),
        (False, ID, b"x-request-id: braze-1\r\n", None),
        (True, ID, b"x-request-id: braze-1\r\n", b"braze-1"),
        (True, [], b"x-request-id: " + NEW_ID + b"\r\n", NEW_ID),
    ],
)
async def test_a_hit_is_named_as_its_caller_or_its_log_line_names_it(
    scene: Scene, *, logs: bool, headers: list[tuple[bytes, bytes]], named: bytes, said: bytes | None
) -> None:
    scene.telemetry.logs = logs
    heard = ("hit", HIT[3], 7, 0.25, said)
    assert scene.at_once(headers=headers) == BEGIN + HEAD + named + b"\r\n[]"
    assert scene.finds == [("recommendations", QUERY, 100.0, {"is_parsed": False})]
    assert scene.telemetry.heard == [heard]
    # The ordinary way says the same.
    names = [(b"x-request-id", named[14:-2])] if named else []
    assert await scene.ask(headers=headers) == (200, HEADERS + names, b"[]")
    assert scene.finds[1:] == [("recommendations", QUERY, 100.0, {})]
    assert scene.telemetry.heard == [heard, heard]
    assert scene.passed == []


def test_at_once_is_answered_while_the_lane_is_open_and_nothing_stands_around_it(scene: Scene) -> None:
    assert scene.at_once()
    scene.lane.lifecycle.phase = "draining"
    assert scene.at_once() is None
    scene.lane.lifecycle.phase = "ready"
    scene.lane.close()
    assert scene.at_once() is None
    scene.open()
    assert scene.at_once()
    scene.admitted = False
    assert scene.at_once() is None
    scene.admitted = True
    assert scene.at_once(b"/livez?user_id=u") is None
    scene.lane.surround(lambda app: app)
    assert scene.at_once() is None
    assert len(scene.finds) == len(scene.telemetry.heard) == 2


def test_what_is_found_out_and_is_no_answer_is_handed_on_untold(scene: Scene) -> None:
    for found in (None, asked()):
        scene.found = found
        assert scene.at_once() is found
    assert scene.telemetry.heard == []
    assert scene.telemetry.asked == 0


def test_an_answer_begins_with_the_servers_headers_of_now_unless_they_end_the_connection(scene: Scene) -> None:
    servers = [(b"date", b"one")]
    assert scene.at_once(servers=servers).startswith(b"HTTP/1.1 200 OK\r\ndate: one\r\ncontent-length")
    # The same ones are not written again.
    begins = scene.lane._begins
    scene.at_once(servers=servers)
    assert scene.lane._begins is begins
    assert scene.at_once(servers=[(b"date", b"two")]).startswith(b"HTTP/1.1 200 OK\r\ndate: two\r\ncontent-length")
    scene.at_once(servers=servers)
    servers.append((b"server", b"x"))
    assert scene.at_once(servers=servers).startswith(b"HTTP/1.1 200 OK\r\ndate: one\r\nserver: x\r\ncontent-length")
    servers.append((b"connection", b"close"))
    assert scene.at_once(servers=servers) is None
    assert scene.at_once(servers=servers) is None
    assert scene.at_once(servers=()).startswith(b"HTTP/1.1 200 OK\r\ncontent-length")


@pytest.mark.parametrize("root_path", ["", "/shop"])
@pytest.mark.parametrize(
    ("path", "kind"),
    [("/recommendations", "recommendations"), ("/similar-items", "similar-items"), ("/ranking", "ranking")],
)
async def test_each_path_asks_for_its_kind_with_the_prefix_and_without(
    monkeypatch: pytest.MonkeyPatch, root_path: str, path: str, kind: str
) -> None:
    scene = Scene(monkeypatch, root_path)
    for written in (path, root_path + path):
        assert scene.at_once(written.encode() + b"?" + QUERY)
        assert (await scene.ask(written))[0] == 200
    assert [one[:2] for one in scene.finds] == [(kind, QUERY)] * 4
    assert scene.at_once(b"/other" + path.encode()) is None
    assert (await scene.ask("/other" + path))[0] == 204


async def test_what_was_found_out_before_the_parser_is_not_looked_for_again(scene: Scene) -> None:
    assert (await scene.ask(more={ASKED: HIT}))[0] == 200
    assert await scene.ask(more={ASKED: asked()}) == (200, LIVE_HEADERS, b"[1]")
    assert scene.finds == []


@pytest.mark.parametrize("logs", [False, True])
@pytest.mark.parametrize("headers", [[], ID])
async def test_a_call_whose_list_is_yet_to_come_is_answered_when_it_has_come(
    scene: Scene, headers: list[tuple[bytes, bytes]], *, logs: bool
) -> None:
    scene.telemetry.logs, scene.found = logs, asked()
    request_id = b"braze-1" if headers else NEW_ID if logs else None
    names = [] if request_id is None else [(b"x-request-id", request_id)]
    said: list[tuple[Any, ...]] = []

    async def answer(*given: object) -> Answer | None:
        said.append(given)
        return await scene.live()

    scene.answer, leaving = answer, Leaving()
    assert await scene.ask(headers=headers, more={LEAVING: leaving}) == (200, LIVE_HEADERS + names, b"[1]")
    # From the call's begin and not from the look at it.
    assert scene.telemetry.heard == [("answered", LIVE, 1.5, request_id if logs else None)]
    [(services, what, of, _, left)] = said
    assert (services, what, of, left) == (scene.services, scene.found, headers, leaving)
    assert scene.passed == []


@pytest.mark.parametrize("logs", [False, True])
@pytest.mark.parametrize("headers", [[], ID])
async def test_a_client_that_has_left_meanwhile_is_only_logged(
    scene: Scene, headers: list[tuple[bytes, bytes]], *, logs: bool
) -> None:
    scene.telemetry.logs, scene.found = logs, asked()

    async def answer(*_: object) -> Answer | None:
        return None

    scene.answer = answer
    request_id = b"braze-1" if headers else NEW_ID if logs else None
    names = [] if request_id is None else [(b"x-request-id", request_id)]
    assert await scene.ask(headers=headers) == (499, [(b"content-length", b"0"), *names], b"")
    assert scene.telemetry.heard == ([("other", PATH, 499, 1.0, request_id)] if logs else [])


async def test_an_error_of_a_call_is_the_applications_to_put_into_words(scene: Scene) -> None:
    scene.found, error = asked(), ValueError("no such item")

    async def answer(*_: object) -> Answer | None:
        raise error

    scene.answer = answer
    assert await scene.ask(headers=ID) == (204, [(b"a", b"b"), *ID], b"")
    assert [one[FAILED] for one in scene.passed] == [error]
    assert scene.telemetry.heard == []


@pytest.mark.parametrize(
    "request_of",
    [
        {"path": "/version"},
        {"path": "/version", "method": "POST"},
        {"method": "POST"},
        {"path": "/ranking", "method": "POST"},
        {"admitted": False},
        {"found": None},
    ],
)
@pytest.mark.parametrize("logs", [False, True])
async def test_whatever_else_comes_is_the_applications_and_named_and_logged(
    scene: Scene, request_of: dict[str, Any], *, logs: bool
) -> None:
    scene.telemetry.logs = logs
    scene.admitted = request_of.get("admitted", True)
    scene.found = request_of.get("found", HIT)
    path, method = request_of.get("path", PATH), request_of.get("method", "GET")
    for headers in ([], ID):
        request_id = b"braze-1" if headers else NEW_ID if logs else None
        names = [] if request_id is None else [(b"x-request-id", request_id)]
        scene.telemetry.heard.clear()
        scene.during = lambda scope: scope.update(route=SimpleNamespace(path="/route"))
        assert await scene.ask(path, headers, method=method) == (204, [(b"a", b"b"), *names], b"")
        assert scene.telemetry.heard == ([("other", "/route", 204, 2.0, request_id)] if logs else [])
        assert scene.passed[-1][ACCESS_LINE] == (request_id if logs else None)
    assert len(scene.finds) == (2 if "found" in request_of else 0)
    assert scene.received == ["http.request"] * 2


async def test_a_route_that_has_said_its_line_itself_gets_no_other_one(scene: Scene) -> None:
    scene.telemetry.logs = True
    scene.during = lambda scope: scope.update({ACCESS_LINE: None})
    await scene.ask("/version")
    assert scene.telemetry.heard == []
    # One that no route has taken is logged without one.
    scene.during = lambda _: None
    await scene.ask("/nope")
    assert scene.telemetry.heard == [("other", None, 204, 2.0, NEW_ID)]


async def test_an_application_that_fails_is_logged_without_a_status(scene: Scene) -> None:
    scene.telemetry.logs = True

    def fail(_: object) -> None:
        raise ValueError("a fault of ours")

    scene.during = fail
    with suppress(ValueError):
        await scene.ask("/version")
    assert scene.telemetry.heard == [("other", None, 0, 2.0, NEW_ID)]


async def test_probes_and_metrics_are_not_logged_and_cost_no_sample(scene: Scene) -> None:
    scene.telemetry.logs = True
    for path in ("/livez", "/readyz", "/metrics"):
        assert await scene.ask(path) == (204, [(b"a", b"b")], b"")
    assert scene.telemetry.heard == []
    assert scene.telemetry.asked == 0


async def test_a_closed_lane_and_what_is_no_request_are_let_through_as_they_are(scene: Scene) -> None:
    scope: dict[str, Any] = {"type": "lifespan"}

    async def nothing(*_: object) -> Any:  # noqa: ANN401  # not asked
        return None

    await scene.lane(scope, nothing, nothing)
    scene.lane.close()
    assert await scene.ask(headers=ID) == (204, [(b"a", b"b")], b"")
    assert scene.passed[0] is scope
    assert ACCESS_LINE not in scene.passed[1]
    assert scene.finds == []
    # What stands around the answers stands around these too.
    seen: list[str] = []

    def around(app: Any) -> Any:  # noqa: ANN401  # ASGI's own
        async def answer(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  # as above
            seen.append(scope["type"])
            await app(scope, receive, send)

        return answer

    scene.lane.surround(around)
    await scene.ask()
    assert seen == ["http"]


CROWD: Final = 3 * MAX_A_TURN


@pytest.mark.parametrize(
    ("method", "sends", "reached"),
    [
        ("GET", "http.request", CROWD),
        # Who had to wait and has left meanwhile is not answered.
        ("GET", "http.disconnect", MAX_A_TURN),
        # A body is the route's to receive.
        ("POST", "http.disconnect", CROWD),
    ],
)
async def test_a_crowd_of_strangers_waits_in_a_line_that_callers_do_not_join(
    scene: Scene, method: str, sends: str, reached: int
) -> None:
    """I2"""
    order: list[str] = []

    async def ask(path: str, method: str, sends: str) -> None:
        status, _, _ = await scene.ask(path, method=method, sends=sends)
        if status:
            order.append(path)

    strangers = [asyncio.ensure_future(ask("/nope", method, sends)) for _ in range(CROWD)]
    callers = [asyncio.ensure_future(ask(PATH, "GET", sends)) for _ in range(CROWD)]
    await asyncio.gather(*strangers, *callers)
    assert order == ["/nope"] * MAX_A_TURN + [PATH] * CROWD + ["/nope"] * (reached - MAX_A_TURN)
    # Each request that has been taken out to look at it is received all the same.
    assert scene.received == [sends] * reached


async def test_what_comes_behind_a_message_that_was_looked_at_is_received_behind_it() -> None:
    left = [{"type": "http.request"}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    again = hit_lane._beginning_with(await receive(), receive)
    assert [(await again())["type"] for _ in range(2)] == ["http.request", "http.disconnect"]
