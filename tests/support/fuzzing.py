"""Random raw requests, and what normal callers feel of them."""

import asyncio
import http.client
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from tests.support.processes import Process

LORIS = 200
"""Connections that send a byte now and then."""

WORKERS = 64
TAKING_SECONDS = 2.0
ADMIN_KEY = b"admin-key-of-the-fuzzing"
NORMAL_USERS = 20
_ANSWER = re.compile(rb"(?:^|[}\]\n>])HTTP/1\.[01] (\d{3}) ")
_PATHS = (
    *(b"/recommendations",) * 6,
    b"/",
    b"/livez",
    b"/readyz",
    b"/metrics",
    b"/version",
    b"/docs",
    b"/openapi.json",
    b"/items/blocked",
    b"/items/nobody/block",
    b"/users/u1",
    b"/users/prewarm",
    b"/sample/images/../../service/main.py",
    b"*",
    b"http://other.test/recommendations",
)
_NAMES = (b"user_id", b"num_results", b"exclude", b"fields", b"format", b"filter_values", b"filter_values.A", b"x")
_VALUES: tuple[bytes, ...] = (
    b"u1",
    b"-1",
    b"25",
    b"9" * 400,
    b"",
    b"\xff",
    b"%ff",
    b"%00",
    b"%",
    b"%zz",
    b"a,b,,",
    b"object",
    b"{",
    b"null",
)
_VALUES += (
    b'{"A":"b"}',
    b"[" * 2_000,
    b"%ED%A0%80",
    b"\xed\xa0\x80",
    "ü😀".encode(),
    b"a" * 300,
    b"1e999",
    b"\xd9\xa3",
    b"NaN",
)
_METHODS = (b"GET",) * 8 + (
    b"POST",
    b"PUT",
    b"DELETE",
    b"HEAD",
    b"OPTIONS",
    b"PATCH",
    b"CONNECT",
    b"TRACE",
    b"PRI",
    b"get",
    b"",
)
_HEADERS = (
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999999",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 300000",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked\r\nContent-Length: 3",
    b"Expect: 100-continue",
    b"Connection: Upgrade\r\nUpgrade: websocket",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA",
    b"Connection: close",
    b"Authorization: Basic !!!",
    b"Authorization: Basic /////w==",
    b"Authorization: Bearer \xff\xfe",
    b"X-API-Key: " + b"\xff" * 20,
    b"X-Request-Id: " + b"\xc3\xbc" * 90,
    b"traceparent: 00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-zz",
    b" folded: no",
    b"No colon",
    b": empty",
    b"Host:",
    b"Accept-Encoding: " + b"gzip," * 500,
    b"Content-Type: application/json; charset=\xff",
    b"Range: bytes=9-1,-5",
    b"If-Modified-Since: \x7f",
)
_BODIES = (
    b"",
    b"{",
    b"[" * 100_000,
    b'{"a":' * 20_000,
    b'{"user_ids":["\\ud800"],"seconds":0}',
    b'{"user_ids":["\xff"],"seconds":0}',
    b'{"user_ids":["u1"],"seconds":1e999}',
    b'{"user_ids":["u1"],"seconds":NaN}',
    b'{"user_ids":["u1"],"seconds":0,"num_results":' + b"9" * 5_000 + b"}",
    b'{"user_ids":["u1","u2"],"seconds":0}',
    b'{"user_ids":["u1","u2"],"seconds":0.01}',
    b'{"user_ids":["u1"],"seconds":0,"max_age_seconds":1e308}',
    b'{"user_ids":' + b'["' + b"x" * 300 + b'"]}',
    b"5\r\nhello\r\n0\r\n\r\n",
    b"zz\r\n",
    b"fffffffffffffffff\r\n",
)


def raw_request(dice: random.Random) -> bytes:
    """Bytes as a broken or hostile client might send them; a few of them are good requests."""
    if dice.random() < 0.05:
        return dice.randbytes(dice.choice((1, 20, 3_000)))
    one = _request(dice)
    fate = dice.random()
    if fate < 0.15:
        one = _damaged(dice, one)
    elif fate < 0.25:
        one = b"".join(_request(dice) for _ in range(dice.choice((2, 5, 50)))) + one
    elif fate < 0.30:
        one = one[: dice.randrange(1, len(one))]
    return one


