"""Calls that go on for as long as a test does something to what is behind the service."""

import asyncio
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from bench.processes import Running
from bench.sends import Call, client, make_call

BRAZE_SECONDS = 2.0
"""Later answers are not put into the message."""


@asynccontextmanager
async def pouring(replicas: Sequence[Running], *, per_second: float, calls_each: int = 2) -> AsyncIterator[list[Call]]:
    """New users all the time, each with simultaneous calls on different replicas; the list fills as they end.

    At the end of the block no call is begun any more, and all that were are in the list.
    """
    calls: list[Call] = []
    tasks: list[asyncio.Task[None]] = []
    name = uuid.uuid4().hex
    over = asyncio.Event()

    async with client() as session:

        async def call(url: str, user: str) -> None:
            calls.append(await make_call(session, url, user))

        async def pour() -> None:
            began = time.monotonic()
            number = 0
            while not over.is_set():
                await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
                for part in range(calls_each):
                    url = replicas[(number + part) % len(replicas)].url
                    tasks.append(asyncio.create_task(call(url, f"{name}-{number}")))
                number += 1

        pourer = asyncio.create_task(pour())
        try:
            yield calls
        finally:
            over.set()
            await pourer
            await asyncio.gather(*tasks)


async def personalised(calls: Sequence[Call], *, since: float, within: float) -> float:
    """Seconds from `since` to the first personalised answer of a call begun later.

    Raises:
        TimeoutError: There was none in time.
    """
    async with asyncio.timeout(since + within - time.monotonic()):
        while True:
            for call in calls:
                if call.source == "personalize" and call.began > since:
                    return call.began + call.seconds - since
            await asyncio.sleep(0.02)


def assert_all_answered(calls: Iterable[Call]) -> None:
    """Every call got a full list, in time for Braze."""
    calls = list(calls)
    assert calls
    bad = [call for call in calls if call.status != 200 or not call.complete or call.seconds >= BRAZE_SECONDS]
    assert not bad, f"{len(bad)} of {len(calls)}, such as {bad[:3]}"


async def until(is_so: Callable[[], bool], *, seconds: float) -> None:
    """Wait for something that is asked of another process.

    Raises:
        TimeoutError: It did not come true.
    """
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(is_so):  # noqa: ASYNC110  # another process sets no event of ours
            await asyncio.sleep(0.05)


def metric(replica: Running, name: str) -> float:
    """The value of a metric without labels."""
    with urllib.request.urlopen(f"{replica.url}/metrics", timeout=5) as answer:  # noqa: S310  # loopback only
        lines = answer.read().decode().splitlines()
    [value] = [line.split()[1] for line in lines if line.startswith(f"{name} ")]
    return float(value)
