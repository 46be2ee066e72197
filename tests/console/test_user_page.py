"""The page User: what a user gets and why, at no cost to callers."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from service.console.words import DROPPED, FETCHED, REASONS, SOURCES
from service.telemetry import LABELS
from tests.support.console import Visitor
from tests.support.front_door import OpenDoor

EVENTS_KEY = "events-key-of-24-characters"
OPEN = {"CONSOLE_ACCESS": "open", "EVENT_KEYS": EVENTS_KEY, "EXCLUDE_AFTER": "Purchase:180d"}


async def look(visitor: Visitor, user: str = "ann", **more: object) -> dict[str, Any]:
    """Again where no slot was to be had: a busy machine may be late for all of them."""
    while True:
        answer = await visitor.post("user", user_id=user, **more)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        if found["fetched"] != FETCHED["no_spare_slot"]:
            return found


def shown(found: dict[str, Any]) -> list[str]:
    return [one["id"] for one in sorted(found["items"], key=lambda one: one["place"] or 0) if one["place"]]


async def test_it_shows_what_the_next_call_gets_and_each_user_something_else(open_door: OpenDoor) -> None:
    async with open_door(**OPEN) as door:
        visitor = Visitor(door)
        await visitor.read()
        assert 'value="for-you"' in (await visitor.read()).text
        lists = {}
        for user in ("ann", "bob"):
            found = await look(visitor, user)
            lists[user] = shown(found)
            got = await door.get("/recommendations", user_id=user, num_results=4)
            assert [item["id"] for item in got.json()] == lists[user]
            assert [found["items_by_id"][one] for one in lists[user]] == [
                {**item, "further": found["items_by_id"][item["id"]]["further"], "blocked": False, "excluded": False}
                for item in got.json()
            ]
            assert found["summary"] == "The next call gets 4 items from a fresh list."
        assert lists["ann"] != lists["bob"]
        # One for each user: the page's, which the call then had.
        assert len(door.personalize.asked) == 2


async def test_a_blocked_and_a_bought_item_are_dropped_by_the_rule_that_is_named(open_door: OpenDoor) -> None:
    async with open_door(**OPEN) as door:
        visitor = Visitor(door)
        await visitor.read()
        first, second, *_ = shown(await look(visitor))
        bought = {"userId": "ann", "eventList": [{"eventType": "Purchase", "itemId": second}]}
        headers = {"X-API-Key": EVENTS_KEY}
        assert (await door.http.post("/events", json=bought, headers=headers)).status_code == 202
        assert (await visitor.post("items/block", item_id=first)).json() == {"item_id": first, "blocked": True}
        found = await look(visitor)
        rules = {one["id"]: (one["dropped_by"], one["why"]) for one in found["items"]}
        assert rules[first] == ("blocked", DROPPED["blocked"])
        assert rules[second] == ("bought", DROPPED["bought"])
        assert [(one["event_type"], one["item_id"], one["excludes"]) for one in found["events"]] == [
            ("Purchase", second, True)
        ]
        assert first not in [item["id"] for item in (await door.get("/recommendations", user_id="ann")).json()]
        await visitor.post("items/unblock", item_id=first)
        assert shown(await look(visitor))[0] == first


async def test_a_fresh_list_is_fetched_when_asked_for_and_only_then(open_door: OpenDoor) -> None:
    async with open_door(**OPEN) as door:
        visitor = Visitor(door)
        await visitor.read()
        ids = {(await look(visitor))["next_call"]["recommendation_id"] for _ in range(3)}
        assert (len(door.personalize.asked), ids) == (1, {"RID-1"})
        renewed = await look(visitor, fetch=True)
        assert (len(door.personalize.asked), renewed["next_call"]["recommendation_id"]) == (2, "RID-2")
        got = await door.get("/recommendations", user_id="ann")
        assert (got.headers["X-Recommendation-Id"], got.headers["X-Recommendation-Source"]) == ("RID-2", "cache")


async def test_a_user_is_forgotten_and_named_in_no_log_line(open_door: OpenDoor) -> None:
    async with open_door(**OPEN, ACCESS_LOG_SAMPLE="1", LOG_LEVEL="info") as door:
        visitor = Visitor(door)
        await visitor.read()
        with capture_logs() as lines:
            await look(visitor, "a-user-nobody-may-read-of")
            await look(visitor, "a-user-nobody-may-read-of", fetch=True)
            forgotten = await visitor.post("user/forget", user_id="a-user-nobody-may-read-of")
        assert forgotten.json() == {"forgotten": True}
        assert "/console/api/user/forget" in {line.get("route") for line in lines}
        assert "nobody-may-read-of" not in str(lines)
        asked = len(door.personalize.asked)
        await door.get("/recommendations", user_id="a-user-nobody-may-read-of")
        assert len(door.personalize.asked) == asked + 1


async def test_no_user_gets_the_popular_list_and_every_kind_of_placement_is_shown(open_door: OpenDoor) -> None:
    arn = "arn:aws:personalize:us-east-1:000000000000:campaign"
    kinds = {"SIMILAR_ITEMS_CAMPAIGN_ARN": f"{arn}/similar", "SIMILAR_ITEMS_TPS": "100", "RANKING_TPS": "100"}
    async with open_door(**OPEN, **kinds, RANKING_CAMPAIGN_ARN=f"{arn}/ranking") as door:
        visitor = Visitor(door)
        await visitor.read()
        found = await look(visitor, "")
        assert (found["next_call"]["source"], len(door.personalize.asked)) == ("popular", 0)
        similar = await look(visitor, "ann", placement="similar", item_id="item001")
        assert (similar["next_call"]["source"], len(shown(similar))) == ("cache", 4)
        ranked = await look(visitor, "ann", placement="ranking", item_ids="item001,item002")
        assert shown(ranked) == ["item002", "item001"]
        assert [one.kind for one in door.personalize.asked] == ["similar-items", "ranking"]
        missing = await visitor.post("user", user_id="ann", placement="similar")
        assert (missing.status_code, missing.json()["field"]) == (422, "item_id")
        unknown = await visitor.post("user", user_id="ann", placement="<b>")
        assert (unknown.status_code, unknown.json()["field"]) == (422, "placement")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_id": "x" * 257},
        {"user_id": 1},
        {"user_id": "ann", "num_results": 0},
        {"user_id": "ann", "num_results": 101},
        {"user_id": "\ud800"},
    ],
)
async def test_what_is_out_of_bounds_is_refused(open_door: OpenDoor, body: dict[str, object]) -> None:
    async with open_door(**OPEN) as door:
        visitor = Visitor(door)
        await visitor.read()
        assert (await visitor.post("user", **body)).status_code == 422
        assert not door.personalize.asked


def test_every_word_of_an_explanation_has_a_sentence() -> None:
    assert set(LABELS["reason"]) | {"num_results"} == set(DROPPED)
    assert set(LABELS["source"]) == set(SOURCES)
    assert set(LABELS["degraded_reason"]) - {""} == set(REASONS)
