"""Calls that go on for as long as a test does something to what is behind the service."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.support.calls import Call, client, make_call
from tests.support.processes import Process

BRAZE_SECONDS = 2.0
"""Later answers are not put into the message."""


@asynccontextmanager
async def pouring(replicas: Sequence[Process], *, per_second: float, calls_each: int = 2) -> AsyncIterator[list[Call]]:
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
