"""One line of an order, a row of a table, or an item: what names it and what bounds it."""

from typing import Any

import pytest

from service.events.braze import MAX_LINE_ITEMS, BrazeTerms, Ignored, braze_events
from service.events.event import MAX_RECOMMENDATION_ID_CHARACTERS, Event, EventProblem, session_of
from service.events.items.push import MAX_PROBLEMS, PushReport
from service.events.rows import InteractionColumns

NOW = 1_700_000_000.0
ORDER, CART = "ecommerce.order_placed", "ecommerce.cart_updated"
TERMS = BrazeTerms(event_types={ORDER: "Purchase", CART: "Cart", "bought": "Purchase"})
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


def heard(body: object) -> list[dict[str, Any] | str]:
    """What is read of a body: what differs from an event without anything, a problem, or `ignored`."""
    found: list[dict[str, Any] | str] = []
    for one in braze_events(body, TERMS, NOW):
        if isinstance(one, Event):
            given = {name: getattr(one, name) for name in one.__slots__}
            found.append({name: value for name, value in given.items() if value not in ("", None, (), False)})
        else:
            found.append("ignored" if isinstance(one, Ignored) else str(one))
    return found


PLAIN: dict[str, Any] = {"name": "bought", "id": "e", "time": NOW, "external_user_id": "ann", "session_id": "s"}
NO_USER: dict[str, Any] = {"name": "bought", "id": "e", "time": NOW, "session_id": "s"}
READ: dict[str, Any] = {"event_type": "Purchase", "user_id": "ann", "session_id": "s", "sent_at": NOW, "event_id": "e"}
CUSTOM = {"event_type": "users.behaviors.CustomEvent", "id": "e", "time": NOW, "session_id": "s"}
URL = "https://shop.example/i?rid=R-1&pos=2&src=for-you"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        # Who: external ids, else the device; Braze's own id only where no other name could be meant.
        (PLAIN, READ),
        (PLAIN | {"user": {"external_id": "bob"}}, READ | {"user_id": "bob"}),
        (PLAIN | {"user": {"external_user_id": "eve", "external_id": "bob"}}, READ | {"user_id": "eve"}),
        (PLAIN | {"user": {"user_id": "b-1", "device_id": "d"}}, READ | {"user_id": ""}),
        (PLAIN | {"user": {"user_id": "b-1"}}, "user: has neither external_user_id nor device_id"),
        (PLAIN | {"external_user_id": "", "user_id": "b-1"}, "user: has neither external_user_id nor device_id"),
        (PLAIN | {"external_user_id": None, "device_id": "d"}, READ | {"user_id": ""}),
        ({**NO_USER, "user_id": "liz"}, READ | {"user_id": "liz"}),
        ({**NO_USER, "userId": "liz"}, READ | {"user_id": "liz"}),
        ({**NO_USER, "user_id": "liz", "external_id": ""}, "user: has neither external_user_id nor device_id"),
        ({**NO_USER, "device_id": "d", "session_id": None}, READ | {"user_id": "", "session_id": "d"}),
        (PLAIN | {"session_id": None, "device_id": "d"}, READ | {"session_id": session_of("ann", NOW)}),
        # What: the event's own name, or that of a custom event.
        (PLAIN | {"event_type": "ecommerce.cart_updated"}, READ | {"event_type": "Cart"}),
        (PLAIN | {"name": "other"}, "ignored"),
        (PLAIN | {"name": None}, "event_type: is missing"),
        (PLAIN | {"name": "", "properties": {"event_name": "bought"}}, READ),
        (PLAIN | {"name": "", "properties": {"name": "bought", "event_name": "other"}}, READ),
        (
            CUSTOM
            | {"user": {"external_user_id": "ann"}}
            | {"properties": {"name": "bought", "product_id": "z", "custom_properties": {"product_id": "a"}}},
            READ | {"item_id": "a"},
        ),
        (
            CUSTOM | {"external_user_id": "ann", "properties": {"name": "bought", "product_id": "z"}},
            READ | {"item_id": "z"},
        ),
        (
            PLAIN | {"properties": {"product_id": "z", "custom_properties": {"product_id": "a"}}},
            READ | {"item_id": "z"},
        ),
        ("x", "is not a JSON object"),
        # Scanners of links have clicked nothing.
        (PLAIN | {"is_suspected_bot_click": True}, "ignored"),
        (PLAIN | {"is_suspected_bot_click": False, "suspected_bot_click_reason": []}, READ),
        (PLAIN | {"properties": {"suspected_bot_click_reason": ["datacenter"]}}, "ignored"),
        (PLAIN | {"is_suspected_bot_click": "no"}, READ),
        # Which list it came from: the address that was clicked, and what the event itself says of it.
        (PLAIN | {"url": URL}, READ | {"recommendation_id": "R-1", "attribution_source": "for-you"}),
        (
            PLAIN | {"url": URL, "properties": {"url": URL.replace("R-1", "R-2"), "src": "mail"}},
            READ | {"recommendation_id": "R-2", "attribution_source": "mail"},
        ),
        (PLAIN | {"properties": {"rid": "R" * 50, "src": 7}}, READ | {"recommendation_id": "R" * 40}),
        (
            PLAIN | {"url": URL, "properties": {"rid": ""}},
            READ | {"recommendation_id": "R-1", "attribution_source": "for-you"},
        ),
        # Items: the products, or the properties themselves; what lifts names an item.
        (PLAIN | {"product_id": 7, "price": "2"}, READ | {"item_id": "7", "event_value": 2.0}),
        (PLAIN | {"properties": {"products": [{"product_id": "a"}, "x"]}}, READ | {"item_id": "a"}),
        (PLAIN | {"name": "ecommerce.order_refunded", "product_id": "a"}, READ | {"item_id": "a", "lifts": True}),
        (PLAIN | {"name": "ecommerce.order_refunded"}, "ignored"),
        (
            PLAIN | {"product_id": "a", "purchase_properties": {"a": 1, "b": [1], "c": True, "userId": "x", "d": "e"}},
            READ | {"item_id": "a", "properties": '{"a":1,"c":true,"d":"e"}'},
        ),
        (PLAIN | {"product_id": "a", "purchase_properties": {"a": "x" * 2_000}}, READ | {"item_id": "a"}),
        (PLAIN | {"product_id": "a", "purchase_properties": ["a"]}, READ | {"item_id": "a"}),
        (PLAIN | {"product_id": "a", "price": True}, "price: is not a number"),
    ],
)
def test_an_event_of_braze_is_read_so(body: dict[str, Any], says: dict[str, Any] | str) -> None:
    expected = {name: value for name, value in says.items() if value} if isinstance(says, dict) else says
    assert heard(body) == [expected]
    assert heard({"events": [body, body]}) == heard([body, body]) == [expected] * 2


def test_every_version_names_an_event_of_braze_without_an_id_the_same() -> None:
    """While an update runs, replicas of two versions may take the same event in."""
    long = "e" * 255
    assert [
        *ids(CART, cart="c1", products=PRODUCTS[:1]),
        *ids(dispatch_id="d1", products=PRODUCTS[:1]),
        *ids(products=PRODUCTS[:1]),
        ids(id=long)[1],
    ] == [
        "83b4af19df37ca0069a5f294d738f925",
        "27c4801b67d551b93167ae22ba6a7cf5",
        "2c810fd604e9fc3b72ec50b98d3babd0",
        "ba831adb4fb12a54e9543329a13a38a7",
    ]
    assert ids(id="e" * 254) == [f"{'e' * 254}:{number}" for number in (0, 1)]


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
