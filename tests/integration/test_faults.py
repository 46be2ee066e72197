"""Personalize misbehaves for three seconds under calls of twice its TPS."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.integration.pouring import personalised, pouring
from tests.support.calls import assert_all_answered
from tests.support.processes import Process, local_personalize, service

TPS = 10


@pytest.fixture(scope="module")
def personalize() -> Iterator[Process]:
    with local_personalize(tps=TPS, latency_ms=30) as running:
        yield running


@pytest.fixture(scope="module")
def replica(personalize: Process) -> Iterator[Process]:
    with service(personalize, PERSONALIZE_TPS=str(TPS)) as running:
        yield running


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("hang", "timeout"),
        ("reset", "error"),
        ("error500", "error"),
        ("throttle", "throttled"),
        ("garbage", "error"),
        ("empty", "error"),
    ],
)
async def test_every_message_is_filled_while_personalize_fails_and_soon_personalised_again(
    personalize: Process, replica: Process, mode: str, reason: str
) -> None:
    async with pouring([replica], per_second=2 * TPS) as calls:
        await personalised(calls, since=time.monotonic(), within=10)
        began = time.monotonic()
        await asyncio.to_thread(personalize.post, "/_faults", {"mode": mode})
        await asyncio.sleep(3)
        await asyncio.to_thread(personalize.post, "/_faults", {"mode": "none"})
        ended = time.monotonic()
        again = await personalised(calls, since=ended, within=6)

    assert_all_answered(calls)
    assert again <= 6
    # Who waited for a slot when it began may be the only one to meet the fault itself, before the breaker opens.
    during = [call for call in calls if began < call.began + call.seconds and call.began < ended]
    assert reason in {call.reason for call in during}
    assert {call.source for call in during} <= {"personalize", "cache", "popular"}
