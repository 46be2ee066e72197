"""Many requests of strangers in one moment leave room for callers between them."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

from service.api.delays import MAX_DELAY_SECONDS, MIN_DELAY_SECONDS, UNDELAYED, Delays
from service.api.turns import MAX_A_TURN, Turns
from tests.support.front_door import Door
from tests.support.waiting import until

CROWD = 50


async def test_a_few_begin_at_once_and_a_few_in_each_turn_of_the_loop() -> None:
    """I2"""
    turns, begun = Turns(), []

    async def ask(number: int) -> None:
        await turns.take()
        begun.append(number)

    asking = [asyncio.ensure_future(ask(number)) for number in range(CROWD)]
    before = 0
    for _ in range(CROWD):
        await asyncio.sleep(0)
        assert len(begun) - before <= MAX_A_TURN
        before = len(begun)
    await asyncio.gather(*asking)
    assert begun == list(range(CROWD))


async def test_who_leaves_the_line_takes_nobodys_turn() -> None:
    """I2"""
    turns = Turns()
    asking = [asyncio.ensure_future(turns.take()) for _ in range(CROWD)]
    await asyncio.sleep(0)
    for one in asking[MAX_A_TURN:-1]:
        one.cancel()

    await until(asking[-1].done)
    assert len(turns) == 0
    # The line is as it was: the next caller does not wait.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await turns.take() is False
    # Where nobody comes, nothing is done in the turns that follow.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not turns._is_next_due


async def statuses(door: Door, paths: list[str], receive: Callable[[], Awaitable[Any]]) -> list[tuple[str, int]]:
    """The answers to requests of one moment, in the order in which they leave."""
    answered: list[tuple[str, int]] = []

    async def ask(path: str) -> None:
        async def send(message: Any) -> None:  # noqa: ANN401  # ASGI's own
            if message["type"] == "http.response.start":
                answered.append((path, message["status"]))

        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"user_id=u1",
            "headers": [],
        }
        await door.app(scope, receive, send)

    await asyncio.gather(*map(ask, paths))
    return answered


async def nothing_more() -> dict[str, object]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def hung_up() -> dict[str, object]:
    return {"type": "http.disconnect"}


async def test_a_callers_answer_leaves_before_those_of_a_crowd_that_came_first(door: Door) -> None:
    """I2"""
    await door.get("/recommendations", user_id="u1")

    answered = await statuses(door, ["/nope"] * CROWD + ["/recommendations"], nothing_more)

    assert answered.index(("/recommendations", 200)) <= MAX_A_TURN
    assert answered.count(("/nope", 404)) == CROWD


async def test_a_crowd_that_has_hung_up_before_its_turn_is_not_answered(door: Door) -> None:
    """I2"""
    assert len(await statuses(door, ["/nope"] * CROWD, hung_up)) == MAX_A_TURN


def test_refusals_of_a_flood_wait_and_do_not_all_end_in_one_moment() -> None:
    """I3"""
    now = 0.0
    delays = Delays(lambda: now)

    assert [delays.seconds() for _ in range(UNDELAYED)] == [0.0] * UNDELAYED
    waits = sorted(delays.seconds() for _ in range(200))
    assert waits[0] >= MIN_DELAY_SECONDS
    assert waits[-1] <= MAX_DELAY_SECONDS
    steps = [later - earlier for earlier, later in pairwise(waits)]
    assert max(steps) < 0.02
    now = 1.0
    assert delays.seconds() == 0.0
