"""The budget of an embedded replica, through its front door."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from service.constants import MAX_PREWARM_USERS
from service.errors import ConfigurationError, SharedStateUnavailable
from service.sends.ports import ItemListMaker, PrewarmReport, PrewarmTerms

PATH: Final = "/users/prewarm"
ITEMS_PATH: Final = "/items/asked"

MAX_STEP_SECONDS: Final = 1.0
"""Longest wait for slots of one call: what it has fetched is known only at its end, and people watch it."""

MAX_ANSWER_SECONDS: Final = 30.0
"""Far above the time that a replica takes slots for and that its last transactions need."""


class RemoteLists:
    """An `ItemListMaker` that asks a replica to fetch, in calls of a second.

    Args:
        session: Ends after these lists.
        url: Of the replica, or of what stands in front of it.
        admin_key: One of its `ADMIN_KEYS`.
        placement: Whose items were asked for; empty: the first one's that has any.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, admin_key: str, placement: str = "") -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._placement = placement
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
        wanted = asdict(terms)
        names = "item_ids" if wanted.pop("items") else "user_ids"
        answer = await self._call(
            "POST", PATH, json={names: list(first), "seconds": min(seconds, MAX_STEP_SECONDS), **wanted}
        )
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

    async def recent_items(self) -> list[str]:
        """See `ItemListMaker.recent_items`.

        Raises:
            SharedStateUnavailable: The replica does not answer.
            ConfigurationError: It answers that it never will.
        """
        answer = await self._call("GET", ITEMS_PATH, params={"placement": self._placement})
        return list(answer["items"])

    async def _call(self, method: str, path: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401  # the library's own
        try:
            async with self._session.request(
                method, self._url + path, headers=self._headers, allow_redirects=False, **more
            ) as answer:
                if answer.status == HTTPStatus.OK:
                    body: dict[str, Any] = await answer.json()
                    return body
                text = (await answer.text())[:300]
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise ConfigurationError("--service: not an http:// or https:// address") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SharedStateUnavailable(f"the service does not answer: {type(error).__name__}") from error
        if answer.status == HTTPStatus.CONFLICT or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise SharedStateUnavailable(f"the service answers {answer.status}: {text}")
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise ConfigurationError("ADMIN_KEY: the service does not know it; it must be one of its ADMIN_KEYS")
        raise ConfigurationError(f"--service: answers {answer.status} to {method} {path}: {text}")


@asynccontextmanager
async def open_remote(url: str, admin_key: str, placement: str = "") -> AsyncIterator[ItemListMaker]:
    """Make lists through a replica for as long as the block lasts."""
    timeout = aiohttp.ClientTimeout(total=MAX_ANSWER_SECONDS, connect=5.0)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield RemoteLists(session, url, admin_key, placement)
