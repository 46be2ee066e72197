"""What a look at Redis from end to end tells of what is no Redis as it should be."""

import asyncio

from service.fleet.examination import examine


async def test_a_server_without_tls_that_waits_for_the_end_of_a_command_is_called_so() -> None:
    """E5: it takes the first bytes of TLS for the beginning of a command, and says nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.read(1024)).startswith(b"PING\r\n"):
            writer.write(b"-NOAUTH Authentication required.\r\n")
        else:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        found = await examine(f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    assert found.cause is not None
    assert found.cause.kind == "tls"
