"""An answer that nobody waits for any more is ended, and one that somebody waits for is not."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from service.api.lifecycle import Asked, Leaving
from service.api.misses import _unless_disconnected, _unless_left, answer_to
from service.models import Answer, RecommendationQuery, sender_of_key

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


async def test_nothing_goes_on_behind_an_answer_or_behind_a_client_that_has_left() -> None:
    scene = Scene()
    before = asyncio.all_tasks()
    assert await _unless_disconnected(scene.answer(), received("http.disconnect")) is None
    await scene.turn()
    assert scene.ended
    scene.go_on.set()
    assert await _unless_disconnected(scene.answer(), received()) is ANSWER
    await scene.turn()
    assert asyncio.all_tasks() == before


async def test_an_answer_that_fails_fails_whether_or_not_its_client_is_asked_for() -> None:
    async def fails() -> Answer:
        raise ValueError("no such item")

    for failing in (_unless_disconnected(fails(), received()), _unless_left(fails(), Leaving())):
        with pytest.raises(ValueError, match="no such item"):
            await failing


@pytest.mark.parametrize("is_said", [False, True])
async def test_a_call_is_answered_for_its_sender_until_so_long_after_its_begin(*, is_said: bool) -> None:
    scene = Scene()
    said: list[tuple[object, ...]] = []
    headers = [(b"x-api-key", b"a")]

    async def answer(query: RecommendationQuery, deadline: float, *, arm: object, key: object) -> Answer:
        said.append((query, deadline, arm, key))
        return await scene.answer()

    services: Any = SimpleNamespace(
        limits=SimpleNamespace(deadline_seconds=1.5),
        gate=SimpleNamespace(sender_of=lambda sent: sender_of_key(1) if sent is headers else None),
    )
    placement, arm, key = SimpleNamespace(answer=answer), object(), b"key"
    query = RecommendationQuery("u", 5)
    asked = Asked(query, placement, arm, key, 100.0)  # type: ignore[arg-type]  # as far as they are asked
    leaving = Leaving() if is_said else None
    # Where the server says who has left, nobody is asked for it.
    receive = received("http.disconnect") if is_said else received()
    answering = asyncio.create_task(answer_to(services, asked, headers, receive, leaving))
    await scene.turn()
    assert said == [(replace(query, sender=sender_of_key(1)), 101.5, arm, key)]
    scene.go_on.set()
    assert await answering is ANSWER
    # One that is there already is not made again.
    made = replace(ANSWER, source="popular")
    assert await answer_to(services, replace(asked, answer=made), headers, receive, leaving) is made
    assert len(said) == 1
