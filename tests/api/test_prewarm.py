"""POST /users/prewarm: lists fetched before a send, in the budget of an embedded replica."""

import asyncio
from pathlib import Path

import pytest

from service.errors import RecommenderTimeout
from tests.support.front_door import Door, OpenDoor
from tests.support.waiting import until

KEY = {"X-API-Key": "an-admin-key-of-the-tests"}


@pytest.fixture(autouse=True)
def no_slot_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that stands still between a slot and its use loses the slot, and leaves the user."""
    monkeypatch.setattr("service.budget.rate_window.MAX_LATE_SECONDS", 60.0)


async def prewarm(door: Door, *users: str, **more: object) -> dict[str, object]:
    answer = await door.http.post("/users/prewarm", json={"user_ids": users, **more}, headers=KEY)
    assert answer.status_code == 200, answer.text
    body: dict[str, object] = answer.json()
    return body


async def test_a_prewarmed_user_costs_the_send_no_transaction(open_door: OpenDoor) -> None:
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests") as door:
        made = await prewarm(door, "u1", "u2", "u1")
        assert (made["fetched"], made["kept"], made["left"], made["failed"]) == (2, 0, [], {})
        assert (made["tps"], made["fresh_seconds"]) == (490.0, 900.0)
        assert sorted(request.user_id for request in door.personalize.asked) == ["u1", "u2"]
        answer = await door.get("/recommendations", user_id="u1")
        assert answer.headers["X-Recommendation-Source"] == "cache"
        again = await prewarm(door, "u1", "u2", "u3")
        assert (again["fetched"], again["kept"]) == (1, 2)
        assert len(door.personalize.asked) == 3


async def test_a_list_that_is_not_fresh_is_fetched_again_unless_that_age_is_good_enough(open_door: OpenDoor) -> None:
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests") as door:
        await prewarm(door, "u1")
        door.clock.moved_seconds += 1_000
        assert (await prewarm(door, "u1", max_age_seconds=1_100))["kept"] == 1
        assert (await prewarm(door, "u1"))["fetched"] == 1


async def test_without_time_it_only_looks_who_is_left(open_door: OpenDoor) -> None:
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests") as door:
        await prewarm(door, "u1")
        assert (await prewarm(door, "u1", "u2", seconds=0))["left"] == ["u2"]
        assert len(door.personalize.asked) == 1


async def test_it_answers_when_its_time_is_over_and_keeps_to_its_share(open_door: OpenDoor) -> None:
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests", PERSONALIZE_TPS="20") as door:
        made = await prewarm(door, *(f"u{n}" for n in range(100)), seconds=1, spare=0.5)
        assert isinstance(made["left"], list)
        assert made["fetched"] == len(door.personalize.asked) == 100 - len(made["left"])
        # Ten in a second, one at its begin, and one that a test machine's clock may forgive.
        assert 0 < len(door.personalize.asked) <= 12


async def test_a_failure_is_reported_and_shown_to_nobody(open_door: OpenDoor) -> None:
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests") as door:
        door.personalize.failure = RecommenderTimeout()
        assert (await prewarm(door, "u1"))["failed"] == {"u1": "timeout"}
        door.personalize.failure = None
        answer = await door.get("/recommendations", user_id="u1")
        assert answer.headers["X-Recommendation-Source"] == "personalize"


async def test_only_one_at_a_time(open_door: OpenDoor) -> None:
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests") as door:
        door.personalize.held = asyncio.Event()
        first = asyncio.create_task(prewarm(door, "u1", seconds=3))
        await until(lambda: bool(door.personalize.asked))
        assert (await prewarm(door, "u4", seconds=0))["left"] == ["u4"]
        second = await door.http.post("/users/prewarm", json={"user_ids": ["u4"]}, headers=KEY)
        assert second.status_code == 409
        door.personalize.held.set()
        await first
        assert "u4" not in {request.user_id for request in door.personalize.asked}


async def test_it_needs_an_admin_key(open_door: OpenDoor) -> None:
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests", API_KEYS="an-api-key-of-these-tests") as door:
        for headers in ({}, {"X-API-Key": "an-api-key-of-these-tests"}):
            answer = await door.http.post("/users/prewarm", json={"user_ids": ["u1"]}, headers=headers)
            assert answer.status_code == 401
        assert not door.personalize.asked


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_ids": [f"u{n}" for n in range(251)]},
        {"user_ids": ["x" * 257]},
        {"user_ids": [""]},
        {"user_ids": ["u", '{"external_id": "u", "email": "u@x.example"}']},
        {"user_ids": ["u"], "seconds": 5},
        {"user_ids": ["u"], "spare": 0},
        {"user_ids": ["u"], "spare": 1.1},
        {"user_ids": ["u"], "num_results": 101},
        {"user_ids": ["u"], "max_age_seconds": -1},
    ],
)
async def test_what_is_out_of_bounds_is_refused(open_door: OpenDoor, body: dict[str, object]) -> None:
    """H1: a line of JSON is no id, also where it comes over HTTP."""
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests") as door:
        answer = await door.http.post("/users/prewarm", json=body, headers=KEY)
        assert answer.status_code == 422
        assert answer.json()["error"] == "invalid_parameter"
        assert not door.personalize.asked


async def test_a_body_that_curl_sends_as_a_form_is_refused_with_the_way_out(open_door: OpenDoor) -> None:
    """A5: the reason was pydantic's, and named nothing that the caller could change."""
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests") as door:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await door.http.post("/users/prewarm", content=b'{"user_ids": ["u"]}', headers={**KEY, **form})
        assert answer.status_code == 422
        assert "Content-Type: application/json" in answer.json()["message"]


