"""A local Personalize in a thread of this process, and the ways to talk to it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3
import httpx
import uvicorn
from botocore.config import Config

from service.local_personalize.arns import CAMPAIGN_ARN
from service.local_personalize.http import Application
from service.local_personalize.server import listen, server_config


@dataclass(frozen=True, kw_only=True)
class LocalPersonalize:
    """A local Personalize that listens, and the ways to talk to it."""

    url: str
    http: httpx.Client

    @cached_property
    def sdk(self) -> Any:  # noqa: ANN401  # botocore makes the client's class at run time
        """The real boto3 client, without retries."""
        return _sdk(self.url)

    def close(self) -> None:
        """The client of the SDK, if it was asked for."""
        if "sdk" in self.__dict__:
            self.sdk.close()

    def recommend(self, **arguments: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.sdk.get_recommendations(**{"campaignArn": CAMPAIGN_ARN, **arguments})
        return answer

    def fail(self, mode: str, **more: object) -> None:
        self.http.post("/_faults", json={"mode": mode, **more}).raise_for_status()

    def refuse(self, **codes: str) -> None:
        """Answer calls signed with these access keys with these error codes, and no others."""
        self.http.post("/_access_keys", json=codes).raise_for_status()

    def stats(self) -> dict[str, Any]:
        counts: dict[str, Any] = self.http.get("/_stats").json()
        return counts


def _sdk(url: str) -> Any:  # noqa: ANN401  # botocore makes the client's class at run time
    return boto3.client(
        "personalize-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10, user_agent="tests"),
    )


@contextmanager
def serving(app: Application) -> Iterator[LocalPersonalize]:
    """Serve it in a thread until the block ends."""
    server = _ThreadServer(server_config(app))
    with listen("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            assert server.listening.wait(timeout=10)
            with httpx.Client(base_url=url, timeout=10) as http, closing(LocalPersonalize(url=url, http=http)) as local:
                yield local
        finally:
            server.end()
            thread.join(timeout=10)


class _ThreadServer(uvicorn.Server):
    """Ends as soon as it shall: the server's own looks ten times a second, and hundreds of tests have one."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()

    def end(self) -> None:
        """From another thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._over.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.listening.set()

    async def main_loop(self) -> None:
        # Each look writes the date of the answers anew, by which the doctor compares clocks.
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._over.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110  # the server has no event
            await asyncio.sleep(0.002)
        await self.lifespan.shutdown()
