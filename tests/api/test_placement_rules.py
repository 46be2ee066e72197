"""The rules of placements through the front door: what they name, what they show, and how the answer calls itself."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.answers.arranged import ArrangedItems
from service.errors import ConfigurationError, RecommenderError
from tests.support.front_door import OpenDoor

ARN = "arn:aws:personalize:us-east-1:000000000000:campaign/a"
OTHER = "arn:aws:personalize:us-east-1:000000000000:campaign/b"
HOLDOUT = '{ name = "holdout", share = 1.0, popular = true }'
GOOD = f'[placements.a]\ncampaign_arn = "{ARN}"\ntps = 100\n'
RANKING = GOOD.replace("\n", '\nkind = "ranking"\n', 1)
SIMILAR = GOOD.replace("\n", '\nkind = "similar-items"\n', 1)

Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def with_file(open_door: OpenDoor, tmp_path: Path) -> Callable[[str], Any]:
    def opened(text: str) -> Any:  # noqa: ANN401  # a context manager
        path = tmp_path / "placements.toml"
        path.write_text(text)
        return open_door(PLACEMENTS_FILE=str(path), PERSONALIZE_CAMPAIGN_ARN="")

    return opened


def ids(answer: httpx.Response) -> list[str]:
    return [item["id"] for item in answer.json()]


def label(answer: httpx.Response) -> tuple[str, str | None]:
    return answer.headers["X-Recommendation-Source"], answer.headers.get("X-Degraded-Reason")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            "exclusion_filter = 'EXCLUDE ItemID WHERE Items.NOPE = \"x\"'",
            "a: exclusion_filter: line 1, column 22: there",
        ),
        ("boost = 'INCLUDE ItemID WHERE Items.NOPE = \"x\"'", "a: boost: line 1, column 22: there is no column for"),
        ("bury = 'INCLUDE ItemID WHERE Items.PRICE < $MOST'", "a: bury: $MOST gets no value here"),
        ("max_per = { nope = 1 }", "a: max_per.nope: the catalogue has no column 'nope'; there are: category, stock"),
        (
            'variants = [{ name = "v", share = 0.1, max_per = { nope = 1 } }]',
            "a: variant v: max_per.nope: the catalogue has no column 'nope'",
        ),
    ],
)
async def test_a_rule_over_what_the_catalogue_lacks_stops_the_start(
    with_file: Callable[[str], Any], rule: str, said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with with_file(GOOD + rule):
            pytest.fail("it started")
    [problem] = caught.value.problems
    assert problem.startswith(f"PLACEMENTS_FILE: placement {said}")


async def test_a_ranking_never_holds_an_item_that_was_not_given(with_file: Callable[[str], Any]) -> None:
    pins = 'pin = [{ item = "item059", slot = 1 }, { item = "item003", slot = 2 }]'
    async with with_file(f"{RANKING}{pins}") as door:
        answer = await door.get("/ranking", user_id="ann", item_ids="item001,item002,item003")
        assert ids(answer) == ["item002", "item003", "item001"]
        one = await door.get("/ranking", user_id="ann", item_ids="item001")
        assert (ids(one), label(one)) == (["item001"], ("personalize", None))


async def test_what_personalize_leaves_out_of_a_ranking_is_boosted_and_buried_too(
    with_file: Callable[[str], Any],
) -> None:
    rule = "boost = 'INCLUDE ItemID WHERE Items.CATEGORY IN (\"odd\")'"
    async with with_file(f"{RANKING}{rule}") as door:
        door.personalize.failure = RecommenderError()
        answer = await door.get("/ranking", user_id="ann", item_ids="item002,item001,item004,item003")
        assert ids(answer) == ["item001", "item003", "item002", "item004"]
        assert label(answer) == ("unranked", "error")


async def test_an_answer_that_pins_fill_is_from_the_list_behind_them(with_file: Callable[[str], Any]) -> None:
    async with with_file(GOOD + 'pin = [{ item = "item059", slot = 1 }]') as door:
        answers = [await door.get("/recommendations", user_id="ann", num_results=1) for _ in range(2)]
        assert [ids(one) for one in answers] == [["item059"], ["item059"]]
        assert [label(one) for one in answers] == [("personalize", None), ("cache", None)]


async def test_a_pin_of_the_past_and_one_that_ends_while_the_service_runs_show_nothing(
    with_file: Callable[[str], Any],
) -> None:
    pins = [
        '{ item = "item059", slot = 1, until = 2020-01-01T00:00:00Z }',
        '{ item = "item058", slot = 2, until = 2100-01-01T00:00:00+02:00 }',
    ]
    async with with_file(f"{GOOD}pin = [{', '.join(pins)}]") as door:
        for _ in range(2):
            shown = ids(await door.get("/recommendations", user_id="ann", num_results=3))
            assert (shown[1], "item059" in shown) == ("item058", False)
        # In 2101 the list is kept no more, nor the pin.
        door.clock.skew_seconds += 75 * 366 * 86_400
        assert "item058" not in ids(await door.get("/recommendations", user_id="ann", num_results=3))


async def test_a_variant_keeps_the_exclusion_that_it_does_not_replace(with_file: Callable[[str], Any]) -> None:
    exclusion = "exclusion_filter = 'EXCLUDE ItemID WHERE Items.CATEGORY IN (\"odd\")'"
    async with with_file(f"{GOOD}{exclusion}\nvariants = [{HOLDOUT}]") as door:
        answer = await door.get("/recommendations", user_id="ann", fields="category")
        assert label(answer) == ("popular", None)
        assert {item["category"] for item in answer.json()} == {"even"}


async def test_the_holdout_of_a_ranking_gets_the_order_given_and_lacks_nothing(with_file: Callable[[str], Any]) -> None:
    async with with_file(f"{RANKING}variants = [{HOLDOUT}]") as door:
        answer = await door.get("/ranking", user_id="ann", item_ids="item003,item001,item003")
        assert (ids(answer), label(answer)) == (["item003", "item001"], ("unranked", None))
        assert answer.headers["X-Recommendation-Variant"] == "holdout"
        assert not door.personalize.asked


async def test_a_call_without_a_user_is_in_no_variant(with_file: Callable[[str], Any]) -> None:
    async with with_file(f"{SIMILAR}variants = [{HOLDOUT}]") as door:
        without = await door.get("/similar-items", item_id="item001")
        named = await door.get("/similar-items", item_id="item001", user_id="ann")
        assert [one.headers["X-Recommendation-Variant"] for one in (without, named)] == ["control", "holdout"]


async def test_popular_items_of_the_same_category_stand_in_for_similar_ones(with_file: Callable[[str], Any]) -> None:
    async with with_file(f'{SIMILAR}category_column = "category"') as door:
        door.personalize.failure = RecommenderError()
        for item_id, category in (("item006", "even"), ("item007", "odd")):
            answer = await door.get("/similar-items", item_id=item_id, fields="category", num_results=25)
            assert label(answer) == ("popular", "error")
            assert {item["category"] for item in answer.json()} == {category}
            # Then all others, but never the item itself.
            more = await door.get("/similar-items", item_id=item_id, fields="category", num_results=59)
            assert [item["category"] for item in more.json()].count(category) == 29
            assert (len(more.json()), item_id in ids(more)) == (59, False)


async def test_ids_in_a_json_list_are_whole_and_wrong_types_are_named(with_file: Callable[[str], Any]) -> None:
    async with with_file(RANKING) as door:
        await door.http.post("/ranking", json={"user_id": "ann", "item_ids": ["a,b", "item001"], "unknown": True})
        assert door.personalize.asked[-1].item_ids == ("a,b", "item001")
        for name, value in (
            ("user_id", ["ann"]),
            ("user_id", {"a": "b"}),
            ("item_ids", {"a": "b"}),
            ("item_ids", [["a"]]),
            ("item_ids", [None]),
            ("item_ids", True),
            ("num_results", [3]),
            ("filter_values", "a"),
            ("context", ["a"]),
        ):
            wrong = await door.http.post("/ranking", json={"user_id": "ann", "item_ids": ["a"], name: value})
            assert (wrong.status_code, wrong.json()["field"]) == (422, name), value


async def test_what_rules_choose_of_a_list_is_chosen_when_it_comes_and_then_no_more(
    with_file: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[int] = []
    choose = ArrangedItems._choice

    def noted(items: ArrangedItems, found: Sequence[int], wanted: int, *others: Any, **more: Any) -> Any:  # noqa: ANN401  # as it is
        chosen.append(wanted)
        return choose(items, found, wanted, *others, **more)

    monkeypatch.setattr(ArrangedItems, "_choice", noted)
    async with with_file(f"{GOOD}max_per = {{ category = 8 }}") as door:
        users = ("ann", "bob", "bob", "ann", "ann")
        answers = [await door.get("/recommendations", user_id=user, num_results=5) for user in users]

    assert [label(one)[0] for one in answers] == ["personalize", "personalize", "cache", "cache", "cache"]
    assert answers[0].content == answers[3].content == answers[4].content
    assert chosen == [5, 5]
