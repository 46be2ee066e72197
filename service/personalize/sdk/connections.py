"""Kept-alive HTTP connections to one host, for requests that are sent once or not at all.

The states of a connection::

    idle ──► a request is written ──► its answer ends ──► idle
      │                        │
      └─ the host hangs up     └─ no answer, a broken one, or nobody waits any more ──► closed
"""

import asyncio
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Final, cast

import aiohappyeyeballs
import httptools
from botocore import exceptions as sdk

from service.fleet.look_up import HostLookUp

IDLE_SECONDS: Final = 12.0
"""A connection that was idle for longer is not used again; the SDK's own number. AWS hangs up after 20 s or so."""

NEXT_ADDRESS_SECONDS: Final = 0.1
"""If an address has not answered by then, the next one is tried beside it."""

CLOSING_SECONDS: Final = 1.0

_SWITCHING_PROTOCOLS: Final = 101
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where requests go."""

    url: str
    """Scheme, host and port; for errors."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    """None for HTTP without TLS."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    """By names in lower case; of several the last."""

    body: bytes


class ConnectionPool:
    """Connections to one place.

    Args:
        place: Where.
        max_connections: Requests that may be under way; one more waits.
        connect_seconds: Longest wait for a connection, its name and TLS included.
        silence_seconds: Longest silence of the host while it is to answer.
    """

    def __init__(self, place: Place, *, max_connections: int, connect_seconds: float, silence_seconds: float) -> None:
        self._place = place
        self._connect_seconds = connect_seconds
        self._silence_seconds = silence_seconds
        self._turns = asyncio.Semaphore(max_connections)
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()
        self._is_closed = False
        self._look_up = HostLookUp()

    async def exchange(self, request: bytes) -> HttpAnswer:
        """Send a request once, and return its answer, whatever its status.

        A request may be lost where the host hangs up in the moment in which it is sent. It is not sent again: only
        the caller knows whether that may be.

        Raises:
            ConnectTimeoutError, EndpointConnectionError, SSLError: There is no connection. Nothing was sent.
            ConnectionClosedError: The connection ended before the answer did.
            ReadTimeoutError: The host fell silent.
            HTTPClientError: The answer is no HTTP.
        """
        async with self._turns:
            connection = self._rested() or await self._connected()
            try:
                answer = await connection.exchange(request, self._silence_seconds)
            except BaseException:
                # Whatever still comes would be taken for the answer to the next request.
                connection.abort()
                raise
            if connection.is_reusable and not self._is_closed:
                self._idle.append(connection)
            else:
                connection.abort()
            return answer

    async def close(self) -> None:
        """Close all connections, and wait until they are closed; one that is being made ends with its request."""
        self._is_closed = True
        ending = [connection.ended for connection in self._open]
        for connection in list(self._open):
            connection.abort()
        if ending:
            await asyncio.wait(ending, timeout=CLOSING_SECONDS)
        await self._look_up.close()

    def remember(self, connection: "_Connection") -> None:
        """It is open."""
        self._open.add(connection)

    def forget(self, connection: "_Connection") -> None:
        """It is closed."""
        self._open.discard(connection)

    def _rested(self) -> "_Connection | None":
        """The connection that was used last, since the others are to end when there are more than needed."""
        idle, oldest = self._idle, asyncio.get_running_loop().time() - IDLE_SECONDS
        while idle and idle[0].heard_at < oldest:
            idle.popleft().abort()
        while idle:
            connection = idle.pop()
            if connection.is_reusable and not self._is_closed:
                return connection
        return None

    async def _connected(self) -> "_Connection":
        try:
            async with asyncio.timeout(self._connect_seconds):
                return await self._connect()
        except TimeoutError as error:
            raise sdk.ConnectTimeoutError(endpoint_url=self._place.url, error=error) from error
        except ssl.SSLError as error:
            raise sdk.SSLError(endpoint_url=self._place.url, error=error) from error
        except OSError as error:
            raise sdk.EndpointConnectionError(endpoint_url=self._place.url, error=error) from error

    async def _connect(self) -> "_Connection":
        place, loop = self._place, asyncio.get_running_loop()
        addresses = await self._look_up.addresses(place.host, self._connect_seconds)
        found = await aiohappyeyeballs.start_connection(
            [_address(one, place.port) for one in addresses], happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, loop=loop
        )
        connection = _Connection(self, place.url)
        try:
            await loop.create_connection(
                lambda: connection,
                sock=found,
                ssl=place.tls,
                server_hostname=place.host if place.tls is not None else None,
            )
        except BaseException:
            # Given up in the moment in which it was there.
            connection.abort()
            found.close()
            raise
        return connection


def _address(one: str, port: int) -> aiohappyeyeballs.AddrInfoType:
    family, where = (socket.AF_INET6, (one, port, 0, 0)) if ":" in one else (socket.AF_INET, (one, port))
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where


class _Connection(asyncio.Protocol):
    """One connection with at most one request under way; `httptools` reads the answers."""

    def __init__(self, pool: ConnectionPool, url: str) -> None:
        self._pool = pool
        self._url = url
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[HttpAnswer] | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._ends_with_connection = False
        self._is_last = False
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when the connection is closed."""
        self.heard_at = self._loop.time()
        """When the host last sent something, by the loop's clock."""

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent."""
        return (
            not self._is_last
            and self._waiting is None
            and self._transport is not None
            and not self._transport.is_closing()
        )

    async def exchange(self, request: bytes, silence_seconds: float) -> HttpAnswer:
        """See `ConnectionPool.exchange`."""
        if self._transport is None:
            raise self._closed(ConnectionResetError())
        self._waiting = self._loop.create_future()
        self.heard_at = self._loop.time()
        self._silence = self._loop.call_later(silence_seconds, self._look_for_silence, silence_seconds)
        self._transport.write(request)
        try:
            return await self._waiting
        finally:
            self._silence.cancel()
            self._waiting = None

    def abort(self) -> None:
        """Close it at once."""
        self._is_last = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The protocol's."""
        self._transport = cast("asyncio.Transport", transport)
        self._pool.remember(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The protocol's."""
        self._transport = None
        if exc is None and self._ends_with_connection:
            self._ended()
        self._fail(self._closed(exc or ConnectionResetError("the host hung up")))
        self._pool.forget(self)
        if not self.ended.done():
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        """The protocol's."""
        if self._waiting is None:
            self.abort()  # Nobody has asked for it.
            return
        self.heard_at = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._is_last = True
            self._fail(sdk.HTTPClientError(error=error))

    def on_message_begin(self) -> None:
        """The parser's: an answer begins."""
        if self._waiting is None or self._waiting.done():
            self._is_last = True
        self._headers, self._body = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser's."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The parser's."""
        self._ends_with_connection = self._headers.keys().isdisjoint(("content-length", "transfer-encoding"))

    def on_body(self, body: bytes) -> None:
        """The parser's: a part of it."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The parser's: the answer is whole."""
        status = self._parser.get_status_code()
        if status < _OK and status != _SWITCHING_PROTOCOLS:
            return  # The answer itself comes after it.
        if not self._parser.should_keep_alive():
            self._is_last = True
        self._ended()

    def _ended(self) -> None:
        self._ends_with_connection = False
        if self._waiting is not None and not self._waiting.done():
            answer = HttpAnswer(self._parser.get_status_code(), self._headers, b"".join(self._body))
            self._waiting.set_result(answer)

    def _look_for_silence(self, seconds: float) -> None:
        left = self.heard_at + seconds - self._loop.time()
        if left > 0:
            self._silence = self._loop.call_later(left, self._look_for_silence, seconds)
        else:
            self._fail(sdk.ReadTimeoutError(endpoint_url=self._url))

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)

    def _closed(self, error: Exception) -> Exception:
        return cast("Exception", sdk.ConnectionClosedError(endpoint_url=self._url, error=error))
