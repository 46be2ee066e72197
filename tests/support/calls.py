"""Calls as Braze makes them, and what came of each."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

import aiohttp

BRAZE_SECONDS = 2.0
"""Later answers are not put into the message."""

patience_seconds = BRAZE_SECONDS
"""Of a caller. The benches have Braze's; the tests, which assert no duration, have more: a busy machine is slow."""

REQUIRED = ("id", "url", "name", "image")


@dataclass(frozen=True, slots=True)
class Call:
    """One Connected Content call and what came of it."""

    user: str
    began: float
    seconds: float
    status: int
    """0 when the connection failed."""

    source: str
    reason: str
    ids: tuple[str, ...]
    complete: bool
    """Whether the list has as many different items as were wanted, each with every required field."""


@contextlib.asynccontextmanager
async def client(seconds: float | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """As Braze: gives up after `patience_seconds`, and opens as many connections as it takes."""
    timeout = aiohttp.ClientTimeout(total=patience_seconds if seconds is None else seconds)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        yield session


async def make_call(session: aiohttp.ClientSession, url: str, user: str, wanted: int = 10) -> Call:
    """One call; a failure of the connection counts as status 0."""
    began = time.monotonic()
    status, source, reason, ids, complete = 0, "", "", (), False
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, json.JSONDecodeError):
        async with session.get(f"{url}/recommendations", params={"user_id": user, "num_results": wanted}) as answer:
            status = answer.status
            source = answer.headers.get("X-Recommendation-Source", "")
            reason = answer.headers.get("X-Degraded-Reason", "")
            items = json.loads(await answer.read())
            ids = tuple(item["id"] for item in items)
            complete = (
                len(ids) == len(set(ids)) == wanted
                and all(item[name] for item in items for name in REQUIRED)
                and all(isinstance(item["price"], int | float) for item in items)
            )
    return Call(user, began, time.monotonic() - began, status, source, reason, ids, complete)


async def call_each(
    urls: Sequence[str], users: Iterable[str], *, at_once: int = 20, seconds: float | None = None
) -> list[Call]:
    """One call for each user, a few at a time; users go round the replicas. Each is given up after so many seconds."""
    turns = asyncio.Semaphore(at_once)
    async with client(seconds) as session:

        async def call(number: int, user: str) -> Call:
            async with turns:
                return await make_call(session, urls[number % len(urls)], user)

        return await asyncio.gather(*(call(number, user) for number, user in enumerate(users)))


def most_in_a_second(moments: Iterable[float]) -> int:
    """The largest number of moments within any closed interval of one second."""
    ordered = sorted(moments)
    most = first = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] > 1.0 + 1e-9:
            first += 1
        most = max(most, last - first + 1)
    return most


def assert_all_answered(calls: Iterable[Call]) -> None:
    """Every call got a full list within `patience_seconds`."""
    calls = list(calls)
    assert calls
    bad = [call for call in calls if call.status != 200 or not call.complete or call.seconds >= patience_seconds]
    assert not bad, f"{len(bad)} of {len(calls)}, such as {bad[:3]}"
