"""What is refused is counted by what was wrong, and the log says so once a minute, without anything of the request."""

import json
from collections import Counter
from collections.abc import Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from service.api.refusals import LINE_SECONDS, Refusals
from tests.support.clocks import StandingClock
from tests.support.front_door import Door, OpenDoor

KEY = "a-key-of-twenty-four-letters-or-more"
ADMIN = "an-admin-key-of-twenty-four-letters"
SECRET = "zoe.q@example.com"
Kind = tuple[str | None, int, str | None]


async def counted(door: Door) -> Counter[Kind]:
    page = (await door.http.get("/metrics")).text
    [family] = [one for one in text_string_to_metric_families(page) if one.name == "http_refused"]
    return Counter(
        {
            (one.labels["route"] or None, int(one.labels["status"]), one.labels["parameter"] or None): int(one.value)
            for one in family.samples
            if one.value
        }
    )


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/recommendations", ("/recommendations", 422, "user_id")),
        ("GET", "/recommendations?user_id=a&num_results={}", ("/recommendations", 422, "num_results")),
        ("GET", "/recommendations?user_id=a&numResults={}", ("/recommendations", 422, "numResults")),
        ("GET", "/recommendations?user_id=a&fields={}", ("/recommendations", 422, "fields")),
        ("GET", "/recommendations?user_id=a&format={}", ("/recommendations", 422, "format")),
        ("GET", "/recommendations?user_id=a&placement={}", ("/recommendations", 422, "placement")),
        ("GET", "/recommendations?user_id=a&filter_values.{}=b", ("/recommendations", 422, "filter_values")),
        ("GET", "/recommendations?user_id=a&filter_values.KIND=%22{}", ("/recommendations", 422, "filter_values")),
        ("GET", "/recommendations?user_id=a&context.A%20{}=b", ("/recommendations", 422, "context")),
        ("GET", "/recommendations?user_id=" + "{0}" * 15, ("/recommendations", 422, "user_id")),
        ("GET", "/recommendations?user_id=%FF{}", ("/recommendations", 422, "user_id")),
        ("GET", "/similar-items?user_id={}", ("/similar-items", 422, "item_id")),
        ("GET", "/ranking?user_id={}", ("/ranking", 422, "item_ids")),
        ("POST", "/ranking", ("/ranking", 422, "body")),
        ("GET", "/recommendation?user_id={}", (None, 404, None)),
        ("GET", "/{}", (None, 404, None)),
        ("BREW", "/recommendations?user_id={}", ("/recommendations", 405, None)),
        ("PUT", "/items/%FF{}/block", ("/items/{item_id:id}/block", 422, "item_id")),
        ("POST", "/users/prewarm", ("/users/prewarm", 422, "user_ids")),
        ("POST", "/events", ("/events", 401, None)),
    ],
)  # fmt: skip
async def test_a_refusal_is_counted_and_logged_by_what_was_wrong_and_quotes_nothing(
    open_door: OpenDoor, method: str, path: str, kind: Kind
) -> None:
    """A5"""
    exclusion = "INCLUDE ItemID WHERE Items.CATEGORY IN ($KIND)"
    async with open_door(
        ADMIN_KEYS=ADMIN,
        EVENT_KEYS="events-key-of-twenty-four-letters",
        EXCLUSION_FILTER=exclusion,
        SIMILAR_ITEMS_CAMPAIGN_ARN="arn:aws:personalize:us-east-1:000000000000:campaign/similar",
        RANKING_CAMPAIGN_ARN="arn:aws:personalize:us-east-1:000000000000:campaign/ranking",
    ) as door:
        body = json.dumps({"user_ids": SECRET, SECRET: 1}) if "prewarm" in path else f'"{SECRET}"'
        headers = {"X-API-Key": ADMIN, "Content-Type": "application/json"}
        with capture_logs() as lines:
            answer = await door.http.request(
                method, path.format(SECRET * 2), headers=headers, content=body if method == "POST" else ""
            )

        assert answer.status_code == kind[1]
        assert await counted(door) == {kind: 1}
        [line] = [one for one in lines if one["event"] == "refused"]
        assert (line["route"], line["status"], line["parameter"], line["count"]) == (*kind, 1)
        assert line["reason"]
        assert SECRET not in str(lines)
        assert SECRET.partition("@")[0] not in str(line)


async def test_a_missing_and_an_unknown_key_are_distinguished_without_showing_the_key(open_door: OpenDoor) -> None:
    """A5"""
    async with open_door(API_KEYS=KEY, ALLOW_ANONYMOUS="false", METRICS_ACCESS="open") as door:
        for headers, reason in [({}, "no credential was sent"), ({"X-API-Key": SECRET}, "the credential is not known")]:
            door.clock.moved_seconds += LINE_SECONDS
            with capture_logs() as lines:
                await door.http.get("/recommendations?user_id=a", headers=headers)
            [line] = [one for one in lines if one["event"] == "refused"]
            assert (line["status"], line["reason"]) == (401, reason)
            assert SECRET not in str(line)
        assert await counted(door) == {("/recommendations", 401, None): 2}


