"""A small load balancer: passes TCP connections on to the replicas that say they are ready."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.support.streams import connected, serving

LOOK_SECONDS = 0.2
"""Between two looks at a replica's /readyz; one that says no is out."""

CONNECT_SECONDS = 1.0


@dataclass(slots=True)
class Balancer:
    """Connections go round the ready replicas, and stay where they went until one side closes them."""

    ports: dict[int, bool] = field(default_factory=dict)
    """Of each replica, and whether it was ready at the last look."""

    port: int = 0
    """Its own."""

    carried: dict[int, int] = field(default_factory=dict)
    """Connections that each replica got."""

    refused: int = 0
    """Connections that no replica took."""

    _turn: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def add(self, port: int) -> None:
        """Begin to look at a replica, once before the call returns."""
        self.ports[port] = await self._is_ready(port)

    def remove(self, port: int) -> None:
        """Stop looking at a replica that is gone."""
        self.ports.pop(port, None)

    async def look(self) -> None:
        """Follow readiness, until cancelled."""
        while True:
            for port in list(self.ports):
                ready = await self._is_ready(port)
                if port in self.ports:
                    self.ports[port] = ready
            await asyncio.sleep(LOOK_SECONDS)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, from its first byte to its last."""
        async with contextlib.AsyncExitStack() as stack:
            for port in self._in_turn():
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(CONNECT_SECONDS):
                        there, back = await stack.enter_async_context(connected(port))
                    break
            else:
                self.refused += 1
                writer.transport.abort()
                return
            self.carried[port] = self.carried.get(port, 0) + 1
            await asyncio.gather(_copy(reader, back), _copy(there, writer))

    def _in_turn(self) -> list[int]:
        ready = [port for port, is_ready in self.ports.items() if is_ready]
        if not ready:
            return []
        self._turn += 1
        first = self._turn % len(ready)
        return ready[first:] + ready[:first]

    async def _is_ready(self, port: int) -> bool:
        try:
            async with asyncio.timeout(CONNECT_SECONDS), connected(port) as (reader, writer):
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n")
                return b" 200 " in await reader.readline()
        except (OSError, TimeoutError):
            return False


@contextlib.asynccontextmanager
async def balancing() -> AsyncIterator[Balancer]:
    """A balancer that listens on a free loopback port."""
    balancer = Balancer()
    async with serving(balancer.carry) as balancer.port:
        looking = asyncio.create_task(balancer.look())
        try:
            yield balancer
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Whatever comes, until either side is gone; the other side is closed too."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
