"""What a user did, in filters and rules, and as the item that others are similar to."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from service.errors import ConfigurationError
from tests.support.front_door import Door, OpenDoor
from tests.support.redis import RedisServer
from tests.support.waiting import until

KEY = {"X-API-Key": "events-key-of-24-characters"}
ARN = "arn:aws:personalize:us-east-1:000000000000"


async def do(door: Door, event_type: str, *items: str, user: str = "ann", at: float | None = None) -> None:
    moment = door.clock.time() if at is None else at
    events = [{"eventType": event_type, "itemId": one, "sentAt": moment + n / 1000} for n, one in enumerate(items)]
    answer = await door.http.post("/events", json={"userId": user, "eventList": events}, headers=KEY)
    assert (answer.status_code, answer.json()["accepted"]) == (202, len(items))


async def shown(door: Door, path: str = "/recommendations", **more: object) -> list[str]:
    answer = await door.get(path, **{"user_id": "ann", **more})
    assert answer.status_code == 200
    return [item["id"] for item in answer.json()]


@asynccontextmanager
async def placed(open_door: OpenDoor, tmp_path: Path, text: str, **settings: str) -> AsyncIterator[Door]:
    path = tmp_path / "placements.toml"
    path.write_text(text, "utf-8")
    variables = {"PERSONALIZE_CAMPAIGN_ARN": "", "PERSONALIZE_TPS": "", "EVENT_KEYS": KEY["X-API-Key"], **settings}
    async with open_door(PLACEMENTS_FILE=str(path), **variables) as door:
        yield door


BECAUSE = f"""
[placements.for-you]
campaign_arn = "{ARN}:campaign/for-you"
tps = 100

[placements.because-you-bought]
kind = "similar-items"
campaign_arn = "{ARN}:campaign/similar"
tps = 100
item_from = "Purchase"
fallback = ["for-you"]

[placements.similar]
kind = "similar-items"
campaign_arn = "{ARN}:campaign/similar"
tps = 100
"""


@pytest.mark.parametrize(
    ("filter_text", "is_shown"),
    [
        ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("purchase")', lambda done, n: n not in done["Purchase"]),
        ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', lambda done, n: n not in {*done["Purchase"], 4}),
        ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE NOT IN ("Purchase")', lambda _, n: n != 4),
        (
            (
                'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase")'
                ' | EXCLUDE ItemID WHERE Items.CATEGORY IN ("even")'
            ),
            lambda done, n: n not in done["Purchase"] and bool(n % 2),
        ),
        (
            "INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ($KIND) | EXCLUDE ItemID WHERE Items.STOCK > 50",
            lambda done, n: n in done["Purchase"] and n <= 50,
        ),
    ],
)
async def test_the_exclusion_asks_what_the_user_did_in_amazons_language(
    open_door: OpenDoor, filter_text: str, is_shown: Callable[[dict[str, set[int]], int], bool]
) -> None:
    done = {"Purchase": {2, 3, 57}}
    async with open_door(EXCLUSION_FILTER=filter_text, EVENT_KEYS=KEY["X-API-Key"]) as door:
        await do(door, "Purchase", *(f"item{n:03}" for n in sorted(done["Purchase"])))
        await do(door, "View", "item004")
        wanted = {f"item{n:03}" for n in range(60) if is_shown(done, n)}
        for _ in range(2):
            found = await shown(door, num_results=60, **{"filter_values.KIND": '"Purchase"'})
            assert set(found) == wanted
        # What somebody else did changes nothing.
        nobody = set(await shown(door, user_id="bob", num_results=60, **{"filter_values.KIND": '"Purchase"'}))
        assert ("item003" in nobody) is ("INCLUDE" not in filter_text)
        spent = len(door.personalize.asked)
        await do(door, "Purchase", "item010")
        after = set(await shown(door, num_results=60, **{"filter_values.KIND": '"Purchase"'}))
        done["Purchase"] |= {10}
        assert after == {f"item{n:03}" for n in range(60) if is_shown(done, n)}
        assert len(door.personalize.asked) == spent


async def test_the_latest_hundred_items_of_a_type_count(open_door: OpenDoor) -> None:
    text = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("View")'
    async with open_door(EXCLUSION_FILTER=text, EVENT_KEYS=KEY["X-API-Key"]) as door:
        await do(door, "View", "item000", *(f"other{n}" for n in range(99)))
        assert "item000" not in await shown(door, num_results=60)
        await do(door, "View", "other99", at=door.clock.time() + 1)
        assert "item000" in await shown(door, num_results=60)


async def test_interactions_without_events_stop_the_start_with_the_way_out(open_door: OpenDoor) -> None:
    with pytest.raises(ConfigurationError, match="EVENT_KEYS"):
        async with open_door(EXCLUSION_FILTER='EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'):
            pass


async def test_rules_of_a_placement_ask_what_the_user_did(open_door: OpenDoor, tmp_path: Path) -> None:
    text = f"""
