"""What one connection may do to the others. Patience runs by a clock that the tests move."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from structlog.testing import capture_logs

from service.api.connections import ON_THE_WAY_SECONDS, Connections, hold_connections
from service.api.delays import UNDELAYED
from service.api.http_protocol import TolerantProtocol
from service.api.limits import MAX_BODY_BYTES, MAX_CHUNKS, MAX_HEADERS
from service.api.listener import Listener
from tests.support.clocks import StandingClock
from tests.support.waiting import until

MAX_OPEN = 8
ASK_SECONDS = 75.0
SEND_SECONDS = 10.0
TAKE_SECONDS = 20.0
REFUSAL_SECONDS = 3.0
"""What docs/operate/metrics.md and docs/performance.md promise; not read from the code, which could say for ever."""
CALL = b"GET /call HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE_BYTES = 20_000_000
"""More than the buffers of both sides take."""

BEGUN = {
    "half a first line": b"GET /ca",
    "half a head": b"GET /call HTTP/1.1\r\nHost:",
    "half a body": b"POST /call HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
    "half a chunk": b"POST /call HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
    "trailers without an end": b"POST /call HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n",
    "a request behind an answered one": CALL + b"GET /call HTTP/1.1\r\nX",
}
IDLE = {
    "that never asked": b"",
    "that asked once": CALL,
    "that asked for what is not there": b"DELETE /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
    "that sends empty lines": b"\r\n\r\n",
    "that asked once and sends empty lines": CALL + b"\r\n",
    "that asked several times at once": CALL * 5,
}


@dataclass(slots=True)
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    body: bytes = b""
    """Of the last answer."""

    async def send(self, packet: bytes) -> None:
        self.writer.write(packet)
        await self.writer.drain()

    async def status(self) -> int:
        """Of the next answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        [length] = [int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
        self.body = await self.reader.readexactly(length)
        return int(head.split()[1])

    async def end(self) -> bytes:
        """What comes until the server closes."""
        received = b""
        try:
            while chunk := await self.reader.read(65_536):
                received += chunk
        except ConnectionError:
            pass
        return received


@dataclass(slots=True)
class Server:
    """The listener and the protocol over a small application, in this event loop."""

    port: int
    connections: Connections
    clock: StandingClock
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """What `/held` waits for."""

    clients: list[Client] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def connect(self, packet: bytes = b"") -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        client = Client(reader, writer)
        self.clients.append(client)
        if packet:
            await client.send(packet)
        return client

    async def settled(self, *, opened: int, idle: int) -> None:
        await until(lambda: (len(self.connections), self.connections.idle) == (opened, idle))

    async def sees(self, *turns: str) -> None:
        await until(lambda: [turn for _, turn in self.connections._until.values()] == list(turns))

    def pass_seconds(self, seconds: float) -> None:
        self.clock.now += seconds
        self.connections.sweep()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  # ASGI's own
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        self.bodies.append(body)
        if scope["path"] == "/held":
            await self.held.wait()
        answer = b"x" * (LARGE_BYTES if scope["path"] == "/large" else 2)
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    listening = socket.create_server(("127.0.0.1", 0))
    clock = StandingClock()
    connections = Connections(MAX_OPEN, clock.monotonic)
    server = Server(listening.getsockname()[1], connections, clock)
    config = uvicorn.Config(
        server.app, http=TolerantProtocol, ws="none", log_config=None, proxy_headers=False, interface="asgi3"
    )
    config.load()
    state = uvicorn.Server(config).server_state
    hold_connections(state, connections)
    listener = Listener(listening, connections, lambda: TolerantProtocol(config, state, {}))
    listener.start()
    yield server
    server.held.set()
    for client in server.clients:
        client.writer.transport.abort()
    listener.close()
    await listener.wait_closed()
    await until(lambda: not len(connections) and not state.tasks)


@pytest.mark.parametrize("packet", [*IDLE.values(), *BEGUN.values()], ids=[*IDLE, *BEGUN])
async def test_a_crowd_of_connections_leaves_room_for_every_caller(server: Server, packet: bytes) -> None:
    """I2"""
    crowd = [await server.connect(packet) for _ in range(MAX_OPEN)]
    await server.settled(opened=MAX_OPEN, idle=MAX_OPEN)
    server.pass_seconds(ON_THE_WAY_SECONDS)

    for _ in range(2 * MAX_OPEN):
        caller = await server.connect(CALL)
        assert await caller.status() == 200

    assert len(server.connections) == MAX_OPEN
    assert server.connections.cut["room"] == 2 * MAX_OPEN
    for client in crowd:
        await client.end()


async def test_the_connection_idle_longest_makes_room_whatever_it_asked(server: Server) -> None:
    """I2"""
    clients = [await server.connect(CALL) for _ in range(MAX_OPEN)]
    for client in clients:
        assert await client.status() == 200
    await clients[0].send(CALL)
    assert await clients[0].status() == 200
    # Neither empty lines nor a request without an end are an answer.
    await clients[1].send(b"\r\n")
    await clients[2].send(b"GET /call HTTP/1.1\r\n")
    for _ in range(2):
        assert await (await server.connect(CALL)).status() == 200

    assert await clients[1].end() == b""
    assert await clients[2].end() == b""
    await clients[0].send(CALL)
    assert await clients[0].status() == 200


async def test_callers_beyond_what_may_be_open_wait_until_one_is_answered(server: Server) -> None:
    """F1"""
    asking = [await server.connect(CALL.replace(b"call", b"held")) for _ in range(MAX_OPEN)]
    await server.settled(opened=MAX_OPEN, idle=0)
    with capture_logs() as logs:
        late = [await server.connect(CALL) for _ in range(3 * MAX_OPEN)]
        await until(lambda: bool(logs))
        assert server.bodies == [b""] * MAX_OPEN
        server.held.set()
        assert [await client.status() for client in (*asking, *late)] == [200] * (4 * MAX_OPEN)

    assert [(line["event"], line["log_level"], line["waiting"]) for line in logs] == [
        ("connections_full", "warning", True)
    ]


@pytest.mark.parametrize("packet", IDLE.values(), ids=IDLE)
async def test_a_connection_on_which_nothing_is_asked_is_closed(server: Server, packet: bytes) -> None:
    """I2"""
    client = await server.connect(packet)
    await until(lambda: len(server.bodies) == packet.count(b"HTTP/1.1") and server.connections.idle == 1)
    for _ in range(10):
        # What begins no request does not begin the wait anew.
        if b"\r\n\r\n" not in packet or packet.strip():
            await client.send(b"\r\n")
        server.pass_seconds(ASK_SECONDS / 10 - 0.1)
        await asyncio.sleep(0)
    assert len(server.connections) == 1
    server.pass_seconds(1.1)

    await server.settled(opened=0, idle=0)
    assert not any(server.connections.cut.values())


@pytest.mark.parametrize("packet", BEGUN.values(), ids=BEGUN)
async def test_a_request_that_does_not_arrive_is_not_waited_for(server: Server, packet: bytes) -> None:
    """I2"""
    client = await server.connect(packet)
    await server.sees("send")
    server.pass_seconds(SEND_SECONDS - 0.1)
    # A byte more does not begin the wait anew.
    await client.send(b"a")
    await asyncio.sleep(0.01)
    assert len(server.connections) == 1
    server.pass_seconds(0.2)

    await server.settled(opened=0, idle=0)
    assert server.connections.cut["late"] == 1


async def test_a_pipelined_request_is_not_late_while_the_one_before_it_is_answered(server: Server) -> None:
    """I2"""
    client = await server.connect(CALL.replace(b"call", b"held") + b"GET /call HTTP/1.1\r\n")
    await server.settled(opened=1, idle=0)
    server.pass_seconds(SEND_SECONDS + 1)
    server.held.set()
    assert await client.status() == 200
    await client.send(b"Host: a\r\n\r\n")
    assert await client.status() == 200


@pytest.mark.parametrize(
    "packet",
    [
        b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /large HTTP/1.0\r\n\r\n",
        b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n" * 3,
    ],
    ids=["kept open", "closed behind it", "HTTP/1.0", "several"],
)
@pytest.mark.parametrize("half_closed", [False, True])
async def test_an_answer_that_is_not_taken_is_not_kept_for_ever(
    server: Server, packet: bytes, *, half_closed: bool
) -> None:
    """I2"""
    client = await server.connect(packet)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads too
    await until(lambda: bool({"take", "leave"} & {turn for _, turn in server.connections._until.values()}))
    if half_closed:
        client.writer.write_eof()
        await asyncio.sleep(0.05)
    for _ in range(2):
        server.pass_seconds(TAKE_SECONDS + 0.1)
        await asyncio.sleep(0.05)

    await server.settled(opened=0, idle=0)


async def test_a_stopping_server_waits_for_answers_and_not_for_clients(server: Server) -> None:
    """J5"""
    asking = await server.connect(CALL.replace(b"call", b"held"))
    await server.settled(opened=1, idle=0)
    dawdling = await server.connect(BEGUN["half a body"])
    await server.sees("send")
    server.connections.stop()
    server.pass_seconds(5)
    assert await dawdling.end() == b""
    await server.settled(opened=1, idle=0)
    server.held.set()
    assert await asking.status() == 200


def chunks(count: int) -> bytes:
    return b"1\r\na\r\n" * count


POST = b"POST /call HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("packet", "status"),
    [
        (b"GET /call HTTP/1.1\r\n" + b"X-API-Key: a\r\n" * MAX_HEADERS + b"\r\n", 200),
        (b"GET /call HTTP/1.1\r\n" + b"X-API-Key: a\r\n" * (MAX_HEADERS + 1) + b"\r\n", 431),
        (b"GET /call HTTP/1.1\r\n" + b"a:\r\n" * 8_000, 431),
        (b"GET /call HTTP/1.1\r\na: " + b"x" * 60_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"%41" * 1_300 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (b"GET /" + b"%41" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"GET /" + "ü".encode() * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"GET /call?user_id=" + "aü".encode() * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (b"GET /call?user_id=" + "aü".encode() * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (CHUNKED + chunks(MAX_CHUNKS - 1) + b"0\r\n\r\n", 200),
        (CHUNKED + chunks(MAX_CHUNKS) + b"0\r\n\r\n", 413),
        (CHUNKED + b"101\r\n" + b"a" * 257 + b"\r\n" + chunks(MAX_CHUNKS) + b"0\r\n\r\n", 413),
        (CHUNKED + (b"100\r\n" + b"a" * 256 + b"\r\n") * 1_000 + b"0\r\n\r\n", 200),
        (CHUNKED + b"0\r\n" + b"a: b\r\n" * MAX_HEADERS + b"\r\n", 431),
        (CHUNKED + b"0\r\na: " + b"b" * 2 * MAX_BODY_BYTES, 413),
        (CHUNKED + b"1;" + b"b" * 2 * MAX_BODY_BYTES, 413),
        (POST + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), 413),
    ],
    ids=[
        "100 credentials",
        "101 credentials",
        "8,000 headers",
        "a header of 60 kB",
        "a long id in the path",
        "an escaped path of 60 kB",
        "an unescaped path of 40 kB",
        "an unescaped query of 27 kB",
        "an unescaped query of 60 kB",
        "many chunks",
        "too many chunks",
        "too many chunks after a larger one",
        "many chunks of 256 bytes",
        "many trailers",
        "a long trailer",
        "a long chunk extension",
        "a body that is announced too large",
    ],
)
async def test_what_is_more_than_is_read_is_refused_in_json_and_closed(
    server: Server, packet: bytes, status: int
) -> None:
    """I3"""
    client = await server.connect()
    client.writer.write(packet)

    assert await client.status() == status
    if status != 200:
        assert {"error", "message"} <= json.loads(client.body).keys()
        server.pass_seconds(SEND_SECONDS + 1)
        await server.settled(opened=0, idle=0)


async def test_a_body_that_is_refused_by_its_length_is_answered_once(server: Server) -> None:
    """I3"""
    client = await server.connect(POST + b"Content-Length: 9000000\r\n\r\n")
    assert await client.status() == 413
    for _ in range(4):
        await client.send(b"x" * MAX_BODY_BYTES)
    await until(lambda: server.connections.idle == 1)
    server.pass_seconds(SEND_SECONDS + 1)

    assert await client.end() == b""


@pytest.mark.parametrize("headers", [b"a:\r\n" * 8_000, b"a: " + b"x" * 60_000 + b"\r\n\r\n"], ids=["many", "long"])
async def test_refusals_of_a_flood_come_late_and_keep_nobody_out(server: Server, headers: bytes) -> None:
    """I3"""
    for _ in range(UNDELAYED):
        client = await server.connect(b"GET /call HTTP/1.1\r\n" + headers)
        assert await client.status() == 431
        server.pass_seconds(0)
        client.writer.close()
        await until(lambda: not len(server.connections))

    late = await server.connect(b"GET /call HTTP/1.1\r\n" + headers + b"x" * 100_000)
    await server.sees("read_refusal")
    [one] = server.connections._until
    assert not one.has_unread()
    server.pass_seconds(REFUSAL_SECONDS + 0.1)
    assert b"431" not in await late.end()
    await server.settled(opened=0, idle=0)


async def test_what_is_refused_before_anybody_looks_at_it_is_counted(server: Server) -> None:
    """A5"""
    refused: list[tuple[str, int, str, str]] = []
    server.connections.on_refused = lambda *kind: refused.append(kind)
    for packet in (
        b"GET /call HTTP/1.1\r\n" + b"a:\r\n" * 8_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        POST + b"Content-Length: 9000000\r\n\r\n" + b"x" * MAX_BODY_BYTES,
        CHUNKED + chunks(MAX_CHUNKS + 1),
    ):
        client = await server.connect(packet)
        await client.status()
    await until(lambda: len(refused) == 4)
    assert [(path, status) for path, status, _, _ in refused] == [("", 431), ("", 400), ("/call", 413), ("/call", 413)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells that a client has left")
async def test_who_leaves_before_being_accepted_costs_no_connection(server: Server) -> None:
    """I2"""
    opened: list[object] = []
    server.connections.opened = opened.append  # type: ignore[method-assign,assignment]  # asked, and left undone

    def leave(*packets: bytes) -> None:
        # Without a turn of the loop in between, so that nobody is accepted meanwhile.
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as leaving:
            for packet in packets:
                leaving.sendall(packet)

    leave()
    leave(b"x")
    leave(b"GET /call HTTP/1.1\r\nHost:")
    leave(CALL)
    await until(lambda: len(opened) == 1)
    # The last one has asked; those before it in the kernel's queue have been dropped.
    assert server.connections._expected == 1


async def test_a_client_that_closes_its_side_hears_why_it_was_refused(server: Server) -> None:
    """I3"""
    client = await server.connect(b"no HTTP at all\r\n\r\n")
    client.writer.write_eof()
    assert await client.status() == 400
