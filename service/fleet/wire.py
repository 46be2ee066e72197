"""One connection to a Redis on which any number of commands are under way.

The library gives each command a connection and a task of its own. On a wire, the commands of one turn of the loop leave
together, and the replies come back in their order. The library opens the connection, with its name, TLS and login.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import hiredis
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AskError, ClusterDownError, InvalidResponse, MovedError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import TimeoutError as SilentError

from service.fleet.connections import PatientCluster
from service.tasks import stop_task

_NOTHING: Final = object()

_CLOSED: Final = "Connection closed: another way to Redis is looked for"

_ELSEWHERE: Final = (MovedError, AskError, TryAgainError, ClusterDownError)
"""Answers of a cluster's node that the library's client knows how to follow."""


class Wire:
    """To one server; opened when it is first needed, and again after it was lost.

    Args:
        make: Makes a connection of the library's, not open yet.
        silence_seconds: A server that owes replies and sends nothing for so long has gone.
    """

    def __init__(self, make: Callable[[], AbstractConnection], *, silence_seconds: float) -> None:
        self._make = make
        self._silence_seconds = silence_seconds
        self._replies: _Replies | None = None
        self._opening: asyncio.Task[_Replies] | None = None
        self._is_closed = False

    async def evalsha(self, sha: str, count: int, *keys_and_args: object) -> Any:  # noqa: ANN401  # what a script returns
        """Run a script that the server knows.

        Raises:
            RedisError, OSError: As the library's.
        """
        return await self.ask(("EVALSHA", sha, count, *keys_and_args))

    async def eval(self, text: str, count: int, *keys_and_args: object) -> Any:  # noqa: ANN401  # as above
        """Run a script.

        Raises:
            RedisError, OSError: As the library's.
        """
        return await self.ask(("EVAL", text, count, *keys_and_args))

    async def ask(self, command: tuple[Any, ...]) -> Any:  # noqa: ANN401  # as each command answers
        """The reply; who gives up does not hold up the others.

        Raises:
            RedisError, OSError: As the library's.
        """
        replies = self._replies
        if replies is None or replies.is_lost:
            replies = await self._opened()
        return await replies.ask(command)

    async def close(self) -> None:
        """Close the connection; what is under way fails."""
        self.abort()
        if self._opening is not None:
            await stop_task(self._opening)
        if self._replies is not None:
            await self._replies.close()

    def abort(self) -> None:
        """Close the connection without waiting; who closes it otherwise may be given up."""
        self._is_closed = True
        if self._opening is not None:
            self._opening.cancel()
        if self._replies is not None:
            self._replies.abort()

    async def _opened(self) -> "_Replies":
        if self._is_closed:
            raise LostError(_CLOSED)
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name="redis-wire")
            # Everybody who waits for it may have given up.
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        # A caller that gives up must not end it for the others.
        opening = self._opening
        await asyncio.wait({opening})
        if self._is_closed:
            raise LostError(_CLOSED)
        return opening.result()

    async def _open(self) -> "_Replies":
        if self._replies is not None and not self._replies.is_lost:
            return self._replies
        connection = self._make()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # the library's
        except BaseException:
            # Wherever in the login it is given up, the library may leave it open.
            await connection.disconnect(nowait=True)
            raise
        if self._is_closed:
            await connection.disconnect(nowait=True)
            raise LostError(_CLOSED)
        self._replies = _Replies(connection, self._silence_seconds)
        return self._replies


class _Replies(asyncio.Protocol):
    """An open connection, taken over from the library."""

    def __init__(self, connection: Any, silence_seconds: float) -> None:  # noqa: ANN401  # the library's, some of it not public
        self._loop = asyncio.get_running_loop()
        self._silence_seconds = silence_seconds
        parse_error = connection._parser.parse_error  # noqa: SLF001  # docs/adr/0014 says what is leaned on
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=parse_error, notEnoughData=_NOTHING)
        self._awaited: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        self._heard_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        # The library closes its writer when the connection is collected, and complains of it.
        self._writer = connection._writer  # noqa: SLF001  # as above
        connection._writer = connection._reader = None  # noqa: SLF001  # as above
        self._writer.transport.set_protocol(self)

    @property
    def is_lost(self) -> bool:
        """Whether it is closed or about to be."""
        return self._ended.done() or bool(self._writer.transport.is_closing())

    def ask(self, command: tuple[Any, ...]) -> "asyncio.Future[Any]":
        """The reply to a command, which leaves with the others of this turn of the loop."""
        reply: asyncio.Future[Any] = self._loop.create_future()
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(hiredis.pack_command(command))
        if not self._awaited:
            self._heard_at = self._loop.time()
        self._awaited.append(reply)
        if self._watch is None:
            self._watch = self._loop.call_later(self._silence_seconds, self._look_for_silence)
        return reply

    async def close(self) -> None:
        """Close it, and wait until it is closed."""
        self.abort()
        if not self._ended.done():
            await asyncio.wait({self._ended}, timeout=self._silence_seconds)

    def abort(self) -> None:
        """Close it; what is under way fails."""
        if not self._ended.done():
            self._writer.transport.abort()

    def data_received(self, data: bytes) -> None:
        """The protocol's."""
        self._heard_at = self._loop.time()
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _NOTHING:
                _answer(self._awaited.popleft(), reply)
        except (IndexError, RedisError) as error:
            # Nobody has asked, or this is no answer.
            self._lose(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The protocol's."""
        error = LostError("Connection closed by server.")
        error.__cause__ = exc
        self._lose(error)
        if not self._ended.done():
            self._ended.set_result(None)

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        if not self._ended.done():
            self._writer.transport.write(b"".join(unsent))

    def _look_for_silence(self) -> None:
        self._watch = None
        if not self._awaited:
            return
        left = self._heard_at + self._silence_seconds - self._loop.time()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look_for_silence)
        else:
            self._lose(SilentError("Timeout reading from socket"))

    def _lose(self, error: Exception) -> None:
        """Fail all that is under way: which reply is whose cannot be known any more."""
        self._writer.transport.abort()
        awaited, self._awaited = self._awaited, deque()
        for reply in awaited:
            _answer(reply, error)


