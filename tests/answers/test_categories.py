"""Items of an item's category: learnt answer by answer, and no more looked at than an answer has time for."""

import json
from collections.abc import Iterable, Mapping, Sequence

import pytest

from service.answers import categories
from service.answers.categories import Categories
from service.catalog.item import CatalogRow
from tests.support.fakes import FakeCatalog


class Shop(FakeCatalog):
    """Items with their categories; it counts the look-ups."""

    def __init__(self, category_of: Mapping[str, object]) -> None:
        super().__init__((), columns=("other", "kind"))
        self.looked_up: list[str] = []
        self.renew(category_of)

    def renew(self, category_of: Mapping[str, object]) -> None:
        self._rows = {one: CatalogRow(b"{}", json.dumps(["x", kind]).encode()) for one, kind in category_of.items()}
        self._version += 1

    def rows(self, item_ids: Sequence[str]) -> list[CatalogRow | None]:
        self.looked_up += item_ids
        return super().rows(item_ids)

    def first_ids(self) -> Iterable[str]:
        return iter(tuple(self._rows))


def like(known: Categories, item_id: str, shop: Shop, first: Iterable[str] = ()) -> list[str]:
    return list(known.like(item_id, first, shop))


def test_those_that_are_given_come_first_and_none_is_of_no_category() -> None:
    shop = Shop({"a": "tea", "b": "pan", "c": "tea", "d": None, "e": "tea"})
    known = Categories("kind")
    for _ in range(2):
        assert like(known, "c", shop, ["e", "b", "gone", "e", "d", "a"]) == ["e", "a", "a", "c", "e"]
    assert like(known, "b", shop) == ["b"]
    assert like(known, "d", shop) == like(known, "gone", shop) == []
    assert like(Categories("no column"), "a", shop) == []


@pytest.mark.parametrize("category", ["1", 1, 1.5, True, ["x"], {"x": 1}])
def test_a_category_may_be_any_value(category: object) -> None:
    shop = Shop({"a": category, "b": "other", "c": category})
    assert like(Categories("kind"), "a", shop) == ["a", "c"]


def test_another_version_of_the_catalogue_has_categories_of_its_own() -> None:
    shop = Shop({"a": "tea", "b": "tea", "c": "pan"})
    known = Categories("kind")
    assert like(known, "a", shop, ["c"]) == ["a", "b"]
    shop.renew({"a": "pan", "b": "tea", "c": "pan"})
    assert like(known, "a", shop, ["c"]) == ["c", "a", "c"]


def test_an_item_that_comes_later_gets_its_category_then() -> None:
    """A catalogue elsewhere has items here that were fetched."""
    shop = Shop({"a": "tea"})
    known = Categories("kind")
    assert like(known, "b", shop, ["a"]) == []
    shop._rows |= Shop({"b": "tea"})._rows
    assert like(known, "b", shop, ["a"])[:1] == ["a"]


def test_answer_by_answer_more_of_the_catalogue_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(categories, "MAX_LOOKED_AT", 6)
    monkeypatch.setattr(categories, "_MAX_SCANNED_AT_ONCE", 2)
    shop = Shop({str(number): "odd" if number % 2 else "even" for number in range(14)})
    known = Categories("kind")
    for count, found in [(6, "024"), (12, "0246810"), (14, "024681012"), (14, "024681012")]:
        assert "".join(like(known, "0", shop)) == found
        assert sorted(shop.looked_up, key=int) == [str(number) for number in range(count)]
    # Who takes few has few looked up.
    shop.looked_up.clear()
    shop._version += 1
    assert next(known.like("0", (), shop)) == "0"
    assert shop.looked_up == ["0", "1"]


def test_no_more_than_so_many_are_looked_up_or_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(categories, "MAX_LOOKED_AT", 4)
    monkeypatch.setattr(categories, "MAX_KNOWN", 7)
    monkeypatch.setattr(categories, "MAX_OF_A_CATEGORY", 3)
    monkeypatch.setattr(categories, "_MAX_SCANNED_AT_ONCE", 2)
    ids = [str(number) for number in range(20)]
    shop = Shop(dict.fromkeys(ids, "tea"))
    known = Categories("kind")
    # Of those that lead, four are known the first time, and three more the second time: then it is full.
    assert [one for one in like(known, "19", shop, ids[5:12]) if one in ids[5:12]] == ids[5:9]
    shop.looked_up.clear()
    for _ in range(2):
        assert len(like(known, "19", shop, ids[5:12])) <= 7 + 3
    assert len(known._of) == 7
    assert all(len(items) <= 3 for items in known._items.values())
    # What cannot be remembered is not looked up.
    shop.looked_up.clear()
    like(known, "19", shop)
    assert shop.looked_up == []


def test_of_a_category_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(categories, "MAX_OF_A_CATEGORY", 3)
    shop = Shop(dict.fromkeys("abcdef", "tea"))
    known = Categories("kind")
    assert [like(known, "a", shop) for _ in range(2)] == [[*"abcdef"], [*"abc"]]


def test_for_one_answer_five_hundred_items_are_looked_up() -> None:
    shop = Shop({str(number): "tea" for number in range(1_100)})
    known = Categories("kind")
    # Five hundred of a category are remembered, too.
    for found, count in [(500, 500), (1_000, 1_000), (600, 1_100)]:
        assert len(like(known, "0", shop)) == found
        assert len(shop.looked_up) == count
