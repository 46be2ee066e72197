"""Clients of the AWS SDK for the sources and stores of several rooms."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig

from service.aws.session import AwsSession


class AwsClient:
    """A client of the AWS SDK that is opened when it is first needed.

    Endpoint and proxies come from the SDK's own chain, credentials from the session. The first use waits for them, so
    it belongs to a start or to a task of its own, never into a request.
    """

    def __init__(self, aws: AwsSession, service: str, config: AioConfig) -> None:
        self._aws = aws
        self._service = service
        self._config = config
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: Any = None
        self._ready = False

    async def get(self) -> Any:  # noqa: ANN401  # the SDK makes its clients' classes at run time
        """The client.

        Raises:
            ConfigurationError: AWS_PROFILE names a profile that no file has.
            MissingCredentialsError: There are no credentials, and the session's patience is over.
        """
        async with self._opening:
            if not self._ready:
                await self._aws.ready()
                self._ready = True
            return await self._made()

    async def make(self) -> None:
        """Make the client at the start: making it holds up the event loop for some 50 ms, and waits for nothing.

        Raises:
            ConfigurationError: See `get`.
        """
        async with self._opening:
            await self._made()

    async def _made(self) -> Any:  # noqa: ANN401  # see above
        if self._client is None:
            creating = self._aws.client(self._service, self._config)
            self._client = await self._stack.enter_async_context(creating)
        return self._client

    async def close(self) -> None:
        """Close its connections."""
        self._client = None
        await self._stack.aclose()
