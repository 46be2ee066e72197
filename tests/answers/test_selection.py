"""How far a selection looks before it gives up, and what it counts on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answers import selection as module
from service.answers.exclusions import BoundExclusion
from service.answers.popular import PopularItems, PopularLists
from service.answers.selection import MAX_LOOKED_UP, Rules, Selection, select
from service.catalog.current import CurrentCatalog
from service.constants import MAX_NUM_RESULTS, PIN_SECONDS
from service.lists import envelope as envelopes
from tests.support.clocks import StandingClock
from tests.support.examples import examples
from tests.support.fakes import FakeCatalog, WatchedCatalog

IDS = [f"item{number:03}" for number in range(400)]


def selected(catalog: FakeCatalog, wanted: int, ids: list[str] = IDS) -> Selection:
    found = Selection()
    select(found, ids, Rules(catalog=catalog, exclude=(), blocked=()), wanted)
    return found


@pytest.mark.parametrize(("most", "shown"), [(3, []), (4, []), (5, [IDS[4]])])
def test_no_further_look_up_begins_once_enough_was_looked_at(
    monkeypatch: pytest.MonkeyPatch, most: int, shown: list[str]
) -> None:
    monkeypatch.setattr(module, "MAX_EXAMINED", most)
    catalog = FakeCatalog(IDS)
    catalog.change(ineligible=set(IDS[:4]))
    # The first look-up is for one item, the second for three.
    assert selected(catalog, 1).shown == shown


def test_look_ups_grow_while_much_is_dropped() -> None:
    catalog = WatchedCatalog(IDS)
    found = selected(catalog, 2)
    select(found, IDS, Rules(catalog=catalog, exclude=(), blocked=()), 5)
    assert found.shown == IDS[:5]
    # Nothing is looked up beyond what is wanted.
    assert catalog.looked_up == [2, 3]
    catalog.looked_up.clear()
    catalog.change(ineligible=set(IDS[:300]))
    found = selected(catalog, 2)
    assert found.shown == IDS[300:302]
    assert catalog.looked_up[:5] == [2, 5, 11, 23, 47]
    assert max(catalog.looked_up) <= MAX_LOOKED_UP
    assert found.dropped == {"excluded": 300}
    assert found.examined == 302


def test_what_was_looked_up_beyond_what_is_wanted_is_free_for_the_next_list() -> None:
    catalog = FakeCatalog(IDS)
    catalog.change(ineligible={IDS[0]})
    found = selected(catalog, 1, IDS[:4])
    assert found.shown == [IDS[1]]
    assert found.examined == 2
    select(found, IDS[:4], Rules(catalog=catalog, exclude=(), blocked=()), 3)
    assert found.shown == IDS[1:4]


@pytest.mark.parametrize("rule", ["exclude", "blocked", "bought"])
def test_each_rule_has_a_word_of_its_own(rule: str) -> None:
    rules = {"exclude": (), "blocked": (), "bought": (), rule: {IDS[0]}}
    found = Selection()
    catalog = FakeCatalog(IDS)
    select(found, ["unknown", *IDS], Rules(catalog=catalog, **rules), 1)  # type: ignore[arg-type]  # sets of ids
    assert found.shown == [IDS[1]]
    assert found.dropped == {"unknown": 1, {"exclude": "requested"}.get(rule, rule): 1}
    assert found.reasons == {"unknown": "unknown", IDS[0]: {"exclude": "requested"}.get(rule, rule)}


def test_an_item_for_which_there_is_no_room_is_dropped_as_one_too_many_of_its_kind() -> None:
    found = Selection()
    rules = Rules(catalog=FakeCatalog(IDS), exclude=(), blocked=())
    select(found, IDS, rules, 2, lambda item_id, _: item_id.endswith("5"))
    assert found.shown == ["item005", "item015"]
    assert found.dropped == {"max_per": 14}


def test_the_popular_list_is_made_anew_by_time_and_by_catalogue() -> None:
    clock, catalog = StandingClock(), FakeCatalog(IDS)
    clock.now = 100.0
    items = PopularItems(("item003",), clock)
    lists = PopularLists(items, CurrentCatalog(catalog), clock)
    first = lists.envelope()
    assert first is not None
    others = [one for one in IDS if one != "item003"]
    assert list(envelopes.item_ids(first)) == ["item003", *others[: MAX_NUM_RESULTS - 1]]
    items.learn(["item009"])
    clock.now += PIN_SECONDS
    assert lists.envelope() is first
    clock.now += 0.5
    second = lists.envelope()
    assert second is not None
    assert list(envelopes.item_ids(second))[:2] == ["item003", "item009"]
    catalog.change(ineligible={"item003"})
    third = lists.envelope()
    assert third is not None
    assert next(envelopes.item_ids(third)) == "item009"


@examples(20)
@given(
    hidden=st.frozensets(st.sampled_from(IDS[:12])),
    known=st.frozensets(st.sampled_from(IDS[:12])),
    ids=st.lists(st.sampled_from([*IDS[:12], "unknown"]), max_size=16),
    wanted=st.integers(1, 5),
)
def test_an_exclusion_hides_what_it_is_to_whether_or_not_that_is_known_without_the_row(
    hidden: frozenset[str], known: frozenset[str], ids: list[str], wanted: int
) -> None:
    known &= hidden
    exclusion = BoundExclusion(lambda item_id, _: item_id not in hidden, known.__contains__)
    rules = Rules(catalog=FakeCatalog(IDS), exclude=(), blocked=(), exclusion=exclusion)
    for _ in range(2):
        found = Selection()
        select(found, ids, rules, wanted)
        shown = [one for one in dict.fromkeys(ids) if one not in hidden and one != "unknown"]
        assert found.shown == shown[:wanted]
        if len(shown) < wanted:
            assert found.examined == len(set(ids))
            excluded = len(hidden.intersection(ids))
            assert found.dropped.get("excluded", 0) == excluded
        assert exclusion.hidden <= known


def test_of_what_is_hidden_so_much_is_kept_for_the_next_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HIDDEN", 3)
    exclusion = BoundExclusion(lambda *_: False, lambda _: True)
    rules = Rules(catalog=FakeCatalog(IDS), exclude=(), blocked=(), exclusion=exclusion)
    for _ in range(2):
        found = Selection()
        select(found, IDS[:9], rules, 2)
        assert (found.dropped, found.examined, exclusion.hidden) == ({"excluded": 9}, 9, {*IDS[:3]})


@pytest.mark.parametrize("most", [5, 9, 10])
def test_of_what_is_hidden_no_more_is_counted_than_is_looked_at(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(module, "MAX_EXAMINED", most)
    exclusion = BoundExclusion(lambda item_id, _: item_id == IDS[9], {*IDS[:9]}.__contains__)
    rules = Rules(catalog=FakeCatalog(IDS), exclude=(), blocked=(), exclusion=exclusion)
    found = Selection()
    select(found, IDS[:10], rules, 1)
    assert (found.examined, found.shown) == (most, [IDS[9]] if most == 10 else [])


def test_what_is_known_to_be_hidden_counts_with_what_was_looked_up_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EXAMINED", 6)
    exclusion = BoundExclusion(lambda item_id, _: item_id == IDS[9], {*IDS[4:9]}.__contains__)
    found = Selection()
    select(found, IDS[:10], Rules(catalog=FakeCatalog(IDS), exclude=(), blocked=(), exclusion=exclusion), 1)
    assert (found.examined, found.shown) == (6, [])
