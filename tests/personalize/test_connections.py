"""The connections to Personalize: whose turn it is, when one is over, and what becomes of what a host sends."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohappyeyeballs
import pytest
from botocore import exceptions as sdk

from service.fleet.look_up import HostLookUp
from service.personalize.sdk import connections
from service.personalize.sdk.connections import CLOSING_SECONDS, IDLE_SECONDS, ConnectionPool, HttpAnswer, Place
from tests.support.virtual_time import BlindLoop, run_virtual

OK = b"HTTP/1.1 200 OK\r\nX-Id: 7\r\nContent-Length: 2\r\n\r\n{}"
SILENCE, CONNECTING = 5.0, 0.5
GIVEN_UP = (ConnectionResetError, "the host hung up")


class Line(asyncio.Transport):
    """One connection; what the host sends is written by the test."""

    def __init__(self, connection: connections._Connection, host: "Host") -> None:
        super().__init__()
        self.connection, self.host, self.asked, self.is_aborted = connection, host, 0, False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.asked += 1
        self.host.asked.append((self.host.lines.index(self), bytes(data)))
        for after, part in self.host.script:
            asyncio.get_running_loop().call_later(after, self.send, part)

    def send(self, part: bytes | None) -> None:
        """Bytes; none at all hangs up."""
        if not self.is_aborted:
            self.connection.data_received(part) if part is not None else self.connection.connection_lost(None)

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        if not self.is_aborted and self.host.hears:
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)
        self.is_aborted = True


@dataclass
class Host:
    """Every connection to it."""

    pool: ConnectionPool
    script: list[tuple[float, bytes | None]] = field(default_factory=lambda: [(0.1, OK)])
    """When each part of an answer comes."""
    lines: list[Line] = field(default_factory=list)
    asked: list[tuple[int, bytes]] = field(default_factory=list)
    """Which connection was asked what."""
    hears: bool = True
    """Whether it takes note when a connection is closed."""
    on_connect: Callable[[], Awaitable[None]] | None = None

    async def connect(self) -> connections._Connection:
        if self.on_connect is not None:
            await self.on_connect()
        connection = connections._Connection(self.pool, "http://host")
        self.lines.append(Line(connection, self))
        connection.connection_made(self.lines[-1])
        return connection

    async def ask(self, times: int = 1) -> list[HttpAnswer]:
        """So many requests at a time."""
        return list(await asyncio.gather(*(self.pool.exchange(b"%d" % number) for number in range(times))))

    @property
    def open(self) -> list[int]:
        return [number for number, line in enumerate(self.lines) if not line.is_aborted]


def play(scenario: Callable[[Host], Awaitable[None]], *, blind: bool = False) -> None:
    async def run() -> None:
        place = Place("http://host", "host", 80, None)
        pool = ConnectionPool(place, max_connections=3, connect_seconds=CONNECTING, silence_seconds=SILENCE)
        host = Host(pool)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pool, "_connect", host.connect)
            try:
                await scenario(host)
            finally:
                await pool.close()
                await asyncio.sleep(0)

    run_virtual(run(), blind=blind)


def test_behind_an_answer_nobody_looks_whether_the_host_is_silent() -> None:
    async def scenario(host: Host) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, BlindLoop)
        await host.ask(2)
        assert loop.timers == []

    play(scenario, blind=True)


def test_what_was_used_last_is_used_next_and_what_rests_too_long_is_closed() -> None:
    async def scenario(host: Host) -> None:
        began = asyncio.get_running_loop().time()
        await host.ask(7)
        # Never more than three at a time.
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.3)
        assert len(host.lines) == 3
        host.asked.clear()
        await asyncio.sleep(IDLE_SECONDS - 0.25)
        for _ in range(2):
            await host.ask()
        [last] = {line for line, _ in host.asked}
        assert host.open == [0, 1, 2]
        await asyncio.sleep(0.2)
        await host.ask()
        # The other two have rested for too long.
        assert host.open == [last]
        assert len(host.lines) == 3
        await asyncio.sleep(IDLE_SECONDS)
        await host.ask()
        assert len(host.lines) == 3
        await asyncio.sleep(IDLE_SECONDS + 0.1)
        await host.ask()
        assert host.open == [3]

    play(scenario)


def test_a_host_may_take_its_time_as_long_as_it_says_something() -> None:
    async def scenario(host: Host) -> None:
        host.script = [(0.9 * SILENCE * number, OK[number : number + 1]) for number in range(len(OK) - 1)]
        end = 0.9 * SILENCE * (len(OK) - 1)
        host.script.append((end, OK[-1:]))
        [answer] = await host.ask()
        assert (answer.status, answer.headers, answer.body) == (200, {"x-id": "7", "content-length": "2"}, b"{}")
        host.script = [(0.4, OK[:9]), (0.3 + SILENCE, OK[9:])]
        await host.ask()
        # Behind its last byte it falls silent.
        host.script = [(1.0, OK[:9]), (3.0, OK[9:20])]
        began = asyncio.get_running_loop().time()
        with pytest.raises(sdk.ReadTimeoutError, match="http://host"):
            await host.ask()
        assert asyncio.get_running_loop().time() - began == pytest.approx(3.0 + SILENCE)
        assert host.open == []
        host.script = []
        with pytest.raises(sdk.ReadTimeoutError):
            await host.ask()
        assert asyncio.get_running_loop().time() - began == pytest.approx(3.0 + 2 * SILENCE)

    play(scenario)


async def _never() -> None:
    await asyncio.sleep(3600)


async def _refused() -> None:
    raise ConnectionRefusedError("nobody listens")


async def _unknown() -> None:
    raise ssl.SSLError("who is that")


@pytest.mark.parametrize(
    ("connect", "error", "words"),
    [
        (_never, sdk.ConnectTimeoutError, "http://host"),
        (_refused, sdk.EndpointConnectionError, "http://host"),
        (_unknown, sdk.SSLError, "http://host .*who is that"),
    ],
)
def test_why_there_is_no_connection_is_said_in_the_sdks_words(
    connect: Callable[[], Awaitable[None]], error: type[Exception], words: str
) -> None:
    async def scenario(host: Host) -> None:
        host.on_connect = connect
        began = asyncio.get_running_loop().time()
        for _ in range(4):
            with pytest.raises(error, match=words):
                await host.ask()
        took = asyncio.get_running_loop().time() - began
        assert took == pytest.approx(4 * CONNECTING if connect is _never else 0.0)
        host.on_connect = None
        assert len(await host.ask(3)) == 3

    play(scenario)


@pytest.mark.parametrize(
    ("script", "body", "stays"),
    [
        ([OK], b"{}", True),
        ([OK[:-2], b"{", b"}"], b"{}", True),
        ([OK.replace(b"1.1", b"1.0")], b"{}", False),
        ([OK.replace(b"X-Id: 7", b"Connection: close")], b"{}", False),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], b"{}", True),
        ([b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"], b"", True),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"], b"{}", True),
        ([b"HTTP/1.1 200 OK\r\n\r\n{", b"}", None], b"{}", False),
        ([b"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 0\r\n\r\n"], b"", False),
        ([OK + OK], b"{}", False),
        ([OK + b"unasked"], b"{}", False),
        ([OK, b"unasked"], b"{}", False),
        # Nothing can be made of these.
        ([OK[:-1], None], sdk.ConnectionClosedError, False),
        ([None], sdk.ConnectionClosedError, False),
        ([b"not HTTP\r\n\r\n"], sdk.HTTPClientError, False),
        ([OK.replace(b"2\r", b"x\r")], sdk.HTTPClientError, False),
    ],
)
def test_a_connection_is_used_again_only_behind_a_whole_answer(
    script: list[bytes | None], body: bytes | type[Exception], *, stays: bool
) -> None:
    async def scenario(host: Host) -> None:
        host.script = [(0.1 * number, part) for number, part in enumerate(script, 1)]
        if isinstance(body, bytes):
            [answer] = await host.ask()
            assert answer.body == body
        else:
            with pytest.raises(body) as raised:
                await host.ask()
            assert type(raised.value) is body
            if body is sdk.ConnectionClosedError:
                reason = raised.value.kwargs["error"]  # type: ignore[attr-defined]  # the SDK's
                assert (type(reason), str(reason)) == GIVEN_UP
        await asyncio.sleep(1.0)
        host.script = [(0.1, OK)]
        [second] = await host.ask()
        assert second.body == b"{}"
        assert len(host.lines) == (1 if stays else 2)
        assert not host.pool._open - {host.lines[-1].connection}

    play(scenario)


@pytest.mark.parametrize(("hears", "seconds"), [(True, 0.0), (False, CLOSING_SECONDS)])
def test_at_the_end_all_connections_are_closed_and_waited_for_but_not_for_long(*, hears: bool, seconds: float) -> None:
    async def scenario(host: Host) -> None:
        await host.ask(2)
        asking = asyncio.create_task(host.pool.exchange(b"late"))
        await asyncio.sleep(0.01)
        host.hears = hears
        began = asyncio.get_running_loop().time()
        await host.pool.close()
        assert asyncio.get_running_loop().time() - began == pytest.approx(seconds)
        assert host.open == []
        for line in host.lines:
            if not hears:
                line.connection.connection_lost(None)
        with pytest.raises(sdk.ConnectionClosedError):
            await asking

    play(scenario)


def test_of_a_caller_who_has_left_nothing_is_kept() -> None:
    async def scenario(host: Host) -> None:
        leaving = asyncio.create_task(host.pool.exchange(b"1"))
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert host.open == []
        assert len(await host.ask(3)) == 3

    play(scenario)


def test_of_a_caller_who_leaves_amid_an_answer_without_a_length_no_connection_is_left() -> None:
    async def scenario(host: Host) -> None:
        host.script = [(0.1, b"HTTP/1.1 200 OK\r\n\r\n{")]
        leaving = asyncio.create_task(host.pool.exchange(b"1"))
        await asyncio.sleep(0.2)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await asyncio.sleep(0)
        assert not host.pool._open

    play(scenario)


def test_a_connection_that_is_lost_before_it_is_used_is_said_to_be_closed() -> None:
    async def scenario(host: Host) -> None:
        async def connect() -> connections._Connection:
            connection = await host.connect()
            connection.connection_lost(None)
            return connection

        host.pool._connect = connect  # type: ignore[method-assign]  # as a host that hangs up at once
        with pytest.raises(sdk.ConnectionClosedError):
            await host.ask()
        assert host.asked == []

    play(scenario)


@asynccontextmanager
async def a_host() -> AsyncIterator[Place]:
    """It answers every request."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK)
        except asyncio.IncompleteReadError:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield Place(f"http://127.0.0.1:{port}", "127.0.0.1", port, None)


