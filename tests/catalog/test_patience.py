"""A file system that answers late."""

import asyncio
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from service.catalog.reading import patience
from service.catalog.reading.patience import STALL_SECONDS, Stalled, WatchedFile, patiently
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


async def test_a_call_runs_in_a_thread_that_keeps_no_process_from_ending() -> None:
    assert await patiently(lambda: threading.current_thread().daemon)


async def test_the_calls_own_timeout_is_no_stall() -> None:
    def call() -> None:
        raise TimeoutError("of the mount")

    with pytest.raises(TimeoutError, match="of the mount") as raised:
        await patiently(call, seconds=60)
    assert not isinstance(raised.value, Stalled)


async def test_a_file_that_gives_nothing_is_looked_at_ten_times_in_its_time_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stalling:
        @property
        def stalled_seconds(self) -> float:
            return looks.pop(0)

    looks = [0.0, STALL_SECONDS, STALL_SECONDS + 0.1]
    waits: list[float | None] = []
    timeout, end = asyncio.timeout, threading.Event()

    def at_once(seconds: float | None) -> asyncio.Timeout:
        waits.append(seconds)
        return timeout(0)

    late: list[bool] = []
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "timeout", at_once)
        with pytest.raises(Stalled, match="no answer within 30 s"):
            await patiently(end.wait, watched=cast("WatchedFile", Stalling()), on_late=late.append)
    assert waits == [3.0] * 3
    assert looks == []
    end.set()
    await until(lambda: bool(late))


@pytest.mark.parametrize("seconds", [0.0, None])
async def test_what_comes_when_nobody_waits_any_more_is_handed_over(seconds: float | None) -> None:
    """The descriptor of a file on a mount that hung for a while."""
    end = threading.Event()
    late: list[bool] = []
    waiting = asyncio.create_task(patiently(end.wait, seconds=seconds, on_late=late.append))
    if seconds is None:
        await asyncio.sleep(0)
        waiting.cancel()
    with pytest.raises(Stalled if seconds is not None else asyncio.CancelledError):
        await waiting
    end.set()
    await until(lambda: bool(late))


def test_a_file_knows_for_how_long_it_has_given_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "feed"
    path.write_text("abcdef")
    now = [100.0]
    seen: list[float] = []

    def slowly(descriptor: int, buffers: list[bytearray]) -> int:
        now[0] += 5
        seen.append(file.stalled_seconds)
        return os.readv(descriptor, buffers)

    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(patience, "os", SimpleNamespace(readv=slowly))
    with WatchedFile(os.open(path, os.O_RDONLY)) as file:
        assert file.stalled_seconds == 0.0
        assert file.readinto(bytearray(3)) == 3
        assert file.stalled_seconds == 0.0
    assert seen == [5.0]
