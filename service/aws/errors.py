"""What the catalogue's sources at Amazon have in common."""

import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore import exceptions as sdk

from service.errors import CatalogError


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
            # Amazon's newer SDKs read AWS_REGION, this one only AWS_DEFAULT_REGION.
            creating = get_session().create_client(
                self._service, region_name=os.environ.get("AWS_REGION") or None, config=self._config
            )
            self._client = await self._stack.enter_async_context(creating)
        return self._client

    async def close(self) -> None:
        """Close its connections."""
        self._client = None
        await self._stack.aclose()


@contextmanager
def readable_sdk_errors(label: str) -> Iterator[None]:
    """Turn whatever the SDK raises into a line for the operator; cancellation passes."""
    try:
        yield
    except sdk.ClientError as error:
        details = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        message = _one_line(str(details.get("Message", "")))
        raise CatalogError(f"{label}: {details.get('Code', 'no error code')} ({status}): {message}") from error
    except (sdk.BotoCoreError, aiohttp.ClientError, ValueError) as error:
        raise CatalogError(f"{label}: {_one_line(str(error)) or type(error).__name__}") from error
    except TimeoutError as error:
        raise CatalogError(f"{label}: no answer in time") from error


def _one_line(text: str) -> str:
    return " ".join(text.split())
