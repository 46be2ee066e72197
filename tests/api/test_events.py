"""`POST /events`: what a user did is kept safe, and changes that user's answers at once."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import pytest

from service.errors import ConfigurationError, RecommenderError
from tests.support.front_door import Door, OpenDoor, OpenFleet, three_doors
from tests.support.redis import RedisServer
from tests.support.waiting import until

KEY = {"X-API-Key": "events-key-of-24-characters"}
ADMIN_KEY = {"X-API-Key": "admin-key-of-24-characters-"}
SETTINGS = {
    "EVENT_KEYS": KEY["X-API-Key"],
    "EXCLUDE_AFTER": "Purchase:180d,View:0",
    "ADMIN_KEYS": ADMIN_KEY["X-API-Key"],
    "SIMILAR_ITEMS_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/similar",
    "SIMILAR_ITEMS_TPS": "100",
    "RANKING_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/ranking",
    "RANKING_TPS": "100",
    "EVENT_TYPES": "users.behaviors.Purchase=Purchase,ecommerce.order_placed=Purchase,ecommerce.product_viewed=View,"
    "ecommerce.cart_updated=Cart",
}


async def send(door: Door, *events: dict[str, Any], user: str = "ann") -> httpx.Response:
    return await door.http.post("/events", json={"userId": user, "eventList": list(events)}, headers=KEY)


async def buy(door: Door, item: str, user: str = "ann") -> None:
    answer = await send(door, {"eventType": "Purchase", "itemId": item}, user=user)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)


async def shown(door: Door, path: str = "/recommendations", **more: object) -> list[str]:
    answer = await door.get(path, **{"user_id": "ann", **more})
    assert answer.status_code == 200
    return [item["id"] for item in answer.json()]


@pytest.fixture
async def door(open_door: OpenDoor) -> AsyncIterator[Door]:
    async with open_door(**SETTINGS) as opened:
        yield opened


async def test_what_was_bought_is_in_no_answer_of_the_user_from_any_source(door: Door) -> None:
    before = await shown(door)
    bought = before[2]
    await shown(door)
    spent = len(door.personalize.asked)
    await buy(door, bought)
    for _ in range(3):
        after = await shown(door)
        assert bought not in after
        assert len(after) == len(before)
    assert len(door.personalize.asked) == spent
    assert bought in await shown(door, user_id="somebody else", num_results=60)
    # Live, stale and popular lists, similar items and rankings alike.
    assert bought not in await shown(door, "/similar-items", item_id=before[0], num_results=50)
    assert await shown(door, "/ranking", item_ids=f"{bought},{before[0]}") == [before[0]]
    door.personalize.failure = RecommenderError()
    door.clock.moved_seconds += 2_000
    assert bought not in await shown(door)
    door.clock.moved_seconds += 700_000
    assert bought not in await shown(door, num_results=50)


async def test_an_exclusion_ends_with_its_term_and_with_a_refund(door: Door) -> None:
    bought = (await shown(door))[0]
    await buy(door, bought)
    assert bought not in await shown(door)
    refund = {
        "event_type": "users.behaviors.CustomEvent",
        "id": "r1",
        "user": {"external_user_id": "ann"},
        "properties": {
            "name": "ecommerce.order_refunded",
            "custom_properties": {"products": [{"product_id": bought}]},
        },
    }
    answer = await door.http.post("/events/braze", json={"events": [refund]}, headers=KEY)
    assert answer.json()["accepted"] == 1
    assert bought in await shown(door)
    await buy(door, bought)
    door.clock.moved_seconds += 181 * 86_400
    assert bought in await shown(door)


async def test_all_variants_of_what_was_bought_are_hidden(open_door: OpenDoor) -> None:
    async with open_door(**SETTINGS, GROUP_COLUMN="category") as opened:
        bought = (await shown(opened))[0]
        await buy(opened, bought)
        category = int(bought[-3:]) % 2
        assert all(int(item[-3:]) % 2 != category for item in await shown(opened, num_results=20))


async def test_a_view_hides_nothing(door: Door) -> None:
    seen = (await shown(door))[0]
    await send(door, {"eventType": "View", "itemId": seen})
    assert (await shown(door))[0] == seen


async def test_events_are_counted_one_by_one(door: Door) -> None:
    answer = await send(
        door,
        {"eventType": "View", "itemId": "item001", "eventId": "e1"},
        {"eventType": "View", "itemId": "item001", "eventId": "e1"},
        {"eventType": "", "itemId": "item001"},
        {"eventType": "View", "sentAt": "yesterday"},
        {"eventType": "View", "itemId": "x" * 257},
        {"eventType": "View", "properties": [1]},
        {"eventType": "View", "sentAt": "9999-12-31T23:59:59Z"},  # was read as milliseconds, and as 1978
        {"eventType": "View", "impression": ["item001", "x" * 257]},  # Personalize would never take it
    )
    body = answer.json()
    assert (answer.status_code, body["accepted"], body["duplicate"], body["ignored"]) == (202, 1, 1, 0)
    assert [one["index"] for one in body["rejected"]] == [2, 3, 4, 5, 6, 7]
    assert "sentAt" in body["rejected"][1]["problem"]
    again = await send(door, {"eventType": "View", "itemId": "item001", "eventId": "e1"})
    assert again.json()["duplicate"] == 1


@pytest.mark.parametrize("depth", [300, 20_000])
async def test_properties_that_nobody_can_write_are_the_fault_of_their_event(door: Door, depth: int) -> None:
    """J8: JSON that can be read and not be written cost all events of its request, at every retry."""
    deep = '{"a":' * depth + "1" + "}" * depth
    events = [f'{{"eventType":"View","itemId":"item001","properties":{one}}}' for one in ("{}", deep)]
    answer = await door.http.post(
        "/events", content=f'{{"userId":"ann","eventList":[{",".join(events)}]}}', headers=KEY
    )
    if answer.status_code == 422:
        assert answer.json()["field"] == "body"
    else:
        assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
        assert [one["index"] for one in answer.json()["rejected"]] == [1]
        assert answer.json()["rejected"][0]["problem"].startswith("properties: ")


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"userId": "a"}', b'{"eventList": []}'])
async def test_a_body_that_is_none_is_wrong_as_a_whole(door: Door, body: bytes) -> None:
    answer = await door.http.post("/events", content=body, headers=KEY)
    assert (answer.status_code, answer.json()["field"]) == (422, "body")


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (b'{"eventType":"View","eventValue":NaN}', "eventValue: is not a number"),
        (b'{"eventType":"View","eventValue":1e999}', "eventValue: is not a number"),
        (b'{"eventType":"View","eventValue":' + b"9" * 5_000 + b"}", "eventValue: is not a number"),
        (b'{"eventType":"View","itemId":' + b"9" * 400 + b"}", "itemId: is not text"),
        (b'{"eventType":"View","sentAt":-Infinity}', "sentAt: is not a number"),
    ],
)
async def test_a_value_that_json_cannot_say_costs_its_event_only(door: Door, bad: bytes, problem: str) -> None:
    """B: one row decides over a whole file."""
    good = b'{"eventType":"View","itemId":"item001"}'
    body = b'{"userId":"ann","eventList":[' + bad + b"," + good + b"]}"
    answer = await door.http.post("/events", content=body, headers=KEY)
    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 1,
        "duplicate": 0,
        "ignored": 0,
        "rejected": [{"index": 0, "problem": problem}],
    }


async def test_a_text_that_was_cut_within_a_character_costs_nothing(door: Door) -> None:
    """B: JavaScript cuts texts wherever it is asked to."""
    event = rb'{"eventType":"Purchase","itemId":"item001","properties":{"a":"\ud83d","b":"\ude00"}}'
    cut = b'{"userId":"ann","eventList":[' + event + b"]}"
    answer = await door.http.post("/events", content=b"\xef\xbb\xbf" + cut, headers=KEY)
    assert answer.json()["accepted"] == 1
    assert "item001" not in await shown(door, num_results=60)


async def test_blanks_around_an_id_name_nobody_else(door: Door) -> None:
    """C2."""
    bought = (await shown(door))[0]
    spent = len(door.personalize.asked)
    await buy(door, f" {bought} ", user="ann\n")
    for user in ("ann", " ann", "ann\r\n", "ann\t"):
        assert bought not in await shown(door, user_id=user)
    assert len(door.personalize.asked) == spent
    assert (await door.http.delete("/users/%20ann%20", headers=ADMIN_KEY)).status_code == 200
    assert bought in await shown(door)


async def test_a_packed_body_is_refused_with_the_way_out_and_a_mark_before_utf_8_is_none(door: Door) -> None:
    for path, key in [("/events", KEY), ("/events/braze", KEY), ("/ranking", {}), ("/users/prewarm", ADMIN_KEY)]:
        headers = {**key, "Content-Encoding": "gzip", "Content-Type": "application/json"}
        packed = await door.http.post(path, content=gzip.compress(b"{}"), headers=headers)
        assert packed.status_code == 422
        assert packed.json()["message"] == "comes with a Content-Encoding; send it unpacked"
    marked = await door.http.post("/ranking", content=b'\xef\xbb\xbf{"user_id": "", "item_ids": ["item001"]}')
    assert [item["id"] for item in marked.json()] == ["item001"]


async def test_events_have_keys_of_their_own(open_door: OpenDoor) -> None:
    async with open_door(**SETTINGS, API_KEYS="reads-only-24-characters") as opened:
        body = {"userId": "a", "eventList": [{"eventType": "View"}]}
        for headers, status in (
            ({}, 401),
            ({"X-API-Key": "reads-only-24-characters"}, 401),
            ({"Authorization": f"Bearer {KEY['X-API-Key']}"}, 202),
        ):
            assert (await opened.http.post("/events", json=body, headers=headers)).status_code == status
        assert (await opened.http.get("/recommendations?user_id=a", headers=KEY)).status_code == 401


async def test_without_a_key_there_are_no_events(open_door: OpenDoor) -> None:
    async with open_door() as opened:
        assert (await opened.http.post("/events", json={}, headers=KEY)).status_code == 404


@pytest.mark.parametrize(
    ("given", "result"),
    [
        (
            {
                "event_type": "users.behaviors.Purchase",
                "id": "p1",
                "time": 1_700_000_000,
                "user": {"external_user_id": "ann", "device_id": "d"},
                "properties": {"product_id": "item002", "price": 9.5, "currency": "EUR"},
            },
            {"accepted": 1},
        ),
        (
            {
                "event_type": "users.behaviors.CustomEvent",
                "id": "o1",
                "user": {"external_user_id": "ann"},
                "properties": {
                    "name": "ecommerce.order_placed",
                    "custom_properties": {"products": [{"product_id": "item003"}, {"product_id": "item004"}]},
                },
            },
            {"accepted": 2},
        ),
        ({"event_type": "users.messages.email.Click", "id": "c", "user": {"external_user_id": "ann"}}, {"ignored": 1}),
        (
            {
                "event_type": "ecommerce.product_viewed",
                "id": "v",
                "is_suspected_bot_click": True,
                "user": {"external_user_id": "ann"},
                "properties": {"product_id": "item005"},
            },
            {"ignored": 1},
        ),
        (
            {"event_type": "users.behaviors.Purchase", "id": "n", "user": {}, "properties": {"product_id": "item006"}},
            {"rejected": 1},
        ),
    ],
)
async def test_what_braze_sends_is_read(door: Door, given: dict[str, Any], result: dict[str, int]) -> None:
    answer = await door.http.post("/events/braze", json={"events": [given]}, headers=KEY)
    body = answer.json()
    found = {**body, "rejected": len(body["rejected"])}
    assert (answer.status_code, {name: found[name] for name in result}) == (202, result)


async def test_a_cart_that_repeats_is_one_event_an_item(door: Door) -> None:
    for moment in (1, 2, 3):
        cart = {
            "event_type": "ecommerce.cart_updated",
            "id": f"cart-{moment}",
            "user": {"external_user_id": "ann"},
            "properties": {"cart_id": "c1", "products": [{"product_id": "item007"}, {"product_id": "item008"}]},
        }
        answer = await door.http.post("/events/braze", json={"events": [cart]}, headers=KEY)
        assert answer.json()["accepted"] == (2 if moment == 1 else 0)


@pytest.fixture
def fleet(open_door: OpenDoor, redis_server: RedisServer) -> OpenFleet:
    return partial(three_doors, open_door, REDIS_URL=redis_server.url, **SETTINGS)


@pytest.mark.processes
async def test_what_one_replica_hears_every_replica_knows(fleet: OpenFleet) -> None:
    async with fleet() as doors:
        before = [await shown(door) for door in doors]
        assert before[0] == before[1] == before[2]
        bought = before[0][1]
        spent = sum(len(door.personalize.asked) for door in doors)
        await buy(doors[0], bought)
        assert bought not in await shown(doors[0])

        async def gone(door: Door) -> bool:
            return bought not in await shown(door)

        for door in doors[1:]:
            await until(lambda door=door: gone(door))
        assert sum(len(door.personalize.asked) for door in doors) == spent


@pytest.mark.processes
async def test_a_forgotten_user_has_no_events_left(fleet: OpenFleet) -> None:
    async with fleet() as doors:
        bought = (await shown(doors[0]))[0]
        await buy(doors[0], bought)

        async def forgotten() -> bool:
            return (await doors[1].http.delete("/users/ann", headers=ADMIN_KEY)).status_code == 200

        await until(forgotten)
        assert bought in await shown(doors[2])


@pytest.mark.processes
async def test_a_redis_that_drops_accepted_events_without_a_word_is_refused(
    open_door: OpenDoor, redis_server: RedisServer
) -> None:
    async with open_door(REDIS_URL=redis_server.url, **SETTINGS) as opened:
        await buy(opened, "item001")
    redis_server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(ConfigurationError, match="REDIS_URL: Redis has maxmemory-policy allkeys-lru"):
        async with open_door(REDIS_URL=redis_server.url, **SETTINGS):
            pass
    redis_server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


@pytest.mark.processes
async def test_a_redis_that_comes_back_and_drops_events_gets_none(open_door: OpenDoor) -> None:
    with RedisServer() as server:
        async with open_door(REDIS_URL=server.url, **SETTINGS) as opened:
            await buy(opened, "item001")
            server.kill()
            await opened.shows("redis_up 0.0")
            server.start()
            server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
            await opened.shows("redis_up 1.0")
            refused = await send(opened, {"eventType": "View"})
            assert refused.status_code == 500
            assert refused.json()["error"] == "the_events_could_not_be_kept_send_them_again"


@pytest.mark.processes
async def test_a_redis_that_is_away_for_a_moment_costs_no_event(open_door: OpenDoor) -> None:
    with RedisServer() as server:
        async with open_door(REDIS_URL=server.url, **SETTINGS) as opened:
            await buy(opened, "item001")
            server.kill()
            await opened.shows("redis_up 0.0")
            sending = asyncio.create_task(send(opened, {"eventType": "View", "itemId": "item002"}))
            await opened.http.get("/livez")
            server.start()
            answer = await sending
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)


@pytest.mark.processes
@pytest.mark.parametrize("odd", [b"OK", b"abc", b"abc\x02" + bytes(15), b"\xff" * 40])
async def test_whatever_redis_holds_of_a_user_events_are_taken_and_known(
    open_door: OpenDoor, redis_server: RedisServer, odd: bytes
) -> None:
    """J8."""
    async with open_door(**SETTINGS, REDIS_URL=redis_server.url) as door:
        first, second = (await shown(door))[:2]
        await buy(door, first)
        [key] = await asyncio.to_thread(redis_server.ask, "KEYS", "pc:*:k:*")
    await asyncio.to_thread(redis_server.ask, "SET", key, odd)
    async with open_door(**SETTINGS, REDIS_URL=redis_server.url) as door:
        assert first in await shown(door)
        await buy(door, second)
        assert second not in await shown(door)