PLACEMENTS = {
    "ADMIN_KEYS": "an-admin-key-of-the-tests",
    "SIMILAR_ITEMS_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/similar",
    "SIMILAR_ITEMS_TPS": "100",
    "RANKING_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/ranking",
}


async def test_prewarmed_items_cost_a_send_no_transaction_for_any_caller(open_door: OpenDoor) -> None:
    async with open_door(**PLACEMENTS) as door:
        answer = await door.http.post("/users/prewarm", json={"item_ids": ["item001", "item002"]}, headers=KEY)
        assert (answer.status_code, answer.json()["fetched"]) == (200, 2)
        assert {(one.kind, one.user_id) for one in door.personalize.asked} == {("similar-items", "")}
        for user in ("ann", "bob"):
            shown = await door.get("/similar-items", item_id="item001", user_id=user)
            assert shown.headers["X-Recommendation-Source"] == "cache"
        assert len(door.personalize.asked) == 2


async def test_items_that_were_asked_for_are_known_the_latest_first(open_door: OpenDoor) -> None:
    async with open_door(**PLACEMENTS) as door:
        for item_id in ("item001", "item002", "item003", "item001"):
            await door.get("/similar-items", item_id=item_id)
            # Past the time for which a list is fresh, so that each call is noted.
            door.clock.moved_seconds += 1_000
        asked = await door.http.get("/items/asked", headers=KEY)
        assert asked.json() == {"items": ["item001", "item003", "item002"], "count": 3}
        door.clock.moved_seconds += 7 * 86_400 - 2_500
        assert (await door.http.get("/items/asked", headers=KEY)).json()["items"] == ["item001", "item003"]


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"user_ids": ["a"], "item_ids": ["b"]}, "user_ids", "exactly one of user_ids and item_ids"),
        ({"user_ids": ["a"], "placement": "similar"}, "placement", "keeps its lists per item: name items"),
        ({"item_ids": ["a"], "placement": "for-you"}, "placement", "keeps its lists per user: name users"),
        ({"user_ids": ["a"], "placement": "ranking"}, "placement", "is a ranking"),
        ({"item_ids": ["a"], "placement": "nowhere"}, "placement", "there are: for-you, similar, ranking"),
    ],
)
async def test_a_placement_without_such_lists_says_which_it_has(
    open_door: OpenDoor, body: dict[str, object], field: str, said: str
) -> None:
    async with open_door(**PLACEMENTS) as door:
        answer = await door.http.post("/users/prewarm", json=body, headers=KEY)
        assert (answer.status_code, answer.json()["field"]) == (422, field)
        assert said in answer.json()["message"]
        assert not door.personalize.asked


async def test_a_placement_that_needs_the_user_cannot_be_prewarmed_by_item(open_door: OpenDoor, tmp_path: Path) -> None:
    path = tmp_path / "placements.toml"
    arn = PLACEMENTS["SIMILAR_ITEMS_CAMPAIGN_ARN"]
    path.write_text(f'[placements.both]\nkind = "similar-items"\ncampaign_arn = "{arn}"\nneeds_user = true\n')
    settings = {"PLACEMENTS_FILE": str(path), "PERSONALIZE_CAMPAIGN_ARN": "", "ADMIN_KEYS": KEY["X-API-Key"]}
    async with open_door(**settings) as door:
        answer = await door.http.post("/users/prewarm", json={"item_ids": ["a"]}, headers=KEY)
        assert (answer.status_code, answer.json()["field"]) == (422, "placement")
        assert "both needs the user too (needs_user)" in answer.json()["message"]


async def test_an_item_of_a_placement_with_variants_is_prewarmed_for_each_arm(
    open_door: OpenDoor, tmp_path: Path
) -> None:
    path = tmp_path / "placements.toml"
    arn = PLACEMENTS["SIMILAR_ITEMS_CAMPAIGN_ARN"]
    variants = f'[{{ name = "v2", share = 0.5, campaign_arn = "{arn}2", tps = 100 }}]'
    path.write_text(
        f'[placements.s]\nkind = "similar-items"\ncampaign_arn = "{arn}"\ntps = 100\nvariants = {variants}\n'
    )
    settings = {"PLACEMENTS_FILE": str(path), "PERSONALIZE_CAMPAIGN_ARN": "", "ADMIN_KEYS": KEY["X-API-Key"]}
    async with open_door(**settings) as door:
        made = await door.http.post("/users/prewarm", json={"item_ids": ["item001"]}, headers=KEY)
        assert (made.json()["left"], made.json()["failed"], len(door.personalize.asked)) == ([], {}, 2)
        shown = [await door.get("/similar-items", item_id="item001", user_id=f"u{n}") for n in range(20)]
        assert {one.headers["X-Recommendation-Variant"] for one in shown} == {"control", "v2"}
        assert {one.headers["X-Recommendation-Source"] for one in shown} == {"cache"}