async def test_a_connection_that_is_given_up_in_the_moment_in_which_it_is_there_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place("http://127.0.0.1:9", "127.0.0.1", 9, None)
    pool = ConnectionPool(place, max_connections=1, connect_seconds=30, silence_seconds=30)
    host, found = Host(pool), socket.socket()

    async def start(*_: object, **__: object) -> socket.socket:
        return found

    async def create(made: Callable[[], connections._Connection], **_: object) -> None:
        connection = made()
        host.lines.append(Line(connection, host))
        connection.connection_made(host.lines[-1])
        raise asyncio.CancelledError

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", start)
    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", create)
    with pytest.raises(asyncio.CancelledError):
        await pool.exchange(b"1")
    await asyncio.sleep(0)
    assert host.open == []
    assert not pool._open
    assert found.fileno() == -1
    await pool.close()


async def test_at_the_end_nobody_looks_up_a_name_any_more() -> None:
    answered = threading.Event()
    place = Place("http://shop.example", "shop.example", 80, None)
    pool = ConnectionPool(place, max_connections=1, connect_seconds=0.01, silence_seconds=30)
    pool._look_up = HostLookUp(lambda _: ["10.0.0.1"] * answered.wait())
    try:
        with pytest.raises(sdk.ConnectTimeoutError):
            await pool.exchange(b"1")
        assert {task.get_name() for task in asyncio.all_tasks()} & {"look-up"}
        await pool.close()
        assert not {task.get_name() for task in asyncio.all_tasks()} & {"look-up"}
    finally:
        answered.set()


async def test_a_real_host_is_asked_over_one_connection() -> None:
    async with a_host() as place:
        pool = ConnectionPool(place, max_connections=1, connect_seconds=30, silence_seconds=30)
        try:
            for _ in range(2):
                assert (await pool.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).body == b"{}"
            assert len(pool._open) == 1
        finally:
            await pool.close()


def test_an_address_is_of_the_family_that_it_is_written_in() -> None:
    of_tcp = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    assert connections._address("10.0.0.1", 443) == (socket.AF_INET, *of_tcp, ("10.0.0.1", 443))
    assert connections._address("fd00::1", 443) == (socket.AF_INET6, *of_tcp, ("fd00::1", 443, 0, 0))
