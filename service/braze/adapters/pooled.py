"""Calls a service over HTTP as Braze does: many calls at once, over connections that stay open."""

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from service.braze.adapters.http import Addresses, Asked
from service.braze.ports import CALL_SECONDS, MAX_ANSWER_BYTES, UNREACHABLE, Answer, Call, Heard

TRANSACTIONS: Final = "personalize_transactions_total"

_COMPLAINT_CHARACTERS: Final = 300


class PooledService:
    """A `Service`; a context manager.

    Args:
        service: Its address; see `Addresses`, which keeps every call on it.
        credentials: Of the service.
    """

    def __init__(self, service: str, credentials: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._addresses = Addresses(service, credentials)
        self._metrics_url = service.rstrip("/") + "/metrics"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=CALL_SECONDS),
            auto_decompress=True,
            # Braze keeps none.
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._open.close()

    @property
    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None  # noqa: S101  # used within the block only
        return self._session

    async def call(self, call: Call) -> Heard:
        """What the service said in Braze's 2 seconds."""
        asked = self._addresses.asked(call)
        if isinstance(asked, Answer):
            return Heard(asked, 0.0)
        begin = time.monotonic()
        try:
            return await self._fetch(asked, begin)
        except TimeoutError:
            answer = Answer(UNREACHABLE, problem=f"no answer within {CALL_SECONDS:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            answer = Answer(UNREACHABLE, problem=f"no answer: {_said(error)}")
        return Heard(answer, time.monotonic() - begin)

    async def _fetch(self, asked: Asked, begin: float) -> Heard:
        async with self._open.request(
            # As it is written, not quoted anew.
            asked.method,
            URL(asked.url, encoded=True),
            data=asked.body,
            headers=asked.headers,
            allow_redirects=False,
        ) as response:
            body = await response.content.read(MAX_ANSWER_BYTES + 1)
            while len(body) <= MAX_ANSWER_BYTES and (more := await response.content.read(MAX_ANSWER_BYTES)):
                body += more
            text = body.decode("utf-8", "replace")
            if len(body) > MAX_ANSWER_BYTES:
                answer = Answer(response.status, problem="the answer is longer than 1 MB")
            elif 200 <= response.status < 300:  # noqa: PLR2004  # 2XX
                answer = Answer(response.status, text)
            else:
                answer = Answer(response.status, problem=text[:_COMPLAINT_CHARACTERS])
            return Heard(
                answer,
                time.monotonic() - begin,
                response.headers.get("X-Recommendation-Source", ""),
                response.headers.get("X-Degraded-Reason", ""),
            )

    async def transactions(self) -> float | None:
        """Transactions that this replica has spent so far; None if its metrics cannot be read."""
        try:
            async with asyncio.timeout(CALL_SECONDS), self._open.get(self._metrics_url) as response:
                if response.status != 200:  # noqa: PLR2004  # OK
                    return None
                lines = (await response.text()).splitlines()
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            return None
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(TRANSACTIONS + "{"))


def _said(error: Exception) -> str:
    """The same for all calls: aiohttp also names the address, in which a user is."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"Cannot connect to the service: {error.os_error.strerror or type(error.os_error).__name__}"
    if isinstance(error, aiohttp.ClientResponseError):
        return error.message.partition("\n")[0].rstrip(":")
    return str(error) or type(error).__name__
