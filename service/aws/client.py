"""Clients of the AWS SDK for the sources and stores of several rooms."""

import os
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session


class AwsClient:
    """A client of the AWS SDK that is opened when it is first needed.

    Credentials, endpoint and proxies come from the SDK's own chain.
    """

    def __init__(self, service: str, config: AioConfig) -> None:
        self._service = service
        self._config = config
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def get(self) -> Any:  # noqa: ANN401  # the SDK makes its clients' classes at run time
        """The client."""
        if self._client is None:
            creating = get_session().create_client(self._service, region_name=region_name(), config=self._config)
            self._client = await self._stack.enter_async_context(creating)
        return self._client

    async def close(self) -> None:
        """Close its connections."""
        self._client = None
        await self._stack.aclose()


def region_name() -> str | None:
    """The region of AWS_REGION, which this SDK does not read; None leaves it to the SDK's own chain.

    Amazon's newer SDKs read AWS_REGION, this one only AWS_DEFAULT_REGION.
    """
    return os.environ.get("AWS_REGION") or None
