"""Rules at answer time: pure functions, held by properties."""

import json
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answers import arrangement
from service.answers.arrangement import Arrangement, ArrangementTerms, Pin
from service.answers.selection import Rules, Selection, select
from service.catalog.item import CatalogRow
from service.filters import parse_filter
from tests.support.examples import examples
from tests.support.fakes import FakeCatalog

IDS = [f"i{n}" for n in range(30)]
KINDS = ("tea", "pan", "mug")


class Shop(FakeCatalog):
    """Items whose kind goes round, and whose price is their number."""

    def rows(self, item_ids: Sequence[str]) -> list[CatalogRow | None]:
        return [self._row(one) for one in item_ids]

    def _row(self, item_id: str) -> CatalogRow | None:
        if item_id not in IDS:
            return None
        number = IDS.index(item_id)
        item = {"id": item_id, "url": "u", "name": "n", "price": float(number), "image": "i"}
        return CatalogRow(
            json.dumps(item).encode(), json.dumps([KINDS[number % 3], None if number % 2 else ["even"]]).encode()
        )


SHOP = Shop(IDS, columns=("kind", "even"))

lists = st.lists(st.sampled_from([*IDS, "gone"]), unique=True, max_size=30)
pins = st.lists(
    st.builds(Pin, st.sampled_from([*IDS, "gone"]), st.integers(1, 12), st.sampled_from([0.0, float("inf")])),
    max_size=4,
    unique_by=(lambda pin: pin.slot, lambda pin: pin.item_id),
)
filters = st.sampled_from([None, "INCLUDE ItemID WHERE Items.PRICE < 10", 'INCLUDE ItemID WHERE Items.KIND IN ("mug")'])


def shown(ids: list[str], wanted: int, terms: ArrangementTerms, blocked: frozenset[str]) -> list[str]:
    """What an answer shows of a list, as `Assembly` does it, without topping up."""
    order = Arrangement(terms)
    rules = Rules(catalog=SHOP, exclude=frozenset(), blocked=blocked)
    selection = Selection()
    fixed = order.active_pins(rules, wanted, 1.0)
    has_room = order.caps(SHOP)
    fixed = [pin for pin in fixed if has_room is None or has_room(pin[1], pin[2])]
    selection.seen.update(item_id for _, item_id, _ in fixed)
    select(selection, order.ordered(ids, SHOP), rules, wanted - len(fixed), has_room)
    for slot, item_id, _ in fixed:
        selection.shown.insert(slot - 1, item_id)
    return selection.shown


@given(
    ids=lists,
    wanted=st.integers(1, 12),
    pinned=pins,
    per=st.one_of(st.none(), st.integers(1, 4)),
    boost=filters,
    bury=filters,
    blocked=st.frozensets(st.sampled_from(IDS), max_size=10),
)
def test_no_rule_shows_what_may_not_be_shown_or_one_item_twice(
    *,
    ids: list[str],
    wanted: int,
    pinned: list[Pin],
    per: int | None,
    boost: str | None,
    bury: str | None,
    blocked: frozenset[str],
) -> None:
    terms = ArrangementTerms(
        pins=tuple(pinned),
        max_per=None if per is None else {"kind": per},
        boost=parse_filter(boost) if boost else None,
        bury=parse_filter(bury) if bury else None,
    )
    found = shown(ids, wanted, terms, blocked)
    assert len(found) == len(set(found)) <= wanted
    assert not set(found) & (blocked | {"gone"})
    if per is not None:
        assert max(Counter(IDS.index(one) % 3 for one in found).values(), default=0) <= per
    else:
        # Never shorter than without the rule while items are left.
        plain = shown(ids, wanted, ArrangementTerms(), blocked)
        assert len(found) >= len(plain)


@given(ids=lists, boost=filters, bury=filters)
def test_boost_and_bury_keep_the_order_within_their_groups(ids: list[str], boost: str | None, bury: str | None) -> None:
    terms = ArrangementTerms(boost=parse_filter(boost) if boost else None, bury=parse_filter(bury) if bury else None)
    ordered = list(Arrangement(terms).ordered(ids, SHOP))
    assert sorted(ordered) == sorted(ids)

    def group(item_id: str) -> int:
        if item_id == "gone":
            return 1
        number = IDS.index(item_id)
        for expression, place in ((boost, 0), (bury, 2)):
            if expression and ((number < 10) if "PRICE" in expression else KINDS[number % 3] == "mug"):
                return place
        return 1

    assert ordered == sorted(ids, key=lambda one: (group(one), ids.index(one)))


