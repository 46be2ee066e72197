"""A file system that answers late."""

import asyncio
import threading

import pytest

from service.catalog.reading.patience import Stalled, patiently
from tests.support.waiting import until


async def test_a_call_that_ends_as_its_time_is_over_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    shield = asyncio.shield

    async def both(done: "asyncio.Future[str]") -> str:
        # The loop was busy elsewhere: when it is back, the time is over and the call has ended.
        try:
            return await shield(done)
        except asyncio.CancelledError:
            ended.set()
            await until(done.done)
            raise

    monkeypatch.setattr(asyncio, "shield", both)

    def call() -> str:
        ended.wait(60)
        return "here"

    assert await patiently(call, seconds=0.01) == "here"


async def test_the_calls_own_timeout_is_no_stall() -> None:
    def call() -> None:
        raise TimeoutError("of the mount")

    with pytest.raises(TimeoutError, match="of the mount") as raised:
        await patiently(call, seconds=60)
    assert not isinstance(raised.value, Stalled)