def _answer(reply: "asyncio.Future[Any]", value: object) -> None:
    if reply.done():
        return  # Who has asked has given up.
    if isinstance(value, Exception):
        reply.set_exception(value)
    else:
        reply.set_result(value)


class ClusterWires:
    """A wire to each node of a cluster that holds a script's keys.

    Args:
        cluster: Knows the nodes. What a node leaves to another goes through it.
        silence_seconds: See `Wire`.
    """

    def __init__(self, cluster: PatientCluster, *, silence_seconds: float) -> None:
        self._cluster = cluster
        self._silence_seconds = silence_seconds
        self._wires: dict[str, Wire] = {}
        self._closed = asyncio.Event()

    async def evalsha(self, sha: str, count: int, *keys_and_args: object) -> Any:  # noqa: ANN401  # what a script returns
        """Run a script that the node of its keys knows.

        Raises:
            RedisError, OSError: As the library's.
        """
        return await self._ask(str(keys_and_args[0]), ("EVALSHA", sha, count, *keys_and_args))

    async def eval(self, text: str, count: int, *keys_and_args: object) -> Any:  # noqa: ANN401  # as above
        """Run a script on the node of its keys.

        Raises:
            RedisError, OSError: As the library's.
        """
        return await self._ask(str(keys_and_args[0]), ("EVAL", text, count, *keys_and_args))

    async def close(self) -> None:
        """Close all connections."""
        self._closed.set()
        for wire in self._wires.values():
            wire.abort()
        await asyncio.gather(*(wire.close() for wire in self._wires.values()))

    async def _ask(self, key: str, command: tuple[Any, ...]) -> Any:  # noqa: ANN401  # as each command answers
        if self._closed.is_set():
            raise LostError(_CLOSED)
        await self._cluster.initialize()
        if self._closed.is_set():
            # The nodes were found again while all this was closed.
            await self._cluster.aclose()
            raise LostError(_CLOSED)
        node = self._cluster.get_node_from_key(key)
        if node is None:
            return await self._cluster.execute_command(*command)
        try:
            return await (self._wires.get(node.name) or self._wire(node)).ask(command)
        except _ELSEWHERE:
            return await self._cluster.execute_command(*command)
        except (LostError, SilentError, OSError):
            self._cluster.look_again()
            raise

    def _wire(self, node: ClusterNode) -> Wire:
        connection_class, options = node.connection_class, dict(node.connection_kwargs)
        wire = self._wires[node.name] = Wire(lambda: connection_class(**options), silence_seconds=self._silence_seconds)
        return wire
