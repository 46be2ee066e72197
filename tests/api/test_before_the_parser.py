"""Which requests are answered before the parser returns, and in which state that leaves the connection.

The lane's answers are the test's own. That they are what the ordinary way sends is compared in `test_at_once.py`.
"""

import asyncio
from collections.abc import AsyncIterator, MutableMapping, Sequence
from typing import Any, Final

import pytest
import uvicorn
from uvicorn.server import ServerState

from service.api.at_once_protocol import MAX_LESSONS
from service.api.connections import Connections, hold_connections
from service.api.hit_lane import AT_ONCE_HEADERS, HitLane
from service.api.http_protocol import TolerantProtocol
from service.api.known_heads import KnownHeads, Shape
from service.api.lifecycle import ASKED, LEAVING, Asked, Lifecycle
from service.server import SERVER
from tests.support.clocks import StandingClock

KEY: Final = "X-API-Key: a"
HIT: Final = b"HTTP/1.1 200 OK\r\nhit: 1\r\n\r\n"
MAX_KNOWN, MAX_PATH, MAX_HEAD = 4_096, 4_096, 32_768
"""What docs/performance.md promises, or `docs/operate/figures.md`."""


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class CountedProtocol(TolerantProtocol):
    """Counts the packets that the parser has read."""

    parsed = 0

    def _parse(self, data: bytes) -> None:
        self.parsed += 1
        super()._parse(data)


class CountedHeads(KnownHeads):
    """Counts the heads that were looked at for their shape."""

    looks = 0

    def shape(self, end: bytes) -> Shape | None:
        self.looks += 1
        return super().shape(end)


