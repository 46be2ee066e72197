"""Deadlines for answers, and a loop that stands still."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest

from service.fleet.deadline import MOMENT_SECONDS, STALL_SECONDS, AnswerWithin
from tests.support.virtual_time import VirtualTimeLoop

SECONDS = 0.25


@pytest.fixture
def loop() -> Iterator[VirtualTimeLoop]:
    loop = VirtualTimeLoop()
    yield loop
    loop.close()


async def asked(answer: "asyncio.Future[str]") -> str:
    with AnswerWithin(SECONDS):
        return await answer


def test_an_answer_that_waits_behind_a_stalled_loop_is_taken(loop: VirtualTimeLoop) -> None:
    answer: asyncio.Future[str] = loop.create_future()

    def stall() -> None:
        loop.advance(2 * SECONDS)
        # What came meanwhile is read in the turn in which the timer is found to be due.
        loop.call_soon(loop.call_soon, answer.set_result, "here")

    loop.call_soon(stall)
    assert loop.run_until_complete(asked(answer)) == "here"


def test_silence_ends_in_time(loop: VirtualTimeLoop) -> None:
    began = loop.time()
    with pytest.raises(TimeoutError):
        loop.run_until_complete(asked(loop.create_future()))
    assert loop.time() - began == pytest.approx(SECONDS)


@pytest.mark.parametrize("lost", [1, 3])
def test_a_cancellation_that_is_lost_inside_is_made_again(loop: VirtualTimeLoop, lost: int) -> None:
    async def answer() -> None:
        for _ in range(lost):
            with suppress(asyncio.CancelledError):
                await loop.create_future()
        await loop.create_future()

    async def ask() -> int:
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(TimeoutError), AnswerWithin(SECONDS):
            await answer()
        return task.cancelling()

    began = loop.time()
    assert loop.run_until_complete(ask()) == 0
    assert loop.time() - began == pytest.approx(SECONDS + lost * MOMENT_SECONDS)


@pytest.mark.parametrize("stalls", [1, 5])
def test_a_stalled_loop_prolongs_silence_by_a_moment_and_once(loop: VirtualTimeLoop, stalls: int) -> None:
    began = loop.time()
    late = 2 * STALL_SECONDS

    def stall(left: int) -> None:
        loop.advance(late)
        if left > 1:
            loop.call_later(MOMENT_SECONDS / 2, stall, left - 1)

    loop.call_at(began + SECONDS - STALL_SECONDS / 4, stall, stalls)
    with pytest.raises(TimeoutError):
        loop.run_until_complete(asked(loop.create_future()))
    assert loop.time() - began < SECONDS + 2 * late + 2 * MOMENT_SECONDS


def test_who_is_cancelled_in_the_moment_in_which_the_time_is_over_is_cancelled(loop: VirtualTimeLoop) -> None:
    task = loop.create_task(asked(loop.create_future()))
    loop.call_at(loop.time() + SECONDS, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
