"""The budget of an embedded replica, through its front door."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from service.constants import MAX_PREWARM_USERS
from service.errors import ConfigurationError, SharedStateUnavailable
from service.sends.ports import ListMaker, PrewarmReport, PrewarmTerms

PATH: Final = "/users/prewarm"

MAX_STEP_SECONDS: Final = 1.0
"""Longest wait for slots of one call: what it has fetched is known only at its end, and people watch it."""

MAX_ANSWER_SECONDS: Final = 30.0
"""Far above the time that a replica takes slots for and that its last transactions need."""


class RemoteLists:
    """A `ListMaker` that asks a replica to fetch, in calls of a second.

    Args:
        session: Ends after these lists.
        url: Of the replica, or of what stands in front of it.
        admin_key: One of its `ADMIN_KEYS`.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, admin_key: str) -> None:
        self._session = session
        self._url = url.rstrip("/") + PATH
        self._headers = {"X-API-Key": admin_key}

    async def make(
        self, users: Sequence[str], terms: PrewarmTerms, *, seconds: float, on_done: Callable[[], None] = lambda: None
    ) -> PrewarmReport:
        """See `ListMaker.make`; takes as many users as one call may name, unless it only looks them up.

        Raises:
            SharedStateUnavailable: The replica does not answer, or another prewarm is under way in it.
            ConfigurationError: It answers that it never will: wrong key or address.
        """
        first, rest = users[:MAX_PREWARM_USERS], users[MAX_PREWARM_USERS:]
        answer = await self._post({"user_ids": list(first), "seconds": min(seconds, MAX_STEP_SECONDS), **asdict(terms)})
        report = PrewarmReport(**answer)
        for _ in range(report.fetched + report.kept):
            on_done()
        if rest and seconds <= 0:
            more = await self.make(rest, terms, seconds=0, on_done=on_done)
            report.kept += more.kept
            report.left += more.left
        else:
            report.left += rest
        return report

    async def _post(self, wanted: dict[str, Any]) -> dict[str, Any]:
        try:
            async with self._session.post(
                self._url, json=wanted, headers=self._headers, allow_redirects=False
            ) as answer:
                if answer.status == HTTPStatus.OK:
                    body: dict[str, Any] = await answer.json()
                    return body
                text = (await answer.text())[:200]
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise ConfigurationError("--service: not an http:// or https:// address") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SharedStateUnavailable(f"the service does not answer: {type(error).__name__}") from error
        if answer.status == HTTPStatus.CONFLICT or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise SharedStateUnavailable(f"the service answers {answer.status}: {text}")
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise ConfigurationError("ADMIN_KEY: the service does not know it; it must be one of its ADMIN_KEYS")
        raise ConfigurationError(f"--service: answers {answer.status} to POST {PATH}: {text}")


@asynccontextmanager
async def open_remote(url: str, admin_key: str) -> AsyncIterator[ListMaker]:
    """Make lists through a replica for as long as the block lasts."""
    timeout = aiohttp.ClientTimeout(total=MAX_ANSWER_SECONDS, connect=5.0)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield RemoteLists(session, url, admin_key)
