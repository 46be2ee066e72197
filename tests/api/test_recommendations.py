import asyncio
import base64
import json

import httpx
import pytest

from service.errors import RecommenderError, RecommenderThrottled, RecommenderTimeout
from tests.support.front_door import Door, OpenDoor
from tests.support.waiting import until

PATH = "/recommendations"


async def test_an_answer_is_a_list_of_complete_items_in_rank_order(door: Door) -> None:
    answer = await door.get(PATH, user_id="a")
    items = answer.json()
    assert answer.status_code == 200
    assert [item["id"] for item in items] == [f"item{(97 + n) % 60:03}" for n in range(10)]
    assert items[0] == {
        "id": "item037",
        "url": "https://shop.example.com/item037",
        "name": 'Näme "37" <b>',
        "price": 37.5,
        "image": "https://cdn.example.com/item037",
    }
    assert answer.headers["x-recommendation-source"] == "personalize"
    assert answer.headers["x-recommendation-id"] == "RID-1"
    assert answer.headers["age"] == "0"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    assert "total;dur=" in answer.headers["server-timing"]
    assert "x-degraded-reason" not in answer.headers


async def test_a_fresh_list_serves_every_shape_of_answer_without_another_transaction(door: Door) -> None:
    await door.get(PATH, user_id="a")
    for parameters in ({}, {"num_results": 3}, {"exclude": "item037"}, {"fields": "category"}, {"format": "object"}):
        answer = await door.get(PATH, user_id="a", **parameters)
        assert answer.headers["x-recommendation-source"] == "cache"
        assert answer.headers["x-recommendation-id"] == "RID-1"
    assert len(door.personalize.asked) == 1


async def test_a_hundred_items_come_from_a_list_fetched_for_ten(door: Door) -> None:
    await door.get(PATH, user_id="a")
    items = (await door.get(PATH, user_id="a", num_results=50)).json()
    assert len({item["id"] for item in items}) == 50
    assert len(door.personalize.asked) == 1


@pytest.mark.parametrize("name", ["user_id", "userID", "userId"])
async def test_every_spelling_of_the_user_parameter_names_the_same_user(door: Door, name: str) -> None:
    await door.get(PATH, user_id="a")
    assert (await door.get(PATH, **{name: "a"})).headers["x-recommendation-source"] == "cache"


@pytest.mark.parametrize(
    "written", ["a%20b", "a+b", "%C3%BC", "ü", "%F0%9F%98%80", "../x", "..%2Fx", "%00", "x" * 256, "%C3%BC" * 256]
)
async def test_user_ids_are_opaque(door: Door, written: str) -> None:
    answer = await door.http.get(f"{PATH}?user_id={written}")
    assert answer.status_code == 200
    assert len(answer.json()) == 10


@pytest.mark.parametrize("blank", ["", "%20", "+"])
async def test_a_blank_user_gets_the_non_personalised_list_without_a_transaction(door: Door, blank: str) -> None:
    answer = await door.http.get(f"{PATH}?user_id={blank}")
    assert answer.headers["x-recommendation-source"] == "popular"
    assert answer.headers["x-degraded-reason"] == "no_user"
    assert "x-recommendation-id" not in answer.headers
    assert len(answer.json()) == 10
    assert door.personalize.asked == []


async def test_curated_items_lead_the_non_personalised_list(open_door: OpenDoor) -> None:
    async with open_door(POPULAR_ITEMS="item050, item007,missing") as door:
        items = (await door.get(PATH, user_id="", num_results=3)).json()
    assert [item["id"] for item in items] == ["item050", "item007", "item000"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "user_id"),
        ("user_id=" + "x" * 257, "user_id"),
        ("user_id=a&num_results=0", "num_results"),
        ("user_id=a&num_results=101", "num_results"),
        ("user_id=a&numResults=ten", "numResults"),
        ("user_id=a&format=xml", "format"),
        ("user_id=a&fields=colour", "fields"),
        ("user_id=a&exclude=" + ",".join(map(str, range(501))), "exclude"),
        ("user_id=a&filter_values.=1", "filter_values."),
        ("user_id=%ff", "user_id"),
        ("user_id=u&%ff=1", "query"),
        ("user_id=u&filter_values.A=a&filter_values.B=%C3", "filter_values.B"),
    ],
)
async def test_a_wrong_parameter_is_named_with_its_bound(door: Door, query: str, field: str) -> None:
    answer = await door.http.get(f"{PATH}?{query}")
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert answer.json()["message"]
    assert door.personalize.asked == []


async def test_unknown_parameters_are_ignored(door: Door) -> None:
    assert (await door.get(PATH, user_id="a", utm_source="braze")).status_code == 200


async def test_the_object_format_says_where_the_list_is_from(door: Door) -> None:
    body = (await door.get(PATH, user_id="a", format="object", num_results=2)).json()
    assert [item["id"] for item in body.pop("items")] == ["item037", "item038"]
    assert body == {
        "count": 2,
        "source": "personalize",
        "degraded_reason": None,
        "recommendation_id": "RID-1",
        "placement": "for-you",
        "variant": None,
        "because": None,
        "topped_up": 0,
        "popular": False,
    }


