"""The connections to Personalize, against a host of few words."""

import asyncio

import pytest
from botocore.exceptions import ConnectionClosedError

from service.personalize.sdk.connections import ConnectionPool, Place


async def test_a_host_that_hangs_up_is_the_reason_why_there_is_no_answer() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as host:
        port = host.sockets[0].getsockname()[1]
        place = Place(f"http://127.0.0.1:{port}", "127.0.0.1", port, None)
        pool = ConnectionPool(place, max_connections=1, connect_seconds=30, silence_seconds=30)
        try:
            with pytest.raises(ConnectionClosedError) as raised:
                await pool.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        finally:
            await pool.close()
    reason = raised.value.kwargs["error"]
    assert isinstance(reason, ConnectionResetError)
    assert str(reason) == "the host hung up"
