"""An answer that nobody waits for any more is ended, and one that somebody waits for is not."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from service.api.lifecycle import Leaving
from service.api.misses import _unless_disconnected, _unless_left
from service.models import Answer

ANSWER = Answer(b"[]", "personalize", None, "", 0)


class Scene:
    """An answer that takes as long as it is wanted to."""

    def __init__(self) -> None:
        self.leaving = Leaving()
        self.go_on = asyncio.Event()
        self.began = self.ended = False

    async def answer(self) -> Answer:
        self.began = True
        try:
            await self.go_on.wait()
        finally:
            self.ended = True
        return ANSWER

    async def turn(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_whose_client_has_left_before_is_not_begun() -> None:
    scene = Scene()
    scene.leaving.left()
    assert await _unless_left(scene.answer(), scene.leaving) is None
    assert not scene.began


async def test_a_client_that_leaves_ends_its_call_and_nobody_elses() -> None:
    scene = Scene()
    asking = asyncio.create_task(_unless_left(scene.answer(), scene.leaving))
    await scene.turn()
    scene.leaving.left()
    assert await asking is None
    assert scene.ended
    # It was no cancelling of the task, which goes on.
    assert asking.cancelling() == 0
    assert scene.leaving.on_leave is None


async def test_who_is_cancelled_by_the_server_is_cancelled() -> None:
    scene = Scene()
    asking = asyncio.create_task(_unless_left(scene.answer(), scene.leaving))
    await scene.turn()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert scene.ended


async def test_an_answer_that_is_there_is_given_and_a_later_leaving_ends_nothing() -> None:
    scene = Scene()
    scene.go_on.set()
    assert await _unless_left(scene.answer(), scene.leaving) is ANSWER
    scene.leaving.left()
    await asyncio.sleep(0)


def received(*kinds: str) -> Callable[[], Any]:
    """What the client still sends, and then nothing more."""
    left = list(kinds)

    async def receive() -> dict[str, str]:
        if not left:
            await asyncio.Event().wait()
        return {"type": left.pop(0)}

    return receive


async def test_without_a_server_that_says_so_the_client_is_asked_for_its_leaving() -> None:
    scene = Scene()
    assert await _unless_disconnected(scene.answer(), received("http.request", "http.disconnect")) is None
    await scene.turn()
    assert scene.ended
    other = Scene()
    other.go_on.set()
    assert await _unless_disconnected(other.answer(), received("http.request")) is ANSWER
