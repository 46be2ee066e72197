"""`GET /users/{user_id}/explain`: why a user gets what they get."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.errors import RecommenderError
from tests.support.front_door import Door, OpenDoor

KEY = {"X-API-Key": "events-key-of-24-characters"}
ADMIN = {"X-API-Key": "admin-key-of-24-characters-"}
ARN = "arn:aws:personalize:us-east-1:000000000000"
PLACEMENTS = f"""
[placements.for-you]
campaign_arn = "{ARN}:campaign/for-you"
tps = 500
max_per = {{ category = 4 }}
pin = [{{ item = "item050", slot = 2 }}]
boost = 'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("View")'
bury = 'INCLUDE ItemID WHERE Items.STOCK < 5'
variants = [{{ name = "v2", share = 0.5, exclusion_filter = 'EXCLUDE ItemID WHERE Items.STOCK > 40' }}]

[placements.because]
kind = "similar-items"
campaign_arn = "{ARN}:campaign/similar"
tps = 500
item_from = "Purchase"
fallback = ["for-you"]

[placements.ranked]
kind = "ranking"
campaign_arn = "{ARN}:campaign/ranked"
tps = 500
"""
SETTINGS = {"EVENT_KEYS": KEY["X-API-Key"], "ADMIN_KEYS": ADMIN["X-API-Key"], "EXCLUDE_AFTER": "Purchase:180d"}
USERS = [f"user{n}" for n in range(20)]
PATHS = {"for-you": "/recommendations", "because": "/similar-items", "ranked": "/ranking"}


async def explained(door: Door, user: str = "ann", **query: object) -> dict[str, Any]:
    answer = await door.http.get(
        f"/users/{user}/explain", params={name: str(value) for name, value in query.items()}, headers=ADMIN
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def left(found: dict[str, Any]) -> list[str]:
    """The items that are shown, in their order."""
    return [one["id"] for one in sorted(found["items"], key=lambda one: one["place"] or 0) if one["place"]]


async def do(door: Door, event_type: str, item: str, user: str = "ann") -> None:
    body = {"userId": user, "eventList": [{"eventType": event_type, "itemId": item}]}
    assert (await door.http.post("/events", json=body, headers=KEY)).status_code == 202


@pytest.fixture
async def placed(open_door: OpenDoor, tmp_path: Path) -> AsyncIterator[Door]:
    path = tmp_path / "placements.toml"
    path.write_text(PLACEMENTS, "utf-8")
    variables = {"PERSONALIZE_CAMPAIGN_ARN": "", "PERSONALIZE_TPS": "", "PLACEMENTS_FILE": str(path)}
    async with open_door(**SETTINGS, **variables) as door:
        yield door


async def test_every_item_of_the_list_has_the_rule_that_drops_or_moves_it(placed: Door) -> None:
    variants = {one: (await explained(placed, one))["variant"] for one in USERS}
    user = min(one for one in USERS if variants[one] == "control")
    listed = [item["id"] for item in (await placed.get("/recommendations", user_id=user, num_results=4)).json()]
    found = await explained(placed, user, num_results=4)
    assert left(found) == listed
    await do(placed, "Purchase", listed[0], user)
    await do(placed, "View", listed[2], user)
    await placed.http.put(f"/items/{listed[3]}/block", headers=ADMIN)
    found = await explained(placed, user, num_results=4, exclude="item033")
    by_id = {one["id"]: one for one in found["items"]}
    assert by_id[listed[0]]["dropped_by"] == "bought"
    assert by_id[listed[3]]["dropped_by"] == "blocked"
    assert by_id["item050"]["moved_by"] == "pin"
    assert (by_id[listed[2]]["moved_by"], by_id[listed[2]]["place"]) == ("boost", 1)
    assert {one["dropped_by"] for one in found["items"]} >= {None, "bought", "blocked", "num_results"}
    events = [(one["event_type"], one["item_id"], one["excludes"]) for one in found["events"]]
    assert sorted(events) == [("Purchase", listed[0], True), ("View", listed[2], False)]
    assert found["next_call"] == {
        "does": "show",
        "transactions": 0,
        "source": "cache",
        "reason": None,
        "recommendation_id": "RID-1",
    }
    [kept] = found["lists"]
    assert (kept["kept_in"], kept["source"], kept["fresh"], kept["recommendation_id"]) == (
        "memory",
        "personalize",
        True,
        "RID-1",
    )


async def test_it_says_what_the_next_call_would_do_and_spends_nothing(placed: Door) -> None:
    assert (await explained(placed))["next_call"]["does"] == "ask"
    assert (await explained(placed))["lists"] == []
    assert placed.personalize.asked == []
    await placed.get("/recommendations", user_id="ann")
    placed.clock.moved_seconds += 1_000
    stale = await explained(placed)
    assert (stale["next_call"]["does"], stale["next_call"]["source"]) == ("ask", "stale")
    [listed] = stale["lists"][:1]
    assert not listed["fresh"]
    assert 1_000 <= listed["age_seconds"] < 10_000
    nobody = await explained(placed, placement="because")
    assert (nobody["next_call"]["does"], nobody["next_call"]["reason"]) == ("substitute", "no_item")
    assert nobody["placement"] == "for-you"
    assert len(placed.personalize.asked) == 1
    placed.personalize.failure = RecommenderError()
    for user in range(40):
        await placed.get("/recommendations", user_id=f"u{user}")
    broken = await explained(placed, "new")
    assert (broken["next_call"]["does"], broken["next_call"]["reason"]) == ("substitute", "breaker")


@pytest.mark.parametrize("seed", range(6))
async def test_what_remains_is_the_answer_to_the_next_call(placed: Door, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(14):
        user = dice.choice(["ann", "bob", "eve"])
        item = f"item{dice.randrange(60):03}"
        match dice.randrange(6):
            case 0:
                await do(placed, dice.choice(["Purchase", "View"]), item, user)
            case 1:
                await placed.http.request(dice.choice(["PUT", "DELETE"]), f"/items/{item}/block", headers=ADMIN)
            case 2:
                placed.clock.moved_seconds += dice.choice([10, 1_000, 700_000])
            case 3:
                placed.personalize.failure = dice.choice([None, RecommenderError()])
        placement = dice.choice([*PATHS, "for-you"])
        query: dict[str, object] = {
            "placement": placement,
            "num_results": dice.choice([3, 8]),
            "exclude": f"item{dice.randrange(60):03}",
            "send": dice.choice(["", "s1", "s2"]),
            "rotate": dice.choice([0, 1, 2]),
        }
        if placement == "ranked":
            query["item_ids"] = ",".join(f"item{dice.randrange(60):03}" for _ in range(12))
        found = await explained(placed, user, **query)
        ranks = [one["rank"] for one in found["items"] if one["rank"] is not None]
        assert ranks == list(range(1, len(ranks) + 1))
        for one in found["items"]:
            assert (one["from"] == "list") == (one["rank"] is not None)
            assert (one["place"] is None) == (one["dropped_by"] is not None)
        spent = len(placed.personalize.asked)
        answer: httpx.Response = await placed.get(PATHS[placement], user_id=user, **query)
        if found["next_call"]["does"] == "ask":
            # It may get a list that nobody has seen yet.
            continue
        again = await explained(placed, user, **query)
        before, after = ([one["id"] for one in said["items"] if one["rank"]] for said in (found, again))
        if before != after:
            # A refresh in the background came between.
            continue
        assert left(found) == [item["id"] for item in answer.json()]
        assert found["next_call"]["source"] == answer.headers["X-Recommendation-Source"]
        assert found["next_call"]["reason"] == answer.headers.get("X-Degraded-Reason")
        assert found["placement"] == answer.headers["X-Recommendation-Placement"]
        assert len(placed.personalize.asked) == spent


async def test_it_needs_an_admin_key_and_names_what_is_wrong(placed: Door) -> None:
    assert (await placed.http.get("/users/ann/explain")).status_code == 401
    assert (await placed.http.get("/users/ann/explain", headers=KEY)).status_code == 401
    for query, field in (("placement=none", "placement"), ("num_results=0", "num_results"), ("rotate=x", "rotate")):
        answer = await placed.http.get(f"/users/ann/explain?{query}", headers=ADMIN)
        assert (answer.status_code, answer.json()["field"]) == (422, field)
    # The user in the path counts, and none that the query names.
    await do(placed, "View", "item001", "a/b")
    found = await placed.http.get("/users/a%2Fb/explain?user_id=ann&userID=ann", headers=ADMIN)
    assert [one["item_id"] for one in found.json()["events"]] == ["item001"]


async def test_a_user_whose_id_ends_like_the_path_can_be_forgotten(placed: Door) -> None:
    await do(placed, "View", "item001", "a/explain")
    wrong = await placed.http.delete("/users/a/explain", headers=ADMIN)
    assert wrong.status_code == 405
    assert (await placed.http.delete("/users/a%2Fexplain", headers=ADMIN)).json() == {"forgotten": True}
    assert (await placed.http.get("/users/a%2Fexplain/explain", headers=ADMIN)).json()["events"] == []
