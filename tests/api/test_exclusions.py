from pathlib import Path

import pytest

from service.constants import MAX_LISTS_WITH_VALUES
from tests.support.front_door import Door, OpenDoor

PATH = "/recommendations"
ADMIN = {"X-API-Key": "an-admin-key-of-the-tests"}


async def ids(door: Door, **parameters: object) -> list[str]:
    return [item["id"] for item in (await door.get(PATH, **parameters)).json()]


async def test_a_placeholder_of_the_exclusion_is_filled_by_the_request(open_door: OpenDoor) -> None:
    async with open_door(EXCLUSION_FILTER="EXCLUDE ItemID WHERE Items.PRICE > $MOST") as door:
        shown = (await door.get(PATH, user_id="a", num_results=50, **{"filter_values.MOST": 20})).json()
        assert len(shown) == 20
        assert max(item["price"] for item in shown) <= 20
        assert len(await ids(door, user_id="a", num_results=50)) == 50
        assert len(door.personalize.asked) == 1


async def test_a_row_with_a_list_in_the_place_of_a_number_fails_no_call(open_door: OpenDoor, tmp_path: Path) -> None:
    row = '{"id":"item%03d","url":"http://u","name":"n","price":1,"image":"http://i","size":%s}\n'
    (tmp_path / "items.jsonl").write_text(row % (37, "[7]") + row % (38, '{"a":7}') + row % (39, "7"))
    url = f"file://{tmp_path}/items.jsonl"
    async with open_door(CATALOG_URL=url, EXCLUSION_FILTER="EXCLUDE ItemID WHERE Items.SIZE > $MOST") as door:
        assert await ids(door, user_id="a", **{"filter_values.MOST": 5}) == ["item037", "item038"]
    async with open_door(CATALOG_URL=url, EXCLUSION_FILTER="EXCLUDE ItemID WHERE Items.SIZE > 5") as door:
        assert await ids(door, user_id="a") == ["item037", "item038"]


async def test_an_inclusion_that_lacks_its_value_names_it_and_costs_nothing(open_door: OpenDoor) -> None:
    async with open_door(EXCLUSION_FILTER="INCLUDE ItemID WHERE Items.CATEGORY IN ($KIND)") as door:
        answer = await door.get(PATH, user_id="a")
        assert answer.status_code == 422
        assert answer.json()["field"] == "filter_values.KIND"
        assert door.personalize.asked == []
        odd = (await door.get(PATH, user_id="a", fields="category", **{"filter_values.KIND": "odd"})).json()
        assert {item["category"] for item in odd} == {"odd"}


async def test_values_for_personalizes_filter_make_lists_of_their_own(open_door: OpenDoor) -> None:
    arn = "arn:aws:personalize:us-east-1:000000000000:filter/f"
    async with open_door(PERSONALIZE_FILTER_ARN=arn) as door:
        for value in ("x", "y", "x"):
            await door.get(PATH, user_id="a", **{"filter_values.GENRE": value})
        assert [dict(one.filter_values) for one in door.personalize.asked] == [{"GENRE": "x"}, {"GENRE": "y"}]


async def test_a_user_keeps_the_latest_lists_with_values_and_takes_nobody_elses_room(open_door: OpenDoor) -> None:
    arn = "arn:aws:personalize:us-east-1:000000000000:filter/f"
    async with open_door(PERSONALIZE_FILTER_ARN=arn) as door:

        async def source(user: str, **values: object) -> str:
            given = {f"filter_values.{name}": value for name, value in values.items()}
            return str((await door.get(PATH, user_id=user, **given)).headers["X-Recommendation-Source"])

        await source("a")
        await source("b", NOW="x")
        for number in range(MAX_LISTS_WITH_VALUES + 5):
            assert await source("a", NOW=number) == "personalize"
        assert f"cache_entries {MAX_LISTS_WITH_VALUES + 2:.1f}" in (await door.get("/metrics")).text
        assert await source("a") == "cache"
        assert await source("b", NOW="x") == "cache"
        assert await source("a", NOW=5) == "cache"
        assert await source("a", NOW=4) == "personalize"


async def test_a_blocked_item_leaves_cached_bodies_at_once_and_returns_when_unblocked(open_door: OpenDoor) -> None:
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests") as door:
        before = await ids(door, user_id="a")
        assert await ids(door, user_id="a") == before
        assert (await door.http.put(f"/items/{before[0]}/block", headers=ADMIN)).status_code == 200
        assert await ids(door, user_id="a", num_results=9) == before[1:]
        assert before[0] not in await ids(door, user_id="", num_results=50)
        assert (await door.http.get("/items/blocked", headers=ADMIN)).json() == {"items": [before[0]], "count": 1}
        await door.http.delete(f"/items/{before[0]}/block", headers=ADMIN)
        assert await ids(door, user_id="a") == before
        assert len(door.personalize.asked) == 1


async def test_an_item_that_is_in_no_catalogue_can_be_blocked(open_door: OpenDoor) -> None:
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests") as door:
        answer = await door.http.put("/items/a%2Fb%20%C3%BC/block", headers=ADMIN)
        assert answer.json() == {"item_id": "a/b ü", "blocked": True}


async def test_a_block_survives_a_restart(open_door: OpenDoor) -> None:
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests") as door:
        await door.http.put("/items/item037/block", headers=ADMIN)
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests") as door:
        assert "item037" not in await ids(door, user_id="a")


@pytest.mark.parametrize(
    "headers", [{}, {"X-API-Key": "an-api-key-of-these-tests"}, {"X-API-Key": "an-admin-key-of-the-test"}]
)
async def test_blocking_needs_an_admin_key(open_door: OpenDoor, headers: dict[str, str]) -> None:
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests", API_KEYS="an-api-key-of-these-tests") as door:
        assert (await door.http.put("/items/item037/block", headers=headers)).status_code == 401
        assert (await door.http.get("/items/blocked", headers=headers)).status_code == 401


async def test_a_block_that_cannot_be_kept_is_refused_and_not_active(open_door: OpenDoor, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests", DATA_DIR="taken") as door:
        answer = await door.http.put("/items/item037/block", headers=ADMIN)
        assert answer.status_code == 503
        assert answer.json()["error"] == "unavailable"
        assert "item037" in await ids(door, user_id="a")
