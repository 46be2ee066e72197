"""A way to a server that a test can cut."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from tests.support.streams import connected, serving


class Relay:
    """Passes bytes on between its own port and another one, until it is cut."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._whole = True
        self.port = 0
        self.answer: bytes | None = None
        """What stands in the place of every answer."""

    @property
    def url(self) -> str:
        """For `REDIS_URL`."""
        return f"redis://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End what is open, and take nothing more."""
        self._whole = False
        for writer in self._writers:
            writer.close()

    def mend(self) -> None:
        """Pass on again."""
        self._whole = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(OSError):
            async with connected(self._to_port) as (there, back):
                # Looked at after the wait, in which the way may have been cut.
                if not self._whole:
                    return
                self._writers |= {writer, back}
                try:
                    await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer, self._answered))
                finally:
                    self._writers -= {writer, back}

    def _answered(self, data: bytes) -> bytes:
        return data if self.answer is None else self.answer


def _as_it_is(data: bytes) -> bytes:
    return data


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Callable[[bytes], bytes] = _as_it_is
) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(change(data))
            await writer.drain()
    writer.close()


@asynccontextmanager
async def relay(to_port: int) -> AsyncIterator[Relay]:
    """A relay for as long as the block lasts."""
    found = Relay(to_port)
    async with serving(found.serve) as found.port:
        yield found