@given(pinned=pins, wanted=st.integers(1, 12))
def test_a_pin_stands_at_its_slot_in_a_full_answer_and_ends_in_time(pinned: list[Pin], wanted: int) -> None:
    found = shown(IDS, wanted, ArrangementTerms(pins=tuple(pinned)), frozenset())
    for pin in pinned:
        if pin.item_id != "gone" and pin.until > 1.0 and pin.slot <= wanted:
            assert found[pin.slot - 1] == pin.item_id


@examples(20)
@given(ids=lists, wanted=st.integers(1, 12), bounds=st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_of_each_kind_the_first_are_shown_that_there_is_room_for(
    ids: list[str], wanted: int, bounds: tuple[int, int]
) -> None:
    expected: list[int] = []
    for number in [IDS.index(one) for one in ids if one in IDS]:
        of_kind = sum(other % 3 == number % 3 for other in expected)
        of_parity = sum(other % 2 == number % 2 for other in expected)
        has_room = of_kind < bounds[0] and (of_parity < bounds[1] or number % 2)
        if len(expected) < wanted and has_room:
            expected.append(number)
    terms = ArrangementTerms(max_per={"kind": bounds[0], "even": bounds[1]})
    assert shown(ids, wanted, terms, frozenset()) == [IDS[one] for one in expected]


class Renewed(Shop):
    """In its next version every item is of the next kind."""

    def _row(self, item_id: str) -> CatalogRow | None:
        return super()._row(IDS[(IDS.index(item_id) + self._version) % len(IDS)])


@pytest.mark.parametrize("most", [2, 200_000])
def test_the_order_follows_the_catalogue_however_much_of_it_is_remembered(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(arrangement, "MAX_TRAITS", most)
    mugs = parse_filter('INCLUDE ItemID WHERE Items.KIND IN ("mug")')
    shop, order = Renewed(IDS, columns=("kind", "even")), Arrangement(ArrangementTerms(max_per={"kind": 1}, boost=mugs))
    for _ in range(3):
        for _ in range(2):
            of_kind = [KINDS[(number + shop.version) % 3] for number in range(6)]
            ids = list(order.ordered(IDS[:6], shop))
            assert ids == sorted(IDS[:6], key=lambda one: (of_kind[IDS.index(one)] != "mug", IDS.index(one)))
            has_room = order.caps(shop)
            assert has_room is not None
            rows = [row for row in shop.rows(ids) if row is not None]
            found = [one for one, row in zip(ids, rows, strict=True) if has_room(one, row)]
            assert sorted(of_kind[IDS.index(one)] for one in found) == sorted(KINDS)
            assert len(order._traits._known) <= max(most, 6)
        shop.change()


@pytest.mark.parametrize("most", [4, 200_000])
def test_the_trait_of_an_item_follows_the_catalogue_too(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(arrangement, "MAX_TRAITS", most)
    mugs = parse_filter('INCLUDE ItemID WHERE Items.KIND IN ("mug")')
    shop, order = Renewed(IDS, columns=("kind", "even")), Arrangement(ArrangementTerms(max_per={"kind": 1}, bury=mugs))
    for _ in range(3):
        for item_id, row in zip(IDS[:6], shop.rows(IDS[:6]), strict=True):
            assert row is not None
            kind = KINDS[(IDS.index(item_id) + shop.version) % 3]
            assert order.trait_of(item_id, row, shop) == (2 if kind == "mug" else 1, (kind,))
            assert len(order._traits._known) <= most
        shop.change()


@pytest.mark.parametrize(("most", "kept"), [(11, IDS[6:12]), (12, IDS[:12])])
def test_what_is_remembered_of_items_makes_room_for_the_next_list_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, most: int, kept: list[str]
) -> None:
    monkeypatch.setattr(arrangement, "MAX_TRAITS", most)
    order = Arrangement(ArrangementTerms(boost=parse_filter("INCLUDE ItemID WHERE Items.PRICE < 10")))
    for listed in (IDS[:6], IDS[6:12]):
        order.ordered(listed, SHOP)
    assert [*order._traits._known] == kept