class Lane(HitLane):
    """Finds what the test says, and has an application that answers 204."""

    def __init__(self, clock: StandingClock) -> None:
        super().__init__(self.reached, Lifecycle(), "")  # type: ignore[arg-type]  # any application
        self.heads: CountedHeads = CountedHeads(AT_ONCE_HEADERS, clock.monotonic)
        self.found: bytes | Asked | None = HIT
        self.asked: list[tuple[bytes, list[bytes]]] = []
        self.servers: list[object] = []
        self.scopes: list[MutableMapping[str, Any]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    def at_once(
        self, target: bytes, headers: Sequence[tuple[bytes, bytes]], servers: Sequence[tuple[bytes, bytes]]
    ) -> bytes | Asked | None:
        self.asked.append((target, [name for name, _ in headers]))
        self.servers.append(servers)
        return self.found

    async def reached(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  # ASGI's own
        self.scopes.append(scope)
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Wire:
    """One connection of a server."""

    def __init__(self, app: Any = None, **settings: Any) -> None:  # noqa: ANN401  # uvicorn's own
        self.clock = StandingClock()
        self.lane = Lane(self.clock)
        self.connections = Connections(monotonic=self.clock.monotonic)
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today")]
        hold_connections(self.state, self.connections)
        config = uvicorn.Config(app or self.lane, **{**SERVER, "loop": "none", **settings})
        config.load()
        self.protocol, self.transport = CountedProtocol(config, self.state, {}), Transport()
        self.protocol.connection_made(self.transport)

    async def send(self, *packets: bytes) -> tuple[list[bytes], int]:
        """The statuses that come back, and how often the parser was asked."""
        self.transport.written, before = b"", self.protocol.parsed
        for packet in packets:
            self.protocol.data_received(packet)
            await self.turned()
        statuses = [part[:3] for part in self.transport.written.split(b"HTTP/1.1 ")[1:]]
        return statuses, self.protocol.parsed - before

    async def turned(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def end(self) -> None:
        self.lane.go_on.set()
        await self.turned()
        if self.protocol.parser is not None:
            self.transport.closing = True
            self.protocol.connection_lost(None)
        await self.turned()
        assert not self.state.tasks
        assert len(self.connections) == 0


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    wire = Wire()
    yield wire
    await wire.end()


def get(target: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: a", *lines, "", ""]).encode()


def of_bytes(count: int, target: str = "/a") -> bytes:
    """A request of so many bytes, most of them in a header."""
    return get(target, "A: " + "x" * (count - len(get(target, "A: "))))


HIT_NOW, HIT_UNREAD, PASSED = ([b"200"], 1), ([b"200"], 0), ([b"204"], 1)
ONLY: Final = ["host", "x-api-key"]


async def test_what_is_found_is_sent_and_the_connection_goes_on(wire: Wire) -> None:
    assert await wire.send(get("/a?b", KEY, "User-Agent: c", "X-Request-Id: d")) == HIT_NOW
    assert wire.transport.written == HIT
    assert wire.lane.asked == [(b"/a?b", [b"x-api-key", b"x-request-id"])]
    assert wire.lane.servers == [wire.state.default_headers]
    assert wire.lane.scopes == []
    assert (wire.state.total_requests, wire.state.tasks) == (1, set())
    # It has been answered, as after the ordinary way.
    assert list(wire.connections._answered) == [wire.protocol]
    assert list(wire.connections._newcomers) == []
    # One that is not found is received whole, and so is the next one.
    wire.lane.found = None
    assert await wire.send(get("/b?c", KEY)) == PASSED
    assert await wire.send(get("/b?d", KEY), b"POST /e HTTP/1.1\r\nContent-Length: 1\r\n\r\n", b"x") == (
        [b"204", b"204"],
        3,
    )
    assert [(scope["path"], scope["query_string"]) for scope in wire.lane.scopes] == [
        ("/b", b"c"),
        ("/b", b"d"),
        ("/e", b""),
    ]
    assert not any({ASKED, LEAVING} & scope.keys() for scope in wire.lane.scopes)
    assert wire.state.total_requests == 4


async def test_what_was_found_out_goes_along_with_the_request_and_its_leaving(wire: Wire) -> None:
    nothing: Any = None
    wire.lane.found = asked = Asked(nothing, nothing, nothing, None, 0.0)
    wire.lane.go_on.clear()
    assert await wire.send(get("/a", KEY, "Trace: 1")) == ([], 1)
    [scope] = wire.lane.scopes
    assert scope[ASKED] is asked
    assert [name for name, _ in scope["headers"]] == [b"host", b"x-api-key", b"trace"]
    assert not scope[LEAVING].has_left()
    wire.transport.closing = True
    wire.protocol.connection_lost(None)
    assert scope[LEAVING].has_left()
    assert len(wire.lane.asked) == 1


@pytest.mark.parametrize(
    ("packet", "way"),
    [
        (get("/a", "Connection: keep-alive"), HIT_NOW),
        (get("/a", "Proxy-Connection: keep-alive"), HIT_NOW),
        (get("/a", "Connection: close"), PASSED),
        (get("/a", "Connection: Upgrade", "Upgrade: h2c"), PASSED),
        (get("/a", "Content-Length: 0"), PASSED),
        (get("/a", "Expect: 100-continue"), ([b"100", b"204"], 1)),
        (get("/a", "Expect: another"), HIT_NOW),
        (get("/a").replace(b"1.1", b"1.0", 1), PASSED),
        (get("/a").replace(b"GET", b"HEAD"), PASSED),
        (get("/a").replace(b"GET", b"POST"), PASSED),
        (get("/a") * 2, ([b"204", b"204"], 1)),
        (get("/a") + b"\r\n", PASSED),
        (b"\r\n" + get("/a"), HIT_NOW),
        (get("/" + "a" * (MAX_PATH - 1)), HIT_NOW),
        (get("/a?" + "a" * (MAX_PATH - 2)), PASSED),
        (of_bytes(MAX_HEAD), HIT_NOW),
        (of_bytes(MAX_HEAD + 1), PASSED),
        (get("/ü"), HIT_NOW),
        (get("/a b"), HIT_NOW),
    ],
    ids=lambda one: repr(one[:60]) if isinstance(one, bytes) else None,
)
async def test_only_a_plain_request_is_answered_before_the_parser_returns(
    wire: Wire, packet: bytes, way: tuple[list[bytes], int]
) -> None:
    assert await wire.send(packet) == way
    assert len(wire.lane.asked) == (way == HIT_NOW)
    assert len(wire.lane.scopes) == way[0].count(b"204")
    # One that is cut in two is the parser's.
    if way == HIT_NOW:
        wire.protocol._known_end, wire.protocol._known_head = b"", None
        assert await wire.send(packet[:-1], packet[-1:]) == ([b"204"], 2)


async def test_the_head_of_each_request_is_measured_by_itself(wire: Wire) -> None:
    longest = of_bytes(MAX_HEAD)
    assert await wire.send(longest, longest) == ([b"200", b"200"], 2)
    wire.lane.found = None
    assert await wire.send(longest, longest) == ([b"204", b"204"], 2)


async def test_nothing_is_answered_while_another_request_is_under_way_or_unsent(wire: Wire) -> None:
    plain = get("/a", KEY)
    assert await wire.send(plain) == HIT_NOW
    wire.protocol.pause_writing()
    assert await wire.send(plain) == ([], 1)
    assert len(wire.lane.asked) == 1
    wire.protocol.resume_writing()
    await wire.turned()
    assert wire.transport.written.startswith(b"HTTP/1.1 204")
    assert await wire.send(plain) == HIT_UNREAD
    wire.lane.go_on.clear()
    assert await wire.send(b"POST /b HTTP/1.1\r\n\r\n", plain) == ([], 2)
    # It is the service's turn, also on a connection that was answered so before.
    assert wire.connections.idle == 0
    wire.lane.go_on.set()
    await wire.turned()
    assert len(wire.lane.scopes) == 3
    assert await wire.send(plain) == HIT_UNREAD
    wire.connections.stop()
    assert await wire.send(plain) == PASSED
    assert len(wire.lane.asked) == 3
    wire.transport.closing = False


@pytest.mark.parametrize("settings", [{"access_log": True}, {"limit_concurrency": 100}])
async def test_with_a_log_or_a_limit_of_the_servers_own_there_is_no_short_way(settings: dict[str, Any]) -> None:
    wire = Wire(**settings)
    assert await wire.send(get("/a"), get("/a")) == ([b"204", b"204"], 2)
    assert wire.lane.asked == []
    await wire.end()


async def test_before_another_application_there_is_no_short_way() -> None:
    lane = Lane(StandingClock())
    wire = Wire(lane.reached, interface="asgi3")
    assert await wire.send(get("/a"), get("/a")) == ([b"204", b"204"], 2)
    await wire.end()


async def test_a_head_that_was_answered_is_known_again_up_to_a_length(wire: Wire) -> None:
    assert await wire.send(of_bytes(MAX_KNOWN)) == HIT_NOW
    assert await wire.send(of_bytes(MAX_KNOWN)) == HIT_UNREAD
    # The target is what differs; the headers are those that the parser has found.
    end = of_bytes(MAX_KNOWN).partition(b" HTTP")[2]
    assert await wire.send(b"GET /b?c HTTP" + end.replace(b"xx", b"", 1)) == HIT_NOW
    assert await wire.send(of_bytes(MAX_KNOWN + 1)) == HIT_NOW
    assert await wire.send(of_bytes(MAX_KNOWN + 1)) == HIT_NOW
    assert await wire.send(get("/a", KEY)) == HIT_NOW
    assert await wire.send(get("/d", KEY)) == HIT_UNREAD
    assert wire.lane.asked[-1] == (b"/d", [b"x-api-key"])
    assert await wire.send(get("/d?" + "e" * MAX_KNOWN, KEY)) == PASSED
    # What is known of another method, or has more before it, is not the same.
    assert await wire.send(get("/d", KEY).replace(b"GET", b"PUT")) == PASSED
    wire.lane.found = None
    assert await wire.send(get("/d", KEY)) == PASSED
    # It has been looked for once, and is not looked for again behind the parser.
    assert wire.state.total_requests == len(wire.lane.scopes) + 7


async def test_headers_of_one_shape_are_known_from_the_third_and_others_are_not(wire: Wire) -> None:
    ways = [await wire.send(get(f"/{number}", KEY, f"Trace: {number}")) for number in range(4)]
    assert ways == [HIT_NOW, HIT_NOW, HIT_UNREAD, HIT_UNREAD]
    assert wire.lane.asked == [(b"/%d" % number, [b"x-api-key"]) for number in range(4)]
    assert wire.lane.heads.looks == 2
    assert await wire.send(get("/5", "X-API-Key: b", "Trace: 5")) == HIT_NOW
    # One that names each request is not looked at for it: the answer has that name.
    for number in range(4):
        assert await wire.send(get("/a", KEY, f"X-Request-Id: {number}")) == HIT_NOW
    assert wire.lane.heads.looks == 3


async def test_so_many_heads_in_vain_are_looked_at_and_a_known_one_outlives_others(wire: Wire) -> None:
    async def vary(count: int) -> int:
        before = wire.lane.heads.looks
        for number in range(count):
            assert await wire.send(get("/a", f"A{number}{count}: 1")) == HIT_NOW
        return wire.lane.heads.looks - before

    async def same(number: int) -> tuple[list[bytes], int]:
        return await wire.send(get("/a", f"Trace: {number}"))

    assert await vary(MAX_LESSONS - 2) == MAX_LESSONS - 2
    assert [await same(number) for number in range(2)] == [HIT_NOW, HIT_NOW]
    assert wire.lane.heads.looks == MAX_LESSONS == 16
    # From now on nothing is learnt in its place.
    assert await vary(3) == 0
    assert await same(3) == HIT_UNREAD
    # It counts anew now, and what comes in between takes its place.
    assert await vary(MAX_LESSONS) == MAX_LESSONS
    assert await vary(2) == 0
    assert [await same(number) for number in range(4, 7)] == [HIT_NOW] * 3
    # Without a shape the same head is known all the same.
    assert await same(6) == HIT_UNREAD
