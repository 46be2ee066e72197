"""Load for the measurements: `wrk` for as much as the server can take, a client of our own for a fixed rate.

`wrk` has no fixed rate. Our client sends on a schedule and counts an answer's time from when its call was due, so
that a server which stands still for a second shows up as slow for all calls of that second.
"""

import asyncio
import contextlib
import gc
import json
import selectors
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import cast

import uvloop

USERS_LUA = Path(__file__).with_name("users.lua")
WRK_MISSING = "wrk is not installed; on Debian: apt-get install wrk, on macOS: brew install wrk"
ANSWER_SECONDS = 5.0
"""An answer that takes longer counts as failed."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load."""

    answers: int
    seconds: float
    failed: int
    p50_ms: float
    p99_ms: float
    slowest_ms: float

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


FOR_YOU = "/recommendations?user_id="
"""What stands in front of a user id."""


def flood(
    url: str,
    *,
    prefix: str,
    users: int,
    connections: int,
    seconds: float,
    keep_alive: bool = True,
    path: str = FOR_YOU,
    delay_ms: tuple[int, int] = (0, 0),
) -> Load:
    """Call for random users, each connection as fast as it is answered; without keep-alive each call on its own.

    Each connection waits between its calls for as long as `delay_ms` says, from and to.

    Raises:
        RuntimeError: `wrk` is not there, or failed.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise RuntimeError(WRK_MISSING)
    command = [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(USERS_LUA)]
    command += [url] if keep_alive else ["-H", "Connection: close", url]
    done = subprocess.run(
        [*command, "--", prefix, str(users), path, *map(str, delay_ms)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"wrk: {done.stderr[-500:]}")
    figures = json.loads(done.stdout.splitlines()[-1])
    return Load(
        answers=figures["answers"],
        seconds=figures["microseconds"] / 1e6,
        failed=figures["failed"],
        p50_ms=figures["p50"] / 1000,
        p99_ms=figures["p99"] / 1000,
        slowest_ms=figures["slowest"] / 1000,
    )


def paced(
    port: int,
    user_of: Callable[[int], str],
    *,
    per_second: float,
    connections: int,
    seconds: float,
    idle_connections: int = 0,
    over: Callable[[], bool] = lambda: False,
) -> Load:
    """Call at a fixed rate, the connections taking turns.

    Args:
        port: On loopback.
        user_of: The user of the n-th call.
        per_second: Calls per second, all connections together.
        connections: Those that call.
        seconds: How long.
        idle_connections: More that stay open meanwhile. Each calls once before and once after, and a failure of either
            counts.
        over: Asked before each call; once it says yes, no more are made.
    """
    gc.collect()
    gc.disable()
    try:
        return uvloop.run(
            _paced(
                port,
                user_of,
                per_second=per_second,
                count=connections,
                seconds=seconds,
                idle_count=idle_connections,
                over=over,
            )
        )
    finally:
        gc.enable()


def call_each(port: int, users: Sequence[str], *, connections: int = 16) -> Load:
    """One call for each user, each connection as fast as it is answered."""
    return uvloop.run(_call_each(port, users, connections))


def connect_at_once(port: int, count: int) -> float:
    """Open connections in the same moment; seconds until the last one is there."""
    with selectors.DefaultSelector() as waiting, contextlib.ExitStack() as stack:
        began = time.perf_counter()
        for _ in range(count):
            connection = stack.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port))
            waiting.register(connection, selectors.EVENT_WRITE)
        while waiting.get_map():
            for key, _ in waiting.select():
                waiting.unregister(key.fileobj)
        return time.perf_counter() - began


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one call in flight."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(body) >= length:
            self._received = b""
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(int(head[9:12]))

    async def call(self, user: str) -> bool:
        """Whether the answer is a good one and comes in time."""
        if self._transport is None:
            return False
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(f"GET /recommendations?user_id={user} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._answer == HTTPStatus.OK
        except (OSError, TimeoutError):
            return False

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


@contextlib.asynccontextmanager
async def _connected(port: int, count: int) -> AsyncIterator[list[_Connection]]:
    loop = asyncio.get_running_loop()
    connections = []
    try:
        for _ in range(count):
            _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
            connections.append(connection)
        yield connections
    finally:
        for connection in connections:
            connection.close()


@dataclass(slots=True)
class _Calls:
    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    async def make(self, connection: _Connection, user: str, due: float) -> None:
        if not await connection.call(user):
            self.failed += 1
        self.seconds.append(time.perf_counter() - due)

    def load(self, seconds: float) -> Load:
        ordered = sorted(self.seconds)
        return Load(
            answers=len(ordered),
            seconds=seconds,
            failed=self.failed,
            p50_ms=ordered[len(ordered) // 2] * 1000,
            p99_ms=ordered[len(ordered) * 99 // 100] * 1000,
            slowest_ms=ordered[-1] * 1000,
        )


async def _paced(
    port: int,
    user_of: Callable[[int], str],
    *,
    per_second: float,
    count: int,
    seconds: float,
    idle_count: int,
    over: Callable[[], bool],
) -> Load:
    calls, idlers = _Calls(), _Calls()
    async with _connected(port, idle_count) as idle, _connected(port, count) as calling:
        await _once_each(idlers, idle, user_of)
        began = time.perf_counter()

        async def take_turns(first: int) -> None:
            for number in range(first, int(per_second * seconds), count):
                due = began + number / per_second
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                if over():
                    return
                await calls.make(calling[first], user_of(number), due)

        await asyncio.gather(*map(take_turns, range(count)))
        took = time.perf_counter() - began
        await _once_each(idlers, idle, user_of)
    calls.failed += idlers.failed
    return calls.load(took)


async def _once_each(calls: _Calls, connections: Sequence[_Connection], user_of: Callable[[int], str]) -> None:
    for number, connection in enumerate(connections):
        await calls.make(connection, user_of(number), time.perf_counter())


async def _call_each(port: int, users: Sequence[str], count: int) -> Load:
    calls = _Calls()
    began = time.perf_counter()
    async with _connected(port, count) as connections:

        async def work(first: int) -> None:
            for user in users[first::count]:
                await calls.make(connections[first], user, time.perf_counter())

        await asyncio.gather(*map(work, range(count)))
    return calls.load(time.perf_counter() - began)
