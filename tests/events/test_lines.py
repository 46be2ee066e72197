"""One line of an order, a row of a table, or an item: what names it and what bounds it."""

from typing import Any

import pytest

from service.events.braze import MAX_LINE_ITEMS, BrazeTerms, braze_events
from service.events.event import MAX_RECOMMENDATION_ID_CHARACTERS, Event, EventProblem
from service.events.items.push import MAX_PROBLEMS, PushReport
from service.events.rows import InteractionColumns

NOW = 1_700_000_000.0
ORDER, CART = "ecommerce.order_placed", "ecommerce.cart_updated"
TERMS = BrazeTerms(event_types={ORDER: "Purchase", CART: "Cart"})
PRODUCTS = [{"product_id": "a"}, {"product_id": "b"}]


def lines(name: str = ORDER, *, cart: str = "", products: object = PRODUCTS, **given: object) -> list[Event]:
    properties = {"products": products, **({"cart_id": cart} if cart else {})}
    body = {"name": name, "external_user_id": "ann", "time": NOW, "properties": properties, **given}
    found = list(braze_events(body, TERMS, NOW))
    assert all(isinstance(one, Event) for one in found), found
    return [one for one in found if isinstance(one, Event)]


def ids(name: str = ORDER, **given: Any) -> list[str]:  # noqa: ANN401  # JSON
    return [one.event_id for one in lines(name, **given)]


def test_lines_of_an_event_with_an_id_are_numbered_and_a_single_one_has_the_id() -> None:
    assert ids(id="e1") == ["e1:0", "e1:1"]
    assert ids(event_id="e1", dispatch_id="d1") == ["e1:0", "e1:1"]
    assert ids(id="e1", products=PRODUCTS[:1]) == ["e1"]


def test_an_event_without_an_id_is_known_by_its_user_item_and_time() -> None:
    assert ids() == ids()
    assert len({*ids(), *ids(time=NOW - 1), *ids(external_user_id="bob")}) == 6


def test_a_webhook_sent_again_has_the_ids_it_had_whatever_time_it_says() -> None:
    assert ids(dispatch_id="d1") == ids(dispatch_id="d1", time=NOW - 60)
    assert set(ids(dispatch_id="d1")).isdisjoint(ids(dispatch_id="d2"))
    assert set(ids(dispatch_id="d1")).isdisjoint(ids(dispatch_id="d1", external_user_id="bob"))


def test_a_cart_that_comes_again_has_the_ids_it_had_whatever_its_event_is_called() -> None:
    assert ids(CART, cart="c1", id="e1") == ids(CART, cart="c1", id="e2", time=NOW - 60)
    assert set(ids(CART, cart="c1")).isdisjoint(ids(CART, cart="c2"))
    # Only a cart comes again and again.
    assert ids(cart="c1", id="e1") == ["e1:0", "e1:1"]


def test_an_order_has_a_hundred_lines_at_most_and_one_without_any_is_an_event_of_no_item() -> None:
    many = [{"product_id": str(number)} for number in range(MAX_LINE_ITEMS + 5)]
    assert len(ids(id="e1", products=many)) == MAX_LINE_ITEMS
    assert [one.item_id for one in lines(id="e1", products=[])] == [""]


@pytest.mark.parametrize(
    ("price", "value"), [(3, 3.0), (2.5, 2.5), ("2.50", 2.5), ("2.50 EUR", None), (None, None), ("", None)]
)
def test_a_price_is_a_number_or_the_text_of_one(price: object, value: float | None) -> None:
    assert [one.event_value for one in lines(products=[{"product_id": "a", "price": price}])] == [value]


def test_a_recommendation_id_of_a_row_is_left_out_if_it_is_longer_than_amazon_takes() -> None:
    columns = InteractionColumns(["user_id", " Item_Id", "TIMESTAMP", "RECOMMENDATION_ID"], event_type="Click")
    for length, kept in [(MAX_RECOMMENDATION_ID_CHARACTERS, True), (MAX_RECOMMENDATION_ID_CHARACTERS + 1, False)]:
        event = columns.event(["ann", "a", str(int(NOW)), "r" * length], NOW)
        assert event.recommendation_id == ("r" * length if kept else "")
        assert (event.user_id, event.item_id, event.sent_at) == ("ann", "a", NOW)


def test_each_column_of_a_row_is_what_amazon_calls_it_and_any_other_a_property() -> None:
    names = ["USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE", "IMPRESSION", "NUM_RATINGS", "COLOR", ""]
    columns = InteractionColumns(names, event_type="Click")
    event = columns.event(["ann", "a", int(NOW), "View", "2.5", "x|a", 7, "red", "nameless"], NOW)
    assert (event.event_type, event.event_value, event.impression) == ("View", 2.5, ("x", "a"))
    assert event.properties == '{"numRatings":"7","color":"red"}'
    plain = columns.event(["ann", "a", int(NOW)], NOW)
    assert (plain.event_type, plain.event_value, plain.impression, plain.properties) == ("Click", None, (), "")
    again = columns.event(["ann", "a", int(NOW)], NOW + 5)
    assert again.event_id == plain.event_id


@pytest.mark.parametrize("cells", [["", "a", "1"], ["ann", None, "1"], ["ann", "a", ""], ["ann", "a"]])
def test_a_row_without_user_item_or_time_says_what_is_missing(cells: list[object]) -> None:
    columns = InteractionColumns(["USER_ID", "ITEM_ID", "TIMESTAMP"], event_type="Click")
    with pytest.raises(EventProblem, match="is missing"):
        columns.event(cells, NOW)


def test_of_refused_items_all_are_counted_and_the_first_ten_named() -> None:
    report = PushReport(new=2, changed=3)
    assert report.wanted == 5
    for number in range(MAX_PROBLEMS + 2):
        report.refuse(str(number), "is wrong")
    assert report.refused == MAX_PROBLEMS + 2
    assert report.problems == [f"{number}: is wrong" for number in range(MAX_PROBLEMS)]
