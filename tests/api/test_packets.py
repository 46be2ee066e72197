"""What the protocol makes of packets: without a server, over a transport that remembers, in virtual time."""

import asyncio
import json
import re
import select
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import pytest
import uvicorn
from uvicorn.server import ServerState

from service.api.connections import Connections, hold_connections
from service.api.delays import UNDELAYED
from service.api.http_protocol import LONG_PACKET_BYTES, MAX_PIPELINED, TolerantProtocol
from service.api.limits import MAX_BODY_BYTES, MAX_CHUNKS, MAX_HEADERS
from tests.support.virtual_time import VirtualClock, run_virtual

MAX_TARGET, MAX_PATH, MAX_HEAD = 65_535, 4_096, 32_768
"""What docs/performance.md promises."""

GET: Final = b"GET /a?b=1 HTTP/1.1\r\nHost: x\r\n\r\n"
HELD: Final = b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n"
POST: Final = b"POST /a HTTP/1.1\r\nHost: x\r\n"
CHUNKED: Final = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Transport(asyncio.Transport):
    """Remembers what is written, and what becomes of it."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__({"socket": connected, "peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.did: list[str] = []
        self.unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closing()
        self.written += bytes(data)

    def write_eof(self) -> None:
        self.did.append("eof")

    def is_closing(self) -> bool:
        return "close" in self.did or "abort" in self.did

    def close(self) -> None:
        self.did.append("close")

    def abort(self) -> None:
        self.did.append("abort")

    def pause_reading(self) -> None:
        self.did.append("pause")

    def resume_reading(self) -> None:
        self.did.append("resume")

    def get_write_buffer_size(self) -> int:
        return self.unsent


class Wire:
    """One server with one connection at a time."""

    def __init__(self) -> None:
        self.clock = VirtualClock(asyncio.get_running_loop())
        self.connections = Connections(8, self.clock.monotonic)
        self.refused: list[tuple[str, int]] = []
        self.connections.on_refused = lambda path, status, _, __: self.refused.append((path, status))
        self.state = ServerState()
        hold_connections(self.state, self.connections)
        self.config = uvicorn.Config(
            self.app, http=TolerantProtocol, ws="none", log_config=None, proxy_headers=False, interface="asgi3"
        )
        self.config.load()
        self.go_on = asyncio.Event()
        self.seen: list[tuple[str, str, bytes, bytes]] = []
        """Method, path, query and body of each request."""
        self.left: list[str] = []
        """Paths of those whose client was seen to leave."""
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.sockets = [self.listening]
        self.connect()

    def connect(self) -> None:
        self.client = socket.create_connection(self.listening.getsockname(), timeout=5)
        here, _ = self.listening.accept()
        self.sockets += [here, self.client]
        self.transport = Transport(here)
        self.protocol = TolerantProtocol(self.config, self.state, {})
        self.protocol.connection_made(self.transport)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  # ASGI's own
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.append(scope["path"])
                return
            body += message["body"]
            more = message["more_body"]
        self.seen.append((scope["method"], scope["path"], scope["query_string"], body))
        if scope["path"] == "/waits":
            assert (await receive())["type"] == "http.disconnect"
            self.left.append(scope["path"])
            return
        if scope["path"] == "/held":
            await self.go_on.wait()
        answer = json.dumps([scope["path"], len(body)]).encode()
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["path"] == "/slow":
            await self.go_on.wait()
        await send({"type": "http.response.body", "body": answer})

    async def turned(self) -> None:
        """All that is ready has been done."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def send(self, *packets: bytes) -> None:
        for packet in packets:
            if self.transport.is_closing():
                break
            self.protocol.data_received(packet)
            await self.turned()

    def turn(self) -> str | None:
        """Whose turn it is, as the connections of the server know it; None while the client waits."""
        found = self.connections._until.get(self.protocol)
        return None if found is None else found[1]

    def refuse_many(self) -> None:
        """As many as are refused at once in a second."""
        for _ in range(UNDELAYED):
            self.connections.delays.seconds()

    def statuses(self) -> list[int]:
        return [int(one) for one in re.findall(rb"HTTP/1.1 (\d+)", self.transport.written)]

    def done(self) -> None:
        """The connection is gone."""
        if self.protocol.parser is not None:
            self.protocol.connection_lost(None)


