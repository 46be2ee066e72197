"""What a look at Redis from end to end tells of what is no Redis as it should be."""

import asyncio

from service.fleet.examination import examine
from tests.support.streams import serving


async def test_a_server_without_tls_that_waits_for_the_end_of_a_command_is_called_so() -> None:
    """E5: it takes the first bytes of TLS for the beginning of a command, and says nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.read(1024)).startswith(b"PING\r\n"):
            writer.write(b"-NOAUTH Authentication required.\r\n")
        else:
            await reader.read()

    async with serving(serve) as port:
        found = await examine(f"rediss://127.0.0.1:{port}")

    assert found.cause is not None
    assert found.cause.kind == "tls"