async def test_a_whole_send_with_a_mistake_is_a_line_a_minute_that_says_how_many(open_door: OpenDoor) -> None:
    """A5"""
    async with open_door(ROOT_PATH="/personalize") as door:
        refusals = door.app.lifecycle.refusals

        async def call(count: int) -> list[int]:
            with capture_logs() as lines:
                for number in range(count):
                    await door.http.get(f"/personalize/recommendations?user_id=u{number}&num_results=0")
                refusals.say()
            return [one["count"] for one in lines if one["event"] == "refused"]

        assert await call(20) == [1]
        door.clock.moved_seconds += LINE_SECONDS - 1
        assert await call(5) == []
        door.clock.moved_seconds += 1
        assert await call(0) == [24]
        assert await call(3) == []
        with capture_logs() as lines:
            await door.http.get("/recommendations?user_id=a&fields=b")
        assert [one["parameter"] for one in lines if one["event"] == "refused"] == ["fields"]
        assert (await counted(door))["/recommendations", 422, "num_results"] == 28


async def test_what_was_not_said_yet_is_said_at_the_end(open_door: OpenDoor) -> None:
    """A5"""
    with capture_logs() as lines:
        async with open_door() as door:
            for _ in range(3):
                await door.http.get("/nope")
    assert [one["count"] for one in lines if one["event"] == "refused"] == [1, 2]


async def test_paths_and_names_that_clients_make_up_make_no_label(door: Door) -> None:
    """A5"""
    before = len((await door.http.get("/metrics")).text.splitlines())
    for number in range(50):
        await door.http.get(f"/made-up/{number}")
        await door.http.get(f"/recommendations?user_id=a&filter_values.é{number}=b")
        await door.http.request("BREW", f"/users/user{number}")

    lines = (await door.http.get("/metrics")).text.splitlines()
    # Of these only DELETE /users/{user_id} is not counted from the start.
    assert len(lines) - before <= 1
    assert not any("made-up" in line or "user1" in line for line in lines)


@pytest.mark.parametrize("access", ["METRICS_ACCESS", "DOCS_ACCESS"])
async def test_a_page_that_is_off_is_refused_by_its_route(open_door: OpenDoor, access: str) -> None:
    """A5"""
    async with open_door(**{access: "off"}) as door:
        with capture_logs() as lines:
            answer: httpx.Response = await door.http.get("/metrics" if access == "METRICS_ACCESS" else "/docs")
        assert answer.status_code == 404
        [line] = [one for one in lines if one["event"] == "refused"]
        assert line["route"] in {"/metrics", "/docs"}


def test_a_kind_has_a_line_at_once_and_then_one_a_minute_with_what_came_meanwhile() -> None:
    """A5"""
    clock = StandingClock(1_000.0)
    refusals = Refusals(clock.monotonic, "/shop")
    refusals.know(["/recommendations", "/users/{user_id:id}"])

    def said(refuse: Callable[[], None]) -> list[tuple[object, ...]]:
        with capture_logs() as logs:
            refuse()
        return [(one["route"], one["status"], one["parameter"], one["reason"], one["count"]) for one in logs]

    def refuse(reason: str, route: str = "/recommendations", parameter: str = "user_id") -> list[tuple[object, ...]]:
        return said(lambda: refusals.refuse(route, 422, parameter, reason))

    kind = ("/recommendations", 422, "user_id")
    assert refuse("one") == [(*kind, "one", 1)]
    assert refuse("two") == refuse("three") == said(refusals.say) == []
    assert refuse("other", parameter="filter_values.COLOR") == [("/recommendations", 422, "filter_values", "other", 1)]
    clock.now += 59.9
    assert said(refusals.say) == []
    clock.now += 0.1
    assert said(refusals.say) == [(*kind, "three", 2)]
    clock.now += 60.0
    assert said(refusals.say) == said(lambda: refusals.say(all_of_it=True)) == []
    assert refuse("four") == [(*kind, "four", 1)]
    assert refuse("five") == []
    assert said(lambda: refusals.say(all_of_it=True)) == [(*kind, "five", 1)]
    # Behind a prefix a path is the same one; what nobody knows has no label.
    assert refuse("six", route="/shop/recommendations") == []
    assert refuse("seven", route="/made/up", parameter="made_up") == [(None, 422, None, "seven", 1)]
    # One that no template can cause is counted from its first.
    assert refuse("eight", route="/users/{user_id:id}") == [("/users/{user_id:id}", 422, "user_id", "eight", 1)]
    [family] = refusals.collect()
    counts = {tuple(one.labels.values()): one.value for one in family.samples}
    assert {kind: count for kind, count in counts.items() if count} == {
        ("/recommendations", "422", "user_id"): 6,
        ("/recommendations", "422", "filter_values"): 1,
        ("", "422", ""): 1,
        ("/users/{user_id:id}", "422", "user_id"): 1,
    }
    # So that a rate sees the first of each.
    assert {("/ranking", "401", ""), ("", "431", ""), ("/similar-items", "422", "item_id")} <= counts.keys()


async def test_a_body_that_is_not_text_is_a_wrong_parameter(open_door: OpenDoor) -> None:
    """A5"""
    async with open_door(ADMIN_KEYS=ADMIN) as door:
        headers = {"X-API-Key": ADMIN, "Content-Type": "application/json"}
        answer = await door.http.post("/users/prewarm", content=b'{"user_ids": ["\xff"]}', headers=headers)
        assert (answer.status_code, answer.json()) == (
            422,
            {"error": "invalid_parameter", "message": "is not JSON", "field": "body"},
        )
        assert await counted(door) == {("/users/prewarm", 422, "body"): 1}
