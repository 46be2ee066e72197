"""What a user bought is in none of the user's answers: on any replica, from any source, at no transaction."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from click.testing import CliRunner

from service.cli import main
from service.errors import RecommenderError
from tests.support.front_door import ITEMS, Door, OpenDoor
from tests.support.redis import RedisServer
from tests.support.relay import Relay, relay
from tests.support.waiting import until

KEY = {"X-API-Key": "events-key-of-24-characters"}
ARN = "arn:aws:personalize:us-east-1:000000000000:campaign"
SETTINGS = {
    "EVENT_KEYS": KEY["X-API-Key"],
    "EXCLUDE_AFTER": "Purchase:180d",
    "SIMILAR_ITEMS_CAMPAIGN_ARN": f"{ARN}/similar",
    "SIMILAR_ITEMS_TPS": "500",
    "RANKING_CAMPAIGN_ARN": f"{ARN}/ranking",
    "RANKING_TPS": "500",
}
RANKED: Final = [f"item{n:03}" for n in range(20, 32)]
WANTED: Final = 8


async def shown(door: Door, user: str, source: str, path: str = "/recommendations", **query: object) -> list[str]:
    """The items of an answer from this source, after a look that it is from there and full."""
    answer = await door.get(path, user_id=user, num_results=WANTED, **query)
    assert (answer.status_code, answer.headers["X-Recommendation-Source"]) == (200, source)
    ids = [item["id"] for item in answer.json()]
    assert len(set(ids)) == WANTED
    return ids


async def similar(door: Door) -> list[str]:
    return await shown(door, "cached", "cache", "/similar-items", item_id="item005")


async def ranked(door: Door) -> list[str]:
    return await shown(door, "cached", "cache", "/ranking", item_ids=",".join(RANKED))


async def buy(door: Door, user: str, *items: str) -> None:
    events = [{"eventType": "Purchase", "itemId": one} for one in items]
    answer = await door.http.post("/events", json={"userId": user, "eventList": events}, headers=KEY)
    assert (answer.status_code, answer.json()["accepted"]) == (202, len(items))


def load_batch(tmp_path: Path) -> list[str]:
    """A batch list for the user `batched`; its items."""
    items = [f"item{n:03}" for n in range(30, 50)]
    path = tmp_path / "users.json.out"
    path.write_text(json.dumps({"input": {"userId": "batched"}, "output": {"recommendedItems": items}}) + "\n")
    result = CliRunner().invoke(main, ["batch", "load", str(path)])
    assert result.exit_code == 0, result.output
    return items


def live_list(user: str) -> list[str]:
    first = sum(user.encode()) % ITEMS
    return [f"item{(first + n) % ITEMS:03}" for n in range(WANTED)]


def fail(doors: Sequence[Door], failure: RecommenderError | None) -> None:
    for door in doors:
        door.personalize.failure = failure


async def _is_gone(door: Door, item: str) -> bool:
    return item not in await shown(door, "cached", "cache")


async def see_it_go(doors: Sequence[Door], tmp_path: Path) -> None:
    """Have users buy at the first door what all their lists show; it is in no answer at any door, and each is full."""
    await doors[0].get("/recommendations", user_id="stale", num_results=WANTED)
    stale = await shown(doors[0], "stale", "cache")
    for door in doors:
        door.clock.skew_seconds += 1_000
    batched = load_batch(tmp_path)
    for path, query in (
        ("/recommendations", {}),
        ("/similar-items", {"item_id": "item005"}),
        ("/ranking", {"item_ids": ",".join(RANKED)}),
    ):
        await doors[0].get(path, user_id="cached", num_results=WANTED, **query)
    for door in doors:
        cached, alike, order = await shown(door, "cached", "cache"), await similar(door), await ranked(door)
    fail(doors, RecommenderError())
    popular = await shown(doors[0], "popular", "popular")
    fail(doors, None)
    spent = sum(len(door.personalize.asked) for door in doors)

    await buy(doors[0], "cached", *{cached[1], alike[1], order[1]})
    await buy(doors[0], "stale", stale[1])
    await buy(doors[0], "batched", batched[1])
    await buy(doors[0], "popular", popular[1])
    lives = [f"live{number}" for number in range(len(doors))]
    for user in lives:
        await buy(doors[0], user, live_list(user)[1])
    for door in doors:
        await until(partial(_is_gone, door, cached[1]))
        assert alike[1] not in await similar(door)
        assert order[1] not in await ranked(door)
    assert sum(len(door.personalize.asked) for door in doors) == spent

    for door, user in zip(doors, lives, strict=True):
        assert live_list(user)[1] not in await shown(door, user, "personalize")
    fail(doors, RecommenderError())
    for door in doors:
        assert stale[1] not in await shown(door, "stale", "stale")
        assert batched[1] not in await shown(door, "batched", "batch")
        assert popular[1] not in await shown(door, "popular", "popular")


async def test_embedded(open_door: OpenDoor, tmp_path: Path) -> None:
    async with open_door(**SETTINGS) as door:
        await see_it_go([door], tmp_path)


@asynccontextmanager
async def three(open_door: OpenDoor, urls: Sequence[str]) -> AsyncIterator[list[Door]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_door(REDIS_URL=url, **SETTINGS)) for url in urls]


async def test_on_three_replicas(open_door: OpenDoor, redis_server: RedisServer, tmp_path: Path) -> None:
    async with three(open_door, [redis_server.url] * 3) as doors:
        await see_it_go(doors, tmp_path)


async def test_on_a_replica_that_was_cut_off_as_soon_as_it_is_back(
    open_door: OpenDoor, redis_server: RedisServer
) -> None:
    async with relay(redis_server.port) as way, three(open_door, [redis_server.url] * 2 + [way.url]) as doors:
        cut_off = doors[2]
        await doors[0].get("/recommendations", user_id="cached", num_results=WANTED)
        # An answer may leave before its list is there; who asks then shares the first one's answer.
        await until(lambda: bool(redis_server.ask("KEYS", "pc:*:list")))
        for door in doors:
            cached = await shown(door, "cached", "cache")
        await _cut(way, cut_off)
        spent = sum(len(door.personalize.asked) for door in doors)
        await buy(doors[0], "cached", cached[1])
        # Somebody of whom the replica knows nothing yet is no different.
        await buy(doors[0], "new", live_list("new")[1])
        assert cached[1] in await shown(cut_off, "cached", "cache")
        way.mend()
        await until(partial(_is_gone, cut_off, cached[1]))
        assert sum(len(door.personalize.asked) for door in doors) == spent
        assert live_list("new")[1] not in await shown(cut_off, "new", "personalize")


async def _cut(way: Relay, door: Door) -> None:
    way.cut()
    await door.shows("redis_up 0.0")
