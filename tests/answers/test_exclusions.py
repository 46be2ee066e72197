"""An exclusion that depends on the request says of each item what its filter says of the item's row."""

from collections.abc import Sequence

import pytest

from service.answers import exclusions as module
from service.answers.exclusions import RequestExclusion, all_of
from service.catalog.item import CatalogRow
from service.errors import InvalidQuery
from service.filters import parse_filter
from tests.support.fakes import FakeCatalog

IDS = [f"i{number}" for number in range(12)]
KINDS: tuple[object, ...] = ("tea", "pan", None, 1, 1.0, True)


class Shop(FakeCatalog):
    """Items whose kind goes round; in the next version each is of the next one."""

    def __init__(self) -> None:
        super().__init__(IDS, columns=("kind",))
        self.renew()

    def renew(self) -> None:
        self._version += 1
        for number, one in enumerate(IDS):
            item = {"id": one, "url": "u", "name": "n", "price": float(number), "image": "i"}
            self._rows[one] = CatalogRow.from_values(item, [KINDS[(number + self._version) % len(KINDS)]])

    def of_kind(self, *kinds: object) -> list[str]:
        found = [(one, KINDS[(number + self._version) % len(KINDS)]) for number, one in enumerate(IDS)]
        return [one for one, kind in found if any(kind is other for other in kinds)]


def left(exclusion: RequestExclusion, shop: Shop, kind: str, did: Sequence[tuple[str, str]] = ()) -> list[str]:
    bound = exclusion.bind(shop, [("KIND", kind), ("OTHER", "x")], did)
    rows = shop.rows(IDS)
    shown = [one for one, row in zip(IDS, rows, strict=True) if row is not None and bound.shows(one, row)]
    # What was decided is known from then on, as far as it is remembered.
    assert not any(bound.hides(one) for one in shown)
    if not shop.is_open and len(IDS) < module.MAX_SORTED:
        assert [one for one in IDS if not bound.hides(one)] == shown
    return shown


@pytest.mark.parametrize("most", [0, 3, 20_000])
@pytest.mark.parametrize("is_open", [False, True])
def test_each_request_has_hidden_what_its_values_hide_however_much_is_remembered(
    monkeypatch: pytest.MonkeyPatch, most: int, *, is_open: bool
) -> None:
    monkeypatch.setattr(module, "MAX_SORTED", most)
    exclusion, shop = RequestExclusion(parse_filter("EXCLUDE ItemID WHERE Items.KIND IN ($KIND)")), Shop()
    shop.is_open = is_open
    assert (exclusion.same_for_all, exclusion.uses_interactions) == (False, False)
    for _ in range(2):
        for kind in ("tea", "pan", "tea", "gone"):
            hidden = shop.of_kind(kind)
            assert left(exclusion, shop, kind) == [one for one in IDS if one not in hidden]
        assert len(exclusion._combinations._number_of_item) == (0 if is_open else min(most, len(IDS)))
        shop.renew()


def test_the_same_values_are_decided_once_and_others_do_not_matter() -> None:
    exclusion, shop = RequestExclusion(parse_filter("EXCLUDE ItemID WHERE Items.KIND IN ($KIND)")), Shop()
    bound = exclusion.bind(shop, [("KIND", "tea")])
    assert exclusion.bind(shop, [("OTHER", "x"), ("KIND", "tea")]) is bound
    other = exclusion.bind(shop, [("KIND", "pan")])
    assert other is not bound
    # Items that were looked at for some values need not be looked at again for others.
    for one, row in zip(IDS, shop.rows(IDS), strict=True):
        assert row is not None
        bound.shows(one, row)
    assert [one for one in IDS if other.hides(one)] == shop.of_kind("pan")
    shop.renew()
    assert exclusion.bind(shop, [("KIND", "tea")]) is not bound
    with pytest.raises(InvalidQuery) as refused:
        RequestExclusion(parse_filter("EXCLUDE ItemID WHERE Items.PRICE > $MOST")).bind(shop, [("MOST", "much")])
    assert refused.value.field == "filter_values.MOST"


def test_what_a_user_did_hides_items_from_this_user_only() -> None:
    rule = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("View")'
    exclusion, shop = RequestExclusion(parse_filter(rule)), Shop()
    assert (exclusion.same_for_all, exclusion.uses_interactions) == (False, True)
    for seen in (IDS[2:4], [], IDS[:1], IDS[2:4]):
        assert left(exclusion, shop, "", [(one, "View") for one in seen]) == [one for one in IDS if one not in seen]
    assert RequestExclusion(parse_filter('EXCLUDE ItemID WHERE Items.KIND IN ("tea")')).same_for_all


def test_of_several_exclusions_each_hides() -> None:
    shop = Shop()
    rules = ('EXCLUDE ItemID WHERE Items.KIND IN ("tea")', "EXCLUDE ItemID WHERE Items.PRICE > 6")
    bound = all_of([RequestExclusion(parse_filter(rule)).bind(shop, []) for rule in rules])
    tea = shop.of_kind("tea")
    shown = [one for one, row in zip(IDS, shop.rows(IDS), strict=True) if row is not None and bound.shows(one, row)]
    assert shown == [one for number, one in enumerate(IDS) if one not in tea and number <= 6]
    assert [one for one in IDS if not bound.hides(one)] == shown
