from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from service.catalog.item import CatalogRow
from service.constants import MAX_LISTS_WITH_VALUES
from tests.support.front_door import ITEMS, Door, OpenDoor
from tests.support.processes import CAMPAIGN_ARN
from tests.support.waiting import until

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
        # The very call whose answer is kept.
        assert (await ids(door, user_id="a"))[:9] == before[1:]
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


class Unpacked:
    """Counts how many items are unpacked to be tested, and looks at no more than there are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        values = CatalogRow.values

        def counted(row: CatalogRow, columns: Sequence[str]) -> dict[str, object]:
            self.count += 1
            return values(row, columns)

        monkeypatch.setattr(CatalogRow, "values", counted)

    def since(self) -> int:
        count, self.count = self.count, 0
        return count


@pytest.mark.parametrize("own", [False, True])
async def test_values_that_let_nothing_through_have_no_item_unpacked_twice(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, own: bool
) -> None:
    """I4"""
    unpacked = Unpacked(monkeypatch)
    settings = {"EXCLUSION_FILTER": "INCLUDE ItemID WHERE Items.CATEGORY IN ($KIND)"}
    if own:
        file = tmp_path / "placements.toml"
        file.write_text(
            f"""[placements.for-you]\ncampaign_arn = "{CAMPAIGN_ARN}"\ntps = 20\n"""
            """exclusion_filter = "EXCLUDE ItemID WHERE Items.PRICE > $MOST"\n"""
        )
        settings |= {"PLACEMENTS_FILE": str(file), "PERSONALIZE_CAMPAIGN_ARN": ""}
    async with open_door(**settings) as door:

        async def call(user: str, kind: str, most: str = "100") -> httpx.Response:
            values = {"filter_values.KIND": kind, "filter_values.MOST": most}
            answer = await door.get(PATH, user_id=user, num_results=50, format="object", **values)
            assert answer.status_code == 200
            return answer

        first = await call("a", "none")
        assert (first.json()["items"], first.json()["source"]) == ([], "empty")
        assert 0 < unpacked.since() <= ITEMS * (1 + own)
        for user, kind in [("a", "none"), ("a", "other"), ("b", "none"), ("c", "third")]:
            assert (await call(user, kind)).json()["items"] == []
        assert unpacked.since() == 0
        assert len((await call("a", "odd")).json()["items"]) == ITEMS // 2
        assert len((await call("a", "odd", "9.9")).json()["items"]) == (5 if own else ITEMS // 2)
        assert unpacked.since() == 0


async def test_what_values_hide_is_decided_anew_for_a_new_catalogue(open_door: OpenDoor, catalog_file: Path) -> None:
    """I4"""
    async with open_door(EXCLUSION_FILTER="INCLUDE ItemID WHERE Items.CATEGORY IN ($KIND)") as door:
        values = {"filter_values.KIND": "new"}
        for user in ("a", "b"):
            assert await ids(door, user_id=user, **values) == []
        catalog_file.write_text(catalog_file.read_text("utf-8").replace(",odd,", ",new,"), "utf-8")
        door.app.lifecycle.on_hangup()

        async def is_new() -> bool:
            return len(await ids(door, user_id="a", num_results=50, **values)) == ITEMS // 2

        await until(is_new)
        assert await ids(door, user_id="a", **{"filter_values.KIND": "odd"}) == []


async def test_an_item_that_values_hide_is_counted_as_excluded_each_time(open_door: OpenDoor) -> None:
    """I4"""
    async with open_door(EXCLUSION_FILTER="INCLUDE ItemID WHERE Items.CATEGORY IN ($KIND)") as door:
        for calls in (1, 2, 3):
            await door.get(PATH, user_id="a", **{"filter_values.KIND": "none"})
            line = f'recommendations_items_dropped_total{{reason="excluded"}} {ITEMS * calls:.1f}'
            assert line in (await door.get("/metrics")).text
