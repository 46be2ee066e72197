"""Connections of tests' own servers and relays: none outlives its block, however the test ends."""

import asyncio
import ssl
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[object, object, None]]
"""One connection, from its first byte to its last."""


@asynccontextmanager
async def serving(serve: Serve, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server on loopback; its connections are closed and its tasks ended with the block.

    Args:
        serve: Gets each connection, which is closed when it returns or fails.
        port: To listen on; 0 for any that is free.
        tls: Of the server.
    """
    tasks: set[asyncio.Task[None]] = set()
    transports: weakref.WeakSet[asyncio.WriteTransport] = weakref.WeakSet()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Made here, for a task of asyncio's own may be cancelled before its first step, and then nobody closes.
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)
        transports.add(writer.transport)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: writer.close())

    server = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for transport in transports:
            # A closed one waits for who does not read, and over TLS for the other side's word.
            transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a port of loopback, closed with the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
