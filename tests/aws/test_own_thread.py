import asyncio
import threading

import pytest

from service.aws.own_thread import in_own_thread
from tests.support.waiting import wait_until


async def test_what_the_work_returns_or_raises_comes_back() -> None:
    async def name() -> str:
        return threading.current_thread().name

    async def fail() -> str:
        raise ValueError("no such file")

    assert await in_own_thread(name, timeout_seconds=5) == "aws-credentials"
    with pytest.raises(ValueError, match="no such file"):
        await in_own_thread(fail, timeout_seconds=5)


async def test_work_that_hangs_is_ended_at_its_deadline() -> None:
    ended = threading.Event()

    with pytest.raises(TimeoutError):
        await in_own_thread(lambda: _hang(ended), timeout_seconds=0.05)

    await asyncio.to_thread(wait_until, ended.is_set)


async def test_a_caller_that_leaves_ends_the_work_without_waiting_for_it() -> None:
    ended = threading.Event()
    caller = asyncio.create_task(in_own_thread(lambda: _hang(ended), timeout_seconds=60))
    await asyncio.sleep(0.05)

    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    await asyncio.to_thread(wait_until, ended.is_set)


async def _hang(ended: threading.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()