def play(scenario: Callable[[Wire], Awaitable[None]]) -> None:
    async def run() -> None:
        wire = Wire()
        try:
            await scenario(wire)
        finally:
            wire.done()
            wire.go_on.set()
            await wire.turned()
            for one in wire.sockets:
                one.close()
        assert len(wire.connections) == 0
        assert not wire.state.tasks

    run_virtual(run())


STREAMS: Final = {
    "one": (GET, [200]),
    "empty lines before it": (b"\r\n\n\r\n" + GET, [200]),
    "two": (GET + HELD.replace(b"held", b"c"), [200, 200]),
    "a body and another": (POST + b"Content-Length: 5\r\n\r\nhello" + GET, [200, 200]),
    "chunks, a trailer and another": (CHUNKED + b"2;x=y\r\nab\r\n3\r\ncde\r\n0\r\nA: b\r\n\r\n" + GET, [200, 200]),
    "blanks and letters": ("GET /ä b?q=ü \\x&r= HTTP/1.1\r\nHost: x\r\n\r\n".encode(), [200]),
    "a whole address": ("GET http://x/ä HTTP/1.1\r\nHost: x\r\n\r\n".encode(), [200]),
    "HEAD": (GET.replace(b"GET", b"HEAD") + GET, [200, 200]),
    "a body nobody wants": (GET.replace(b"Host", b"Content-Length: 3\r\nHost") + b"abc" + GET, [200, 200]),
    "continue": (POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", [100, 200]),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01", [400]),
    "small letters": (b"get / HTTP/1.1\r\n\r\n", [400]),
    "a control character": (b"GET /\x01 HTTP/1.1\r\n\r\n", [400]),
    "closed behind it": (GET.replace(b"Host", b"Connection: close\r\nHost"), [200]),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_however_requests_are_cut_into_packets_they_are_the_same(stream: str) -> None:
    """E1"""
    whole, statuses = STREAMS[stream]

    async def scenario(wire: Wire) -> None:
        found = []
        steps = [1, 7, *range(11, len(whole), 17), len(whole)]
        for step in steps:
            wire.seen.clear()
            await wire.send(*(whole[at : at + step] for at in range(0, len(whole), step)))
            assert wire.statuses() == statuses, step
            assert wire.connections.idle == 1
            ends = [one for one in wire.transport.did if one not in ("pause", "resume")]
            found.append((list(wire.seen), re.sub(rb"date: .*?\r\n", b"", wire.transport.written), ends, wire.turn()))
            wire.done()
            wire.connect()
        assert found == [found[0]] * len(steps)
        if statuses == [400]:
            _, written, ends, turn = found[0]
            assert ends == ["eof"]
            assert turn == "read_refusal"
            assert json.loads(written.partition(b"\r\n\r\n")[2]).keys() == {"error", "message"}

    play(scenario)


def test_a_body_that_nobody_asked_for_is_dropped() -> None:
    async def scenario(wire: Wire) -> None:
        for method in (b"GET", b"HEAD", b"PUT"):
            await wire.send(method + b" / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
        assert [body for *_, body in wire.seen] == [b"", b"", b"abc"]

    play(scenario)


def test_what_a_template_leaves_unescaped_arrives_as_it_was_meant() -> None:
    """E1"""

    async def scenario(wire: Wire) -> None:
        await wire.send(STREAMS["blanks and letters"][0])
        assert wire.seen == [("GET", "/ä b", b"q=%c3%bc%20%5Cx&r=", b"")]

    play(scenario)


@pytest.mark.parametrize("at", [MAX_TARGET - 1, MAX_TARGET, MAX_TARGET + 4])
def test_the_longest_target_is_escaped_wherever_it_is_cut(at: int) -> None:
    """E1"""

    async def scenario(wire: Wire) -> None:
        whole = get(b"/a?" + b"\xc3\xbc" + b"q" * (MAX_TARGET - 9))
        await wire.send(whole[:at], whole[at:])
        assert wire.statuses() == [200]
        assert wire.seen[0][2].startswith(b"%c3%bcq")

    play(scenario)


def get(target: bytes, headers: bytes = b"Host: x\r\n", method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + headers + b"\r\n"


def post(length: int) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % length


def chunk(size: int, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (size, extension, b"x" * size)


END = b"0\r\n\r\n"
HEADER_AT_MOST = b"A: " + b"x" * (MAX_HEAD - 1) + b"\r\n"
BOUNDS: Final = {
    "target": (get(b"/a?" + b"q" * (MAX_TARGET - 3)), get(b"/a?" + b"q" * (MAX_TARGET - 2)), 431),
    "path": (get(b"/" + b"p" * (MAX_PATH - 1)), get(b"/" + b"p" * MAX_PATH), 431),
    "path before a query": (get(b"/" + b"p" * (MAX_PATH - 1) + b"?q"), get(b"/" + b"p" * MAX_PATH + b"?q"), 431),
    "escaped target": (
        get(b"/a?" + b"\xc3\xbc" * 10_000 + b"q" * 5_532),
        get(b"/a?" + b"\xc3\xbc" * 10_000 + b"q" * 5_533),
        431,
    ),
    "header": (get(b"/", HEADER_AT_MOST), get(b"/", b"x" + HEADER_AT_MOST), 431),
    "header of a POST": (
        get(b"/", HEADER_AT_MOST, b"POST"),
        get(b"/", b"x" + HEADER_AT_MOST, b"POST"),
        431,
    ),
    "headers": (get(b"/", b"a: b\r\n" * MAX_HEADERS), get(b"/", b"a: b\r\n" * (MAX_HEADERS + 1)), 431),
    "announced body": (post(MAX_BODY_BYTES) + b"x" * MAX_BODY_BYTES, post(MAX_BODY_BYTES + 1), 413),
    "body": (CHUNKED + chunk(MAX_BODY_BYTES) + END, CHUNKED + chunk(MAX_BODY_BYTES + 1) + END, 413),
    "chunks": (
        CHUNKED + chunk(1) * (MAX_CHUNKS - 1) + END,
        CHUNKED + chunk(1) * MAX_CHUNKS + END,
        413,
    ),
    "chunks of 256 bytes": (
        CHUNKED + chunk(256) * 10 + chunk(1) * (MAX_CHUNKS - 1) + END,
        CHUNKED + chunk(256) * 10 + chunk(1) * MAX_CHUNKS + END,
        413,
    ),
    "trailers": (
        CHUNKED + b"0\r\n" + b"a: b\r\n" * (MAX_HEADERS - 2) + b"\r\n",
        CHUNKED + b"0\r\n" + b"a: b\r\n" * (MAX_HEADERS - 1) + b"\r\n",
        431,
    ),
}


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("cut", [False, True])
def test_a_request_may_be_so_large_and_no_larger_and_the_next_one_as_large(bound: str, *, cut: bool) -> None:
    """I3"""
    taken, refused, status = BOUNDS[bound]

    def packets(whole: bytes) -> Iterable[bytes]:
        return (whole[at : at + 60_000] for at in range(0, len(whole), 60_000)) if cut else [whole]

    async def scenario(wire: Wire) -> None:
        for number in (1, 2, 3):
            await wire.send(*packets(taken))
            assert wire.statuses() == [200] * number
        assert wire.turn() == "ask"
        await wire.send(*packets(refused))
        assert wire.statuses() == [200, 200, 200, status]
        await wire.send(GET)
        assert len(wire.statuses()) == 4
        assert [found for _, found in wire.refused] == [status]
        # The last words are written, or the connection ends when all of the body has been dropped.
        assert ("eof" in wire.transport.did) == (bound != "announced body")
        assert b"connection: close" in wire.transport.written or bound == "announced body"

    play(scenario)


@pytest.mark.parametrize("what", ["extension", "trailer"])
def test_what_stands_around_a_body_is_bounded_too(what: str) -> None:
    """I3"""
    most = MAX_BODY_BYTES + MAX_HEAD

    async def scenario(wire: Wire) -> None:
        end = END if what == "extension" else b"\r\n"
        for more, statuses in ((0, [200]), (1, [200, 413])):
            begin = b"1;" if what == "extension" else b"1\r\nx\r\n0\r\na: "
            close = b"\r\nx\r\n" if what == "extension" else b"\r\n"
            room = most - len(begin) + more
            await wire.send(CHUNKED, begin, *[b"e" * 65_536] * (room // 65_536), b"e" * (room % 65_536), close + end)
            assert wire.statuses() == statuses

    play(scenario)


def test_a_head_that_never_ends_is_refused_before_it_is_kept() -> None:
    """I3"""

    async def scenario(wire: Wire) -> None:
        begin = b"GET / HTTP/1.1\r\nA: "
        await wire.send(begin, b"x" * (MAX_TARGET + MAX_HEAD - len(begin)))
        assert wire.statuses() == []
        assert wire.turn() == "send"
        await wire.send(b"x")
        assert wire.statuses() == [431]
        assert wire.refused == [("", 431)]

    play(scenario)


def test_so_many_requests_wait_behind_one_and_with_one_more_the_connection_ends_behind_them() -> None:
    """I2"""

    async def scenario(wire: Wire) -> None:
        await wire.send(HELD, GET * MAX_PIPELINED)
        assert wire.turn() is None
        wire.go_on.set()
        for _ in range(5):
            await wire.turned()
        assert wire.statuses() == [200] * (MAX_PIPELINED + 1)
        assert wire.turn() == "ask"
        wire.done()

        wire.go_on.clear()
        wire.connect()
        await wire.send(HELD, GET * (MAX_PIPELINED + 1))
        wire.go_on.set()
        for _ in range(5):
            await wire.turned()
        assert wire.statuses() == [200] * (MAX_PIPELINED + 1)
        assert wire.transport.did[-1] == "close"
        assert wire.refused == []

    play(scenario)


def test_a_body_that_grows_too_large_while_it_is_read_is_refused_and_its_reader_sees_nobody() -> None:
    """I3"""

    async def scenario(wire: Wire) -> None:
        await wire.send(CHUNKED, chunk(MAX_BODY_BYTES))
        assert wire.turn() == "send"
        assert wire.protocol.has_unsent() is False
        await wire.send(chunk(1))
        assert wire.statuses() == [413]
        assert wire.left == ["/a"]
        assert wire.refused == [("/a", 413)]
        wire.done()

        # One that is answered before it is read, or behind others, cannot hear of it.
        wire.connect()
        await wire.send(HELD + CHUNKED, chunk(MAX_BODY_BYTES + 1))
        assert wire.statuses() == []
        assert wire.transport.did[-1] == "abort"

    play(scenario)


def test_a_refusal_beyond_so_many_a_second_comes_late_and_to_nobody_who_has_left() -> None:
    """I3"""

    async def scenario(wire: Wire) -> None:
        bad = b"\x16" + b"\n" * 10
        long = bad + b"x" * (LONG_PACKET_BYTES - len(bad))
        await wire.send(bad)
        assert wire.statuses() == [400]
        wire.done()
        wire.connect()
        for packet, did in ((bad, ["eof"]), (long, ["pause", "resume", "eof"]), (long[1:], ["eof"])):
            wire.refuse_many()
            await wire.send(packet)
            assert wire.statuses() == []
            assert wire.turn() == "read_refusal"
            assert not wire.protocol.has_unread()
            assert wire.transport.did == did[:-2]
            await asyncio.sleep(1.5)
            assert wire.statuses() == [400]
            assert wire.transport.did == did
            await wire.send(GET)
            assert wire.statuses() == [400]
            wire.done()
            wire.connect()

        # Only Linux tells that a client has left.
        for is_client, did in ((True, ["abort"]), (False, ["close"]))[sys.platform != "linux" :]:
            wire.refuse_many()
            await wire.send(bad)
            (wire.client if is_client else wire.transport).close()
            await asyncio.sleep(1.5)
            assert (wire.statuses(), wire.transport.did) == ([], did)
            wire.done()
            wire.connect()

        # Who is gone is not written to.
        wire.refuse_many()
        await wire.send(bad)
        saying = wire.protocol._saying
        assert saying is not None
        wire.done()
        # Nor is the connection kept until then.
        assert saying.cancelled()
        await asyncio.sleep(1.5)
        assert wire.statuses() == []

    play(scenario)


def test_each_moment_of_a_connection_is_somebodys_turn() -> None:
    """I2"""

    async def scenario(wire: Wire) -> None:
        assert wire.turn() == "ask"
        await wire.send(b"\r\n")
        assert wire.turn() == "ask"
        await wire.send(b"GET /held")
        assert wire.turn() == "send"
        await wire.send(b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.turn() is None
        assert wire.connections.idle == 0
        await wire.send(b"GET /a?b=1")
        assert wire.turn() is None
        wire.protocol.pause_writing()
        assert wire.turn() == "take"
        wire.protocol.resume_writing()
        assert wire.turn() is None
        wire.go_on.set()
        await wire.turned()
        assert wire.turn() == "send"
        await wire.send(b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.statuses() == [200, 200]
        assert wire.turn() == "ask"
        wire.transport.unsent = 1
        assert wire.protocol.has_unsent()
        wire.client.send(b"x")
        assert wire.protocol.has_unread()
        wire.protocol.eof_received()
        assert wire.turn() == "leave"
        assert wire.transport.did[-1] == "close"

    play(scenario)


def test_a_server_that_stops_closes_where_nothing_has_begun_and_answers_what_has() -> None:
    """J5"""

    async def scenario(wire: Wire) -> None:
        wire.protocol.shutdown()
        assert wire.transport.did == ["close"]
        wire.done()

        wire.connect()
        await wire.send(GET)
        await wire.send(b"GET /a HTTP/1.1\r\n")
        wire.connections.stop()
        wire.protocol.shutdown()
        assert wire.transport.did == []
        await wire.send(b"\r\n")
        assert wire.statuses() == [200, 200]
        assert wire.transport.did == ["close"]
        wire.done()

        wire.connect()
        await wire.send(HELD)
        wire.protocol.shutdown()
        assert wire.transport.did == []
        wire.go_on.set()
        await wire.turned()
        assert wire.statuses() == [200]
        assert b"connection: close" in wire.transport.written
        assert wire.transport.did == ["close"]

    play(scenario)


def test_who_answers_learns_that_the_client_has_left_also_with_requests_behind_it() -> None:
    """I2"""

    async def scenario(wire: Wire) -> None:
        await wire.send(POST + b"Content-Length: 5\r\n\r\nhel")
        wire.done()
        await wire.turned()
        assert wire.left == ["/a"]
        assert not wire.state.tasks

        # The one under way is not the one that was parsed last.
        wire.connect()
        await wire.send(GET.replace(b"/a?b=1", b"/waits") + GET)
        wire.done()
        await wire.turned()
        assert wire.left == ["/a", "/waits"]
        assert not wire.state.tasks
        assert [path for _, path, _, _ in wire.seen] == ["/waits"]

    play(scenario)


def test_nothing_of_a_connection_that_broke_is_kept() -> None:
    async def scenario(wire: Wire) -> None:
        await wire.send(GET)
        timer = wire.protocol.timeout_keep_alive_task
        assert wire.state.connections == {wire.protocol}
        wire.protocol.connection_lost(ConnectionResetError())
        assert timer is not None
        assert timer.cancelled()
        assert vars(wire.protocol)["parser"] is None
        assert not wire.state.connections

    play(scenario)


def test_a_look_at_what_is_unread_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    class Poll:
        def register(self, connected: socket.socket, events: int) -> None:
            assert (connected, events) == (found.transport.get_extra_info("socket"), select.POLLIN)

        def poll(self, milliseconds: float) -> list[object]:
            waited.append(milliseconds)
            return []

    found: Wire

    async def scenario(wire: Wire) -> None:
        nonlocal found
        found = wire
        with monkeypatch.context() as patched:
            patched.setattr(select, "poll", Poll)
            assert not wire.protocol.has_unread()
        assert waited == [0]

    play(scenario)


def test_what_is_cut_is_aborted() -> None:
    async def scenario(wire: Wire) -> None:
        wire.protocol.cut()
        assert wire.transport.did == ["abort"]

    play(scenario)