async def test_a_template_can_tell_a_list_that_personalize_calls_popular_from_a_personal_one(door: Door) -> None:
    """G3: an unknown user was greeted with "For you"."""
    seen = []
    for user, popular in (("known", False), ("unknown", True)):
        door.personalize.popular = popular
        for source in ("personalize", "cache"):
            answer = (await door.get(PATH, user_id=user, format="object", num_results=2)).json()
            assert answer["source"] == source
            seen.append(answer["popular"])
    assert seen == [False, False, True, True]
    assert (await door.get(PATH, user_id="", format="object")).json()["popular"] is True


async def test_further_columns_come_with_their_types(door: Door) -> None:
    item = (await door.get(PATH, user_id="a", fields="stock,category,name", num_results=1)).json()[0]
    assert item["stock"] == 37
    assert item["category"] == "odd"
    assert list(item) == ["id", "url", "name", "price", "image", "stock", "category"]


async def test_excluded_items_are_refilled_from_the_same_list(door: Door) -> None:
    answer = await door.get(PATH, user_id="a", exclude="item037,item039", num_results=3)
    assert [item["id"] for item in answer.json()] == ["item038", "item040", "item041"]


async def test_a_list_is_short_only_when_nothing_is_left(door: Door) -> None:
    all_but_two = ",".join(f"item{n:03}" for n in range(58))
    items = (await door.get(PATH, user_id="a", exclude=all_but_two)).json()
    assert sorted(item["id"] for item in items) == ["item058", "item059"]


async def test_a_list_that_lost_everything_is_empty_and_says_so(door: Door) -> None:
    everything = ",".join(f"item{n:03}" for n in range(60))
    answer = await door.get(PATH, user_id="a", exclude=everything)
    assert (answer.status_code, answer.json()) == (200, [])
    assert answer.headers["x-recommendation-source"] == "empty"


async def test_simultaneous_calls_of_one_user_cost_one_transaction(door: Door) -> None:
    answers = await asyncio.gather(*(door.get(PATH, user_id="a") for _ in range(30)))
    assert len(door.personalize.asked) == 1
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(RecommenderError(), "error"), (RecommenderThrottled(), "throttled"), (RecommenderTimeout(), "timeout")],
)
async def test_a_failed_transaction_is_answered_with_popular_items(
    door: Door, failure: RecommenderError, reason: str
) -> None:
    door.personalize.failure = failure
    answer = await door.get(PATH, user_id="a")
    assert answer.status_code == 200
    assert answer.headers["x-recommendation-source"] == "popular"
    assert answer.headers["x-degraded-reason"] == reason
    assert len(answer.json()) == 10


async def test_a_degraded_answer_is_repeated_for_some_seconds_and_then_tried_again(door: Door) -> None:
    door.personalize.failure = RecommenderError()
    first = await door.get(PATH, user_id="a")
    door.personalize.failure = None
    again = await door.get(PATH, user_id="a")
    assert again.content == first.content
    assert again.headers["x-degraded-reason"] == "error"
    door.clock.moved_seconds += 6
    assert (await door.get(PATH, user_id="a")).headers["x-recommendation-source"] == "personalize"


async def test_a_list_past_its_freshness_is_served_when_no_transaction_succeeds(door: Door) -> None:
    first = await door.get(PATH, user_id="a")
    door.clock.moved_seconds += 1000
    door.personalize.failure = RecommenderError()
    answer = await door.get(PATH, user_id="a")
    assert answer.content == first.content
    assert answer.headers["x-recommendation-source"] == "stale"
    assert answer.headers["x-degraded-reason"] == "error"
    assert int(answer.headers["age"]) >= 1000


async def test_a_list_past_its_freshness_is_renewed_when_a_slot_is_free(door: Door) -> None:
    await door.get(PATH, user_id="a")
    door.clock.moved_seconds += 1000
    assert (await door.get(PATH, user_id="a")).headers["x-recommendation-source"] == "personalize"
    assert len(door.personalize.asked) == 2


async def test_after_the_clock_is_set_back_lists_from_the_future_are_renewed(door: Door) -> None:
    """J4."""
    sources = []
    for skew in (3600.0, 3600.0, 3600.0, 0.0, 0.0):
        door.clock.skew_seconds = skew
        door.clock.moved_seconds += 1
        sources.append((await door.get(PATH, user_id="u")).headers["X-Recommendation-Source"])
    assert sources == ["personalize", "cache", "cache", "personalize", "cache"]


async def test_an_answer_kept_as_bytes_ends_with_its_list(door: Door) -> None:
    """The same call again, after another call of the user has brought a newer list, on a clock that was set between."""
    kept = [(await door.get(PATH, user_id="u")).headers["X-Recommendation-Id"] for _ in range(3)]
    door.clock.skew_seconds = 3600.0

    async def there_is_a_newer_one() -> bool:
        # On a busy machine the first call may be too late for a slot, and have a refresh made.
        return (await door.get(PATH, user_id="u", num_results=5)).headers["X-Recommendation-Id"] != "RID-1"

    await until(there_is_a_newer_one)
    door.clock.skew_seconds = 0.0
    after = (await door.get(PATH, user_id="u")).headers["X-Recommendation-Id"]
    assert set(kept) == {"RID-1"}
    assert after != "RID-1"