def _request(dice: random.Random) -> bytes:
    target = dice.choice(_PATHS)
    if dice.random() < 0.8:
        pairs = (dice.choice(_NAMES) + b"=" + dice.choice(_VALUES) for _ in range(dice.choice((1, 2, 5))))
        target += b"?" + b"&".join(pairs)
    if dice.random() < 0.02:
        target += dice.choice((b"&exclude=", b"/", b"\xff")) * dice.choice((1_000, 40_000))
    headers = [b"Host: fuzz.test", *dice.sample(_HEADERS, dice.choice((0, 0, 0, 1, 2)))]
    if dice.random() < 0.5:
        headers.append(b"X-API-Key: " + ADMIN_KEY)
    if dice.random() < 0.02:
        headers += [b"X-%d: %s" % (n, b"v" * dice.choice((1, 400))) for n in range(dice.choice((100, 1_000)))]
    if dice.random() < 0.01:
        headers.append(b"Cookie: " + b"c" * dice.choice((30_000, 200_000)))
    method = dice.choice(_METHODS)
    body = dice.choice(_BODIES) if method not in (b"GET", b"HEAD") or dice.random() < 0.1 else b""
    if body and dice.random() < 0.8:
        headers.append(b"Content-Length: %d" % len(body))
    version = dice.choice((b"HTTP/1.1",) * 12 + (b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.1 ", b""))
    return b"\r\n".join((method + b" " + target + b" " + version, *headers, b"", b"")) + body


def _damaged(dice: random.Random, request: bytes) -> bytes:
    damaged = bytearray(request)
    for _ in range(dice.choice((1, 3, 10))):
        at = dice.randrange(len(damaged) + 1)
        damaged[at : at + dice.choice((0, 1, 4))] = dice.randbytes(dice.choice((0, 1, 4)))
    return bytes(damaged)


@dataclass(slots=True)
class Fuzzed:
    """What came of it."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failed: list[bytes] = field(default_factory=list)
    """Beginnings of what was answered with a 5xx."""

    unanswered: int = 0
    """Connections that ended without a byte; halves of requests mostly."""

    normal_ms: list[float] = field(default_factory=list)
    normal_failed: int = 0
    seconds: float = 0.0

    @property
    def p99_ms(self) -> float:
        """Of the normal calls."""
        return sorted(self.normal_ms)[int(len(self.normal_ms) * 0.99)]


def fuzz(replica: Process, requests: int, *, seed: int, loris: int = LORIS, ask: bool = True) -> Fuzzed:
    """Send random requests with normal calls beside them; the same seed sends the same."""
    done = Fuzzed()
    over = threading.Event()
    normal = threading.Thread(target=_ask_normally, args=(replica.port, over, done))
    if ask:
        normal.start()
    began = time.monotonic()
    try:
        asyncio.run(_fuzz(replica.port, requests, seed, loris, done))
    finally:
        over.set()
        if ask:
            normal.join()
    done.seconds = time.monotonic() - began
    return done


def _ask_normally(port: int, over: threading.Event, done: Fuzzed) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    number = 0
    while not over.wait(0.01):
        number += 1
        began = time.monotonic()
        try:
            connection.request("GET", f"/recommendations?user_id=normal{number % NORMAL_USERS}&num_results=3")
            answer = connection.getresponse()
            good = answer.status == 200 and bool(answer.read())  # HTTP
        except (OSError, http.client.HTTPException):
            connection.close()
            good = False
        # The first of each user is not in memory.
        if number > NORMAL_USERS:
            done.normal_ms.append((time.monotonic() - began) * 1000)
        done.normal_failed += not good
    connection.close()


async def _fuzz(port: int, requests: int, seed: int, loris: int, done: Fuzzed) -> None:
    dice = random.Random(seed)  # repeatable
    slow = [asyncio.create_task(_dawdle(port)) for _ in range(loris)]
    left = iter(range(requests))

    async def work() -> None:
        for _ in left:
            request = raw_request(dice)
            await _send(port, request, dice.choice(("wait",) * 6 + ("half", "reset", "cut")), dice, done)

    try:
        await asyncio.gather(*(work() for _ in range(WORKERS)))
    finally:
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


async def _send(port: int, request: bytes, manner: str, dice: random.Random, done: Fuzzed) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    with suppress(OSError, TimeoutError):
        if manner == "cut":
            at = dice.randrange(len(request) + 1)
            writer.write(request[:at])
            await asyncio.sleep(0.001)
            request = request[at:]
        writer.write(request)
        if manner == "half":
            writer.write_eof()
        elif manner == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        # A connection that is kept open after its answer, or for the rest of a request, is left after a moment.
        patience = TAKING_SECONDS
        while manner != "reset":
            async with asyncio.timeout(patience):
                chunk = await reader.read(65_536)
            if not chunk:
                break
            received += chunk
            patience = 0.05
    writer.transport.abort()
    statuses = [int(status) for status in _ANSWER.findall(received)]
    done.requests += 1
    done.statuses.update(statuses)
    done.unanswered += not received
    if any(status >= 500 for status in statuses):  # HTTP
        done.failed.append(request[:300])


async def _dawdle(port: int) -> None:
    """A slow-loris: again and again a request that does not end."""
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /recommendations?user_id=slow HTTP/1.1\r\nX-")
                while not writer.is_closing():
                    await asyncio.sleep(0.5)
                    writer.write(b"a")
                    await writer.drain()
            finally:
                writer.transport.abort()
        await asyncio.sleep(0.1)


def is_fault(line: str) -> bool:
    """Whether a line of the log tells of a bug."""
    return "Traceback" in line or '"level":"error"' in line.replace(" ", "") or "never retrieved" in line
