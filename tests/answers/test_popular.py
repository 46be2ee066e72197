"""What is recommended most: counted at every list, ordered now and then."""

import random
from itertools import islice

import pytest

from service.answers import popular
from service.answers.popular import COUNTED_RANKS, HALF_LIFE_LISTS, RECOUNT_SECONDS, PopularItems
from service.constants import PERSONALIZE_MAX_RESULTS
from tests.support.clocks import StandingClock
from tests.support.fakes import FakeCatalog, WatchedCatalog


def learned(items: PopularItems, count: int = PERSONALIZE_MAX_RESULTS) -> list[str]:
    return list(islice(items.ids(FakeCatalog([])), count))


def test_the_order_is_made_anew_by_time_and_not_by_lists() -> None:
    clock = StandingClock()
    items = PopularItems((), clock)
    items.learn(["a"])
    assert learned(items) == ["a"]
    for _ in range(1_000):
        items.learn(["b"])
    assert learned(items) == ["a"]
    clock.now += RECOUNT_SECONDS
    assert learned(items) == ["b", "a"]


@pytest.mark.parametrize(("new", "best"), [(49, "old"), (51, "new")])
def test_what_was_recommended_5000_lists_ago_counts_half(new: int, best: str) -> None:
    items = PopularItems((), StandingClock())
    for count, item_id in ((100, "old"), (5_000 - new // 2, "other"), (new, "new")):
        for number in range(count):
            items.learn([f"other{number}" if item_id == "other" else item_id])
    assert HALF_LIFE_LISTS == 5_000  # so is the docs' word
    assert learned(items, 1) == [best]


@pytest.mark.parametrize("lists", [1, 2, 10, 100])
def test_a_later_list_weighs_a_little_more_and_an_item_of_two_lists_twice_as_much(lists: int) -> None:
    items = PopularItems((), StandingClock())
    items.learn(["early"])
    for _ in range(lists):
        items.learn(["twice"])
    items.learn(["late"])
    assert learned(items) == (["late", "twice", "early"] if lists == 1 else ["twice", "late", "early"])


def test_only_the_first_ten_of_a_list_count_and_curated_items_lead_once_each() -> None:
    items = PopularItems(("x", "a", "x"), StandingClock())
    items.learn([str(number) for number in range(COUNTED_RANKS + 1)])
    assert learned(items)[:2] == ["x", "a"]
    assert set(learned(items)[2:]) == {str(number) for number in range(COUNTED_RANKS)}


def test_weights_are_made_small_before_floats_end_and_the_order_stays() -> None:
    clock = StandingClock()
    items = PopularItems((), clock)
    items.learn(["often"])
    items.learn(["often"])
    items.learn(["seldom"])
    # As after a million and more lists.
    items._weight = 9.9e99
    for item_id in items._weights:
        items._weights[item_id] *= 5e99
    for _ in range(200):
        items.learn(["new"])
    assert items._weight < 2
    clock.now += RECOUNT_SECONDS
    assert learned(items) == ["new", "often", "seldom"]
    assert items._weights["new"] == pytest.approx(200, rel=0.02)


def test_the_first_of_all_are_made_anew_only_when_the_order_or_the_catalogue_is() -> None:
    clock, catalog = StandingClock(), FakeCatalog([f"item{number}" for number in range(1_200)])
    items = PopularItems(("item7", "gone"), clock)
    items.learn(["item9"])
    first = items.first(catalog)
    assert first[:3] == ("item7", "gone", "item9")
    assert len(first) == len(set(first)) == popular._FIRST
    assert items.first(catalog) is first
    items.learn(["item5", "item6"])
    assert items.first(catalog) is first
    clock.now += RECOUNT_SECONDS
    assert items.first(catalog)[1:5] == ("gone", "item6", "item5", "item9")


@pytest.mark.parametrize("max_ids", [1_000, 20_000])
def test_the_order_is_that_of_all_counts(monkeypatch: pytest.MonkeyPatch, max_ids: int) -> None:
    """Few of the items are looked at, and those that are seldom shown are forgotten."""
    monkeypatch.setattr(popular, "_MAX_IDS", max_ids)
    monkeypatch.setattr(popular, "_KEPT_IDS", 700)
    rng, clock = random.Random(3), StandingClock()
    items, counts, weight = PopularItems((), clock), dict[str, float](), 1.0
    for number in range(3_000):
        ranked = [f"item{int(rng.paretovariate(0.7)) % 1_200 + number // 10}" for _ in range(12)]
        clock.now += RECOUNT_SECONDS * (number % 50 == 0)
        items.learn(ranked)
        for item_id in ranked[:COUNTED_RANKS]:
            counts[item_id] = counts.get(item_id, 0.0) + weight
        weight *= popular._GROWTH
        if number % 50 == 0:
            best = sorted(((one, item_id) for item_id, one in counts.items()), reverse=True)
            best = best[: PERSONALIZE_MAX_RESULTS if max_ids > 1_000 else 100]
            assert learned(items, len(best)) == [item_id for _, item_id in best]


def test_of_too_many_items_the_best_are_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(popular, "_MAX_IDS", 4)
    monkeypatch.setattr(popular, "_KEPT_IDS", 2)
    items = PopularItems((), StandingClock())
    for listed, counted in [("ab", "ab"), ("bcd", "abcd"), ("be", "be")]:
        items.learn(listed)
        assert sorted(items._weights) == list(counted)


def test_the_last_of_the_best_stays_until_another_has_overtaken_it() -> None:
    clock = StandingClock()
    items, ids = PopularItems((), clock), [f"item{number}" for number in range(PERSONALIZE_MAX_RESULTS)]
    for start in range(0, PERSONALIZE_MAX_RESULTS, COUNTED_RANKS):
        items.learn(ids[start : start + COUNTED_RANKS])
    assert sorted(learned(items)) == sorted(ids)
    items.learn(ids[-1:])
    clock.now += RECOUNT_SECONDS
    assert sorted(learned(items)) == sorted(ids)


def test_the_first_lists_count_at_once_though_popular_items_were_asked_for_before() -> None:
    items = PopularItems(("x",), StandingClock())
    assert learned(items) == ["x"]
    items.learn(["a"])
    assert learned(items) == ["x", "a"]


def test_twenty_thousand_items_are_counted_and_with_more_the_best_five_thousand_only() -> None:
    items = PopularItems((), StandingClock())
    items._weights.update((f"item{number}", float(number)) for number in range(20_000))
    items.learn(["item19999"])
    assert len(items._weights) == 20_000
    items.learn(["new"])
    assert sorted(items._weights, key=lambda one: int(one[4:])) == [f"item{number}" for number in range(15_000, 20_000)]


def test_what_may_be_shown_of_the_catalogue_is_looked_up_once_for_each_version() -> None:
    catalog = WatchedCatalog([f"item{number}" for number in range(1_100)])
    items = PopularItems((), StandingClock())
    for _ in range(2):
        catalog.change(ineligible=["item0"])
        for _ in range(3):
            assert next(items.ids(catalog)) == "item1"
        assert catalog.looked_up == [1_000, 100]
        catalog.looked_up.clear()
    catalog.change(remove=["item0"])
    assert next(items.ids(catalog)) == "item1"
    assert catalog.looked_up == [1_000]
