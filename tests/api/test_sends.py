"""`send=` and `rotate=`: one message, one list, and the next one another."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest

from service.errors import RecommenderError
from tests.support.front_door import Door, OpenDoor, OpenFleet, three_doors
from tests.support.redis import RedisServer
from tests.support.waiting import until

KEY = {"X-API-Key": "events-key-of-24-characters"}
ADMIN = {"X-API-Key": "admin-key-of-24-characters-"}
SETTINGS = {
    "EVENT_KEYS": KEY["X-API-Key"],
    "ADMIN_KEYS": ADMIN["X-API-Key"],
    "EXCLUDE_AFTER": "Purchase:180d",
    "CACHE_FRESH_SECONDS": "60",
    # On a busy machine three replicas take longer than by default.
    "REQUEST_DEADLINE_SECONDS": "5",
}


async def ask(door: Door, send: str = "s1", path: str = "/recommendations", **more: object) -> httpx.Response:
    answer = await door.get(path, **{"user_id": "ann", "send": send, **more})
    assert answer.status_code == 200
    return answer


async def shown(door: Door, send: str = "s1", path: str = "/recommendations", **more: object) -> list[str]:
    return [item["id"] for item in (await ask(door, send, path, **more)).json()]


async def buy(door: Door, item: str) -> None:
    body = {"userId": "ann", "eventList": [{"eventType": "Purchase", "itemId": item}]}
    answer = await door.http.post("/events", json=body, headers=KEY)
    assert answer.json()["accepted"] == 1


def turn(door: Door) -> None:
    """Have Personalize answer something else from now on."""
    door.personalize.unknown_items += 3


@pytest.fixture
async def door(open_door: OpenDoor) -> AsyncIterator[Door]:
    async with open_door(**SETTINGS) as opened:
        yield opened


async def test_all_parts_and_retries_of_a_message_show_the_same(door: Door) -> None:
    first = await shown(door)
    turn(door)
    door.clock.moved_seconds += 3_600
    spent = len(door.personalize.asked)
    assert [await shown(door) for _ in range(3)] == [first] * 3
    assert len(door.personalize.asked) == spent
    # Another send is another message, and a blank one is none.
    assert await shown(door, "s2") != first
    assert await shown(door, " ") != first
    door.clock.moved_seconds += 86_400
    assert await shown(door) != first


async def test_a_shorter_part_shows_the_head_and_a_longer_one_goes_on(door: Door) -> None:
    four = await shown(door, num_results=4)
    turn(door)
    door.clock.moved_seconds += 100
    ten = await shown(door, num_results=10)
    assert ten[:4] == four
    assert len(set(ten)) == 10
    turn(door)
    door.clock.moved_seconds += 100
    assert await shown(door, num_results=4) == four
    assert await shown(door, num_results=10) == ten
    assert (await ask(door, num_results=7, fields="stock")).json()[6]["id"] == ten[6]


async def test_what_may_no_longer_be_shown_is_left_out_and_nothing_takes_its_place(door: Door) -> None:
    first = await shown(door)
    await buy(door, first[2])
    await door.http.put(f"/items/{first[5]}/block", headers=ADMIN)
    spent = len(door.personalize.asked)
    left = [one for one in first if one not in (first[2], first[5])]
    answer = await ask(door)
    assert [item["id"] for item in answer.json()] == left
    assert answer.headers["X-Degraded-Reason"] == "short"
    await door.http.delete(f"/items/{first[5]}/block", headers=ADMIN)
    assert await shown(door) == [one for one in first if one != first[2]]
    assert len(door.personalize.asked) == spent


async def test_other_blocks_of_a_message_have_pins_of_their_own(door: Door) -> None:
    first = await shown(door, num_results=4)
    second = await shown(door, num_results=4, exclude=",".join(first))
    assert len(second) == 4
    assert set(first).isdisjoint(second)
    assert await shown(door, num_results=4) == first
    assert await shown(door, user_id="bob", num_results=4) != first


async def test_a_degraded_answer_is_the_message_too(door: Door) -> None:
    door.personalize.failure = RecommenderError()
    popular = await ask(door)
    assert popular.headers["X-Recommendation-Source"] == "popular"
    door.personalize.failure = None
    door.clock.moved_seconds += 3_600
    again = await ask(door)
    assert again.json() == popular.json()
    assert again.headers["X-Recommendation-Source"] == "popular"


async def test_parts_that_come_at_once_agree(door: Door) -> None:
    answers = await asyncio.gather(*(shown(door, num_results=4 + 3 * (n % 3)) for n in range(9)))
    assert {tuple(one[:4]) for one in answers} == {tuple(answers[0][:4])}


async def test_items_of_the_last_sends_go_to_the_end(door: Door) -> None:
    spent = []
    first = await shown(door, "s1", num_results=5, rotate=2)
    spent.append(len(door.personalize.asked))
    second = await shown(door, "s2", num_results=5, rotate=2)
    third = await shown(door, "s3", num_results=5, rotate=2)
    assert set(first).isdisjoint(second)
    assert set(third).isdisjoint({*first, *second})
    # The oldest may come again.
    assert await shown(door, "s4", num_results=5, rotate=2) == first
    # At the end, not gone.
    assert set(first) < set(await shown(door, "s5", num_results=60, rotate=2))
    spent.append(len(door.personalize.asked))
    assert spent == [1, 1]
    # Without a send nothing is pinned, and nothing counts as shown.
    unpinned = [await shown(door, "", num_results=5, rotate=1) for _ in range(2)]
    assert unpinned[0] == unpinned[1]
    assert await shown(door, "s2", num_results=5) == second


async def test_a_send_without_rotation_counts_as_shown(door: Door) -> None:
    first = await shown(door, "s1", num_results=5)
    assert set(first).isdisjoint(await shown(door, "s2", num_results=5, rotate=1))


async def test_rankings_and_similar_items_are_pinned_too(open_door: OpenDoor) -> None:
    arn = "arn:aws:personalize:us-east-1:000000000000:campaign"
    kinds = {
        "SIMILAR_ITEMS_CAMPAIGN_ARN": f"{arn}/similar",
        "SIMILAR_ITEMS_TPS": "100",
        "RANKING_CAMPAIGN_ARN": f"{arn}/ranking",
        "RANKING_TPS": "100",
    }
    async with open_door(**SETTINGS, **kinds) as door:
        asked: list[tuple[str, dict[str, object]]] = [
            ("/similar-items", {"item_id": "item003"}),
            ("/ranking", {"item_ids": "item001,item002,item003"}),
        ]
        first = [await shown(door, "s1", path, **query) for path, query in asked]
        turn(door)
        door.clock.moved_seconds += 3_600
        door.personalize.failure = RecommenderError()
        assert [await shown(door, "s1", path, **query) for path, query in asked] == first


@pytest.mark.parametrize(("name", "value"), [("rotate", "-1"), ("rotate", "11"), ("rotate", "x"), ("send", "s" * 257)])
async def test_a_wrong_value_names_its_field(door: Door, name: str, value: str) -> None:
    answer = await door.get("/recommendations", **{"user_id": "ann", name: value})
    assert (answer.status_code, answer.json()["field"]) == (422, name)


async def test_nobody_has_no_pin(door: Door) -> None:
    assert len(await shown(door, user_id="")) == 10
    await door.http.put("/items/item000/block", headers=ADMIN)
    assert len(await shown(door, user_id="")) == 10


async def test_an_embedded_replica_keeps_pins_over_a_restart(open_door: OpenDoor) -> None:
    async with open_door(**SETTINGS) as door:
        first = await shown(door, "s1", num_results=5)
    async with open_door(**SETTINGS) as door:
        turn(door)
        assert await shown(door, "s1", num_results=5) == first
        assert set(first).isdisjoint(await shown(door, "s2", num_results=5, rotate=1))
        spent = len(door.personalize.asked)
        assert (await door.http.delete("/users/ann", headers=ADMIN)).status_code == 200
        door.clock.moved_seconds += 10
        assert await shown(door, "s1", num_results=5) != first
        assert len(door.personalize.asked) == spent + 1


@pytest.fixture
def fleet(open_door: OpenDoor, redis_server: RedisServer) -> OpenFleet:
    return partial(three_doors, open_door, REDIS_URL=redis_server.url, **SETTINGS)


async def test_three_replicas_show_three_passes_and_a_retry_after_a_restart_the_same_less_what_was_bought(
    fleet: OpenFleet,
) -> None:
    async with fleet() as doors:
        passes = await asyncio.gather(*(shown(door) for door in doors for _ in range(3)))
        first = passes[0]
        assert len(first) == 10
        assert passes == [first] * 9
    async with fleet() as doors:
        for door in doors:
            turn(door)
            door.clock.skew_seconds += 3_600
        assert [await shown(door) for door in doors] == [first] * 3
        await buy(doors[0], first[4])
        left = [one for one in first if one != first[4]]

        async def gone() -> bool:
            return [await shown(door) for door in doors] == [left] * 3

        await until(gone)
        assert sum(len(door.personalize.asked) for door in doors) == 0

        async def forgotten() -> bool:
            return (await doors[1].http.delete("/users/ann", headers=ADMIN)).status_code == 200

        await until(forgotten)

        async def anew() -> bool:
            return [await shown(door, "s1", num_results=10) for door in doors].count(left) == 0

        await until(anew)


async def test_pins_made_without_redis_are_shared_when_it_is_back(fleet: OpenFleet, redis_server: RedisServer) -> None:
    async with fleet() as doors:
        redis_server.kill()
        first = await shown(doors[0])
        assert await shown(doors[0]) == first
        turn(doors[1])
        redis_server.start()

        for door in doors:
            await door.shows("redis_up 1.0")

        async def stored() -> bool:
            assert await shown(doors[0]) == first
            return any(b":send:" in key for key in redis_server.ask("KEYS", "*"))

        await until(stored)
        assert await shown(doors[1]) == first