[placements.for-you]
campaign_arn = "{ARN}:campaign/for-you"
tps = 100
exclusion_filter = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase")'
boost = 'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("View")'
bury = 'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Click")'
"""
    async with placed(open_door, tmp_path, text) as door:
        before = await shown(door, num_results=20)
        await do(door, "View", before[5])
        await do(door, "Click", before[1])
        await do(door, "Purchase", before[3])
        after = await shown(door, num_results=20)
        assert after[0] == before[5]
        assert before[3] not in after
        assert before[1] not in after
        assert before[1] in await shown(door, num_results=60)
        assert await shown(door, user_id="ann ", num_results=5) == after[:5]
        assert await shown(door, user_id="anna", num_results=5) != after[:5]


async def test_a_placement_finds_the_item_among_what_the_user_did(open_door: OpenDoor, tmp_path: Path) -> None:
    async with placed(open_door, tmp_path, BECAUSE) as door:
        await do(door, "Purchase", "item003", "item007")
        await do(door, "View", "item009")
        for _ in range(2):
            answer = (await door.get("/similar-items", user_id="ann", format="object")).json()
            assert answer["because"] == {"id": "item007", "name": 'Näme "7" <b>'}
            assert (answer["placement"], answer["degraded_reason"]) == ("because-you-bought", None)
            assert "item007" not in [item["id"] for item in answer["items"]]
        assert [one.item_id for one in door.personalize.asked] == ["item007"]
        # The item named counts, and is because of nothing.
        named = (await door.get("/similar-items", user_id="ann", item_id="item001", format="object")).json()
        assert named["because"] is None
        await do(door, "Purchase", "item011")
        answer = (await door.get("/similar-items", user_id="ann", format="object")).json()
        assert answer["because"]["id"] == "item011"


async def test_without_an_event_the_fallback_answers_and_is_because_of_nothing(
    open_door: OpenDoor, tmp_path: Path
) -> None:
    async with placed(open_door, tmp_path, BECAUSE) as door:
        await door.get("/recommendations", user_id="bob")
        answer = (await door.get("/similar-items", user_id="bob", format="object")).json()
        assert (answer["placement"], answer["because"], answer["count"]) == ("for-you", None, 10)
        assert answer["degraded_reason"] == "no_item"
        wrong = await door.get("/similar-items", user_id="bob", placement="similar")
        assert (wrong.status_code, wrong.json()["field"]) == (422, "item_id")


async def test_an_item_that_the_catalogue_lacks_is_no_reason_to_show(open_door: OpenDoor, tmp_path: Path) -> None:
    async with placed(open_door, tmp_path, BECAUSE) as door:
        await do(door, "Purchase", "gone")
        answer = (await door.get("/similar-items", user_id="ann", format="object")).json()
        assert (answer["because"], answer["count"]) == (None, 10)


async def test_an_event_on_one_replica_names_the_item_on_another(
    open_door: OpenDoor, tmp_path: Path, redis_server: RedisServer
) -> None:
    async with (
        placed(open_door, tmp_path, BECAUSE, REDIS_URL=redis_server.url) as one,
        placed(open_door, tmp_path, BECAUSE, REDIS_URL=redis_server.url) as two,
    ):
        await two.get("/similar-items", user_id="ann")
        await do(one, "Purchase", "item005")

        async def known() -> bool:
            answer = (await two.get("/similar-items", user_id="ann", format="object")).json()
            return bool(answer["because"]) and answer["because"]["id"] == "item005"

        await until(known)


async def test_a_placement_that_asks_for_events_without_any_is_named_at_the_start(
    open_door: OpenDoor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with placed(open_door, tmp_path, BECAUSE, EVENT_KEYS=""):
        pass
    lines = [line for line in capsys.readouterr().out.splitlines() if "placement_asks_for_events" in line]
    assert len(lines) == 1
    assert "because-you-bought" in lines[0]