async def test_the_hit_lane_and_the_route_say_the_same(door: Door) -> None:
    live = await door.get(PATH, user_id="a")
    rendered = await door.get(PATH, user_id="a")
    repeated = await door.get(PATH, user_id="a")
    assert live.content == rendered.content == repeated.content
    # One answer in a hundred is logged, and named for it.
    passing = {"x-recommendation-source", "server-timing", "x-request-id"}
    assert {k: v for k, v in live.headers.items() if k not in passing} == {
        k: v for k, v in repeated.headers.items() if k not in passing
    }


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", PATH, 405), ("GET", "/nope", 404), ("GET", PATH + "/", 404)]
)
async def test_other_paths_and_methods_have_json_errors(door: Door, method: str, path: str, status: int) -> None:
    answer = await door.http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]


async def test_an_unknown_path_names_the_right_ones(door: Door) -> None:
    message = (await door.http.get("/recommendation")).json()["message"]
    assert message == "there is no such path; templates call /recommendations, /similar-items, /ranking"


async def test_a_wrong_method_gets_a_list_of_all_right_ones(door: Door) -> None:
    assert (await door.http.get("/items/a/block")).headers["Allow"] == "DELETE, PUT"


async def test_the_probes_the_metrics_and_the_document_answer(door: Door) -> None:
    assert (await door.get("/livez")).status_code == 200
    assert (await door.get("/readyz")).json() == {"status": "ready"}
    await door.get(PATH, user_id="a")
    await door.get(PATH, user_id="a")
    metrics = (await door.get("/metrics")).text
    assert 'recommendations_requests_total{degraded_reason="",placement="for-you",source="personalize"} 1.0' in metrics
    assert 'recommendations_requests_total{degraded_reason="",placement="for-you",source="cache"} 1.0' in metrics
    assert 'personalize_transactions_total{outcome="ok",placement="for-you"} 1.0' in metrics
    for name in ("personalize_budget_tps", "catalog_items 60.0", "cache_entries 1.0", "cache_bytes", "redis_up 1.0"):
        assert name in metrics
    document = (await door.get("/openapi.json")).json()
    names = {one["name"] for one in document["paths"][PATH]["get"]["parameters"]}
    assert {"user_id", "num_results", "exclude", "fields", "format"} <= names


async def test_credentials_open_the_route_and_the_hit_lane_alike(open_door: OpenDoor) -> None:
    async with open_door(
        ALLOW_ANONYMOUS="false",
        API_KEYS="new-key-of-the-tests-0001,old-key-of-the-tests-0001",
        BASIC_AUTH="braze:secret",
    ) as door:
        basic = "Basic " + base64.b64encode(b"braze:secret").decode()
        good = [
            {"X-API-Key": "new-key-of-the-tests-0001"},
            {"X-API-Key": "old-key-of-the-tests-0001"},
            {"Authorization": "Bearer old-key-of-the-tests-0001"},
            {"Authorization": basic},
        ]
        bad = [{}, {"X-API-Key": "ne"}, {"X-API-Key": ""}, {"Authorization": "Bearer x"}, {"Authorization": "Basic !"}]
        for headers in bad + good + good + bad:
            answer = await door.http.get(PATH, params={"user_id": "a"}, headers=headers)
            assert answer.status_code == (200 if headers in good else 401), headers
        assert (await door.http.get("/livez")).status_code == 200
        assert (await door.http.get("/metrics")).status_code == 401


async def test_items_are_valid_json_whatever_their_names(door: Door) -> None:
    body = (await door.get(PATH, user_id="a", num_results=50)).content
    assert json.loads(body)
    assert "Näme" in body.decode()


async def test_a_list_that_came_too_late_is_not_shown_while_what_others_saw_is_repeated(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts of a message agree: the first one ran out of time, and the list has come since."""
    # Longer than any machine needs for what follows.
    monkeypatch.setattr("service.wiring.campaign.PIN_SECONDS", 600.0)
    late: list[httpx.Response] = []
    async with open_door(REQUEST_DEADLINE_SECONDS="0.3") as door:

        async def ran_out_of_time() -> bool:
            """A busy machine may be too late for a slot."""
            late.append(await door.get(PATH, user_id=f"u{len(late)}"))
            was_asked = door.personalize.asked and door.personalize.asked[-1].user_id == f"u{len(late) - 1}"
            return bool(was_asked) and late[-1].headers["X-Degraded-Reason"] == "timeout"

        door.personalize.held = asyncio.Event()
        await until(ran_out_of_time)
        user = f"u{len(late) - 1}"
        door.personalize.held.set()
        await door.shows("flights_open 0.0")
        for _ in range(3):
            again = await door.get(PATH, user_id=user)
            assert (again.headers["X-Degraded-Reason"], again.content) == ("timeout", late[-1].content)
        door.clock.moved_seconds += 601
        assert (await door.get(PATH, user_id=user)).headers["X-Recommendation-Source"] == "cache"
