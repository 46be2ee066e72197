"""What gives an instance or a container the credentials of its role: the metadata service, and ECS's endpoint."""

import asyncio
import datetime as dt
import json
import time
from contextlib import AsyncExitStack, suppress
from typing import Any, Self

from tests.support.ports import free_port
from tests.support.streams import serving

ROLE_PATH = "/latest/meta-data/iam/security-credentials/"
CONTAINER_PATH = "/v2/credentials/task"


class CredentialEndpoint:
    """Both on one port of loopback, which listens while the block lasts, or between `open` and `close`.

    Attributes:
        key: The access key that it gives.
        lasts_seconds: How long what it gives lasts.
        status: What every request is answered with.
        body: What every request is answered with, instead of a role or its credentials.
        delay_seconds: How long every answer takes.
        asked: The paths that were asked for.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.key = "ROLE1"
        self.lasts_seconds = 6 * 3600.0
        self.status = 200
        self.body: bytes | None = None
        self.delay_seconds = 0.0
        self.asked: list[str] = []
        self._serving = AsyncExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def instance(self) -> dict[str, str]:
        """The SDK's variables for the metadata service of an instance."""
        return {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url}

    def container(self) -> dict[str, str]:
        """The SDK's variables for the endpoint of a container."""
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.url}{CONTAINER_PATH}"}

    async def open(self) -> None:
        await self._serving.enter_async_context(serving(self._serve, self.port))

    async def close(self) -> None:
        await self._serving.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def credentials(self) -> dict[str, Any]:
        """What it gives now."""
        expiration = dt.datetime.fromtimestamp(time.time() + self.lasts_seconds, dt.UTC)
        return {
            "Code": "Success",
            "AccessKeyId": self.key,
            "SecretAccessKey": "secret",
            "Token": "token",
            "Expiration": expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, _ = head.decode("latin-1").split(" ", 2)
            self.asked.append(path)
            await asyncio.sleep(self.delay_seconds)
            body = self._body(method, path) if self.body is None else self.body
            lines = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(lines.encode() + body)
            await writer.drain()

    def _body(self, method: str, path: str) -> bytes:
        if method == "PUT":
            return b"a-token-of-the-metadata-service"
        return b"shop-role" if path == ROLE_PATH else json.dumps(self.credentials()).encode()
