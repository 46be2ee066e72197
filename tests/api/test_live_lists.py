"""`LISTS_LIVE_UNTIL_EVENT`: a list is fresh for as long as its user does nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import httpx
import pytest

from service.errors import ConfigurationError, RecommenderError
from service.sends.ports import PrewarmTerms
from service.settings import load_settings
from service.wiring.replica import Overrides
from service.wiring.tools import open_list_maker
from tests.support.front_door import Door, OpenDoor
from tests.support.redis import RedisServer
from tests.support.waiting import until

KEY = {"X-API-Key": "events-key-of-24-characters"}
ADMIN = {"X-API-Key": "admin-key-of-24-characters-"}
WEEK = 7 * 86_400
SETTINGS = {
    "EVENT_KEYS": KEY["X-API-Key"],
    "ADMIN_KEYS": ADMIN["X-API-Key"],
    "LISTS_LIVE_UNTIL_EVENT": "true",
    "CACHE_STALE_SECONDS": str(8 * 86_400),
}


async def do(door: Door, *users: str, event_type: str = "View") -> None:
    body = [{"userId": user, "eventList": [{"eventType": event_type, "itemId": "item001"}]} for user in users]
    for first in range(0, len(body), 100):
        answer = await door.http.post("/events", json=body[first : first + 100], headers=KEY)
        assert (answer.status_code, answer.json()["rejected"]) == (202, [])


async def source(door: Door, user: str = "ann") -> str:
    answer: httpx.Response = await door.get("/recommendations", user_id=user)
    assert answer.status_code == 200
    return answer.headers["X-Recommendation-Source"]


@pytest.fixture
async def live(open_door: OpenDoor) -> AsyncIterator[Door]:
    async with open_door(**SETTINGS) as door:
        yield door


async def test_a_list_is_fresh_while_its_user_does_nothing_and_not_beyond_the_stale_age(live: Door) -> None:
    assert [await source(live), await source(live)] == ["personalize", "cache"]
    for _ in range(7):
        live.clock.moved_seconds += 86_400
        assert await source(live) == "cache"
    assert len(live.personalize.asked) == 1
    live.clock.moved_seconds += 86_401
    assert await source(live) == "personalize"


async def test_an_event_makes_a_list_due_but_not_before_it_can_be_known(live: Door) -> None:
    await source(live)
    live.clock.moved_seconds += 800
    await do(live, "ann")
    # Personalize would not know of it yet. However slow this machine is, it is not later than this.
    live.clock.skew_seconds -= 500
    assert [await source(live), await source(live)] == ["cache", "cache"]
    live.clock.skew_seconds += 502
    assert [await source(live), await source(live)] == ["personalize", "cache"]
    assert await source(live, "bob") == "personalize"
    live.clock.moved_seconds += WEEK
    assert [await source(live), await source(live, "bob")] == ["cache", "cache"]
    assert len(live.personalize.asked) == 3


async def test_a_due_list_is_still_shown_when_no_new_one_can_be_had(live: Door) -> None:
    await source(live)
    await do(live, "ann")
    live.clock.moved_seconds += 3
    live.personalize.failure = RecommenderError()
    assert await source(live) == "stale"
    live.clock.moved_seconds += 10
    live.personalize.failure = None

    async def is_live() -> bool:
        # Or in memory, where a refresh in the background was first.
        return await source(live) in {"personalize", "cache"}

    await until(is_live)


async def test_a_refund_makes_no_list_due(open_door: OpenDoor) -> None:
    async with open_door(**SETTINGS, EVENT_TYPES="ecommerce.order_placed=Purchase") as door:
        await do(door, "ann", event_type="Purchase")
        door.clock.moved_seconds += 10
        await source(door)
        refund = {
            "event_type": "ecommerce.order_refunded",
            "id": "r",
            "user": {"external_user_id": "ann"},
            "properties": {"product_id": "item001"},
        }
        answer = await door.http.post("/events/braze", json=refund, headers=KEY)
        assert answer.json()["accepted"] == 1
        door.clock.moved_seconds += 10
        assert await source(door) == "cache"


async def test_lists_of_items_go_by_the_clock(open_door: OpenDoor) -> None:
    arn = "arn:aws:personalize:us-east-1:000000000000:campaign/similar"
    async with open_door(**SETTINGS, SIMILAR_ITEMS_CAMPAIGN_ARN=arn, SIMILAR_ITEMS_TPS="100") as door:
        await door.get("/similar-items", item_id="item001", user_id="ann")
        door.clock.moved_seconds += 1_000
        answer = await door.get("/similar-items", item_id="item001", user_id="ann")
        assert answer.headers["X-Recommendation-Source"] == "personalize"


async def test_an_old_list_is_renewed_after_an_event_though_nobody_asks(live: Door) -> None:
    await source(live)
    live.clock.moved_seconds += WEEK - 86_400
    await do(live, "ann", "never asked")

    async def renewed() -> bool:
        return len(live.personalize.asked) == 2

    async def kept() -> bool:
        return await source(live) == "cache"

    await until(renewed)
    await until(kept)
    assert [one.user_id for one in live.personalize.asked] == ["ann", "ann"]


async def test_a_weekly_send_costs_one_transaction_for_each_user_who_did_something(live: Door) -> None:
    users = [f"user{n}" for n in range(125)]
    for user in users:
        await source(live, user)
    spent = len(live.personalize.asked)
    live.clock.moved_seconds += WEEK - 3_600
    active = users[::12]
    await do(live, *active)
    live.clock.moved_seconds += 10
    sources = [await source(live, user) for user in users for _ in range(2)]
    assert sources.count("cache") + sources.count("personalize") + sources.count("stale") == 250
    # At 100,000 users of whom 8 % did something, 8,100.
    assert len(live.personalize.asked) - spent <= len(active) * 8_100 / 8_000


async def test_a_prewarm_leaves_live_lists_as_they_are(live: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    # A loop that stands still between a slot and its use would lose the slot, and leave the user.
    monkeypatch.setattr("service.budget.rate_window.MAX_LATE_SECONDS", 60.0)
    users = [f"user{n}" for n in range(20)]
    for user in users:
        await source(live, user)
    live.clock.moved_seconds += WEEK - 3_600
    # Dated back, and not waited for: only the prewarm looks.
    await do(live, *users[:3])
    live.clock.moved_seconds += 3
    wanted: dict[str, Any] = {"user_ids": [*users, "new"], "seconds": 4}
    report = (await live.http.post("/users/prewarm", json=wanted, headers=ADMIN)).json()
    assert (report["fetched"] + report["kept"], report["left"]) == (21, [])
    assert {one.user_id for one in live.personalize.asked[20:]} == {*users[:3], "new"}
    assert [await source(live, user) for user in users] == ["cache"] * 20


async def test_without_events_the_setting_is_named_as_of_no_use(open_door: OpenDoor) -> None:
    with pytest.raises(ConfigurationError, match="LISTS_LIVE_UNTIL_EVENT"):
        async with open_door(LISTS_LIVE_UNTIL_EVENT="true"):
            pass


async def test_an_event_on_one_replica_makes_the_list_due_on_all(
    open_door: OpenDoor, redis_server: RedisServer
) -> None:
    async with AsyncExitStack() as stack:
        doors = [await stack.enter_async_context(open_door(REDIS_URL=redis_server.url, **SETTINGS)) for _ in range(3)]
        assert [await source(door) for door in doors] == ["personalize", "cache", "cache"]
        for door in doors:
            door.clock.skew_seconds += WEEK
        assert [await source(door) for door in doors] == ["cache"] * 3
        await do(doors[0], "ann")
        for door in doors:
            await until(partial(_knows, door))
        for door in doors:
            door.clock.skew_seconds += 3

        async def all_have_the_new_one() -> bool:
            return await asyncio.gather(*(source(door) for door in doors)) == ["cache"] * 3

        await until(all_have_the_new_one)
        assert sum(len(door.personalize.asked) for door in doors) == 2


async def _knows(door: Door) -> bool:
    services = door.app.lifecycle.services
    assert services.events is not None
    known = services.events.services.known
    changed_at = known.changed_at(known.prefix("ann"))
    return changed_at is not None and changed_at > 0


async def test_a_prewarm_beside_the_replicas_leaves_live_lists_as_they_are(
    open_door: OpenDoor, redis_server: RedisServer
) -> None:
    users = [f"user{n}" for n in range(6)]
    async with open_door(REDIS_URL=redis_server.url, **SETTINGS) as door:
        for user in users:
            await source(door, user)
        door.clock.skew_seconds += WEEK - 3_600
        await do(door, *users[:2])
        door.clock.skew_seconds += 3
        overrides = Overrides(clock=door.clock, recommender=door.personalize)
        left, done = [*users, "new"], 0
        async with open_list_maker(load_settings(), overrides) as maker:
            while left:
                # On a busy machine Redis may seem to be away.
                report = await maker.make(left, PrewarmTerms(), seconds=60)
                assert report.failed == {}
                left, done = list(report.left), done + report.fetched + report.kept
        assert done == 7
        assert {one.user_id for one in door.personalize.asked[6:]} == {*users[:2], "new"}
