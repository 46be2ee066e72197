"""What Braze sends, as its documentation and its examples show it, ends as the right PutEvents calls.

Source: https://github.com/Appboy/currents-examples, sample-data/Custom HTTP, and Braze's documentation of recommended
eCommerce events; ids and names are made up.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from service.local_personalize.app import create_app
from service.local_personalize.arns import TRACKING_ID
from service.local_personalize.data import Dataset, Interaction
from service.local_personalize.learn import learn
from tests.support.front_door import Door, OpenDoor
from tests.support.local_personalize import LocalPersonalize, serving
from tests.support.waiting import until

KEY = {"Authorization": "Bearer events-key-of-24-characters"}
SETTINGS = {
    "EVENT_KEYS": "events-key-of-24-characters",
    "PERSONALIZE_TRACKING_ID": TRACKING_ID,
    "PERSONALIZE_EVENTS_TPS": "500",
    "EVENT_TYPES": "users.behaviors.Purchase=Purchase,ecommerce.order_placed=Purchase,ecommerce.product_viewed=View,"
    "ecommerce.cart_updated=Cart,users.messages.email.Click=Click",
}
AT = 1_764_000_000


@pytest.fixture
def local() -> Iterator[LocalPersonalize]:
    histories = {"ann": [Interaction("item001", 1_700_000_000, "View")]}
    with serving(create_app(learn(Dataset(histories=histories, items={}, users={})), tps=0, latency_ms=0)) as running:
        yield running


@pytest.fixture
async def door(open_door: OpenDoor, local: LocalPersonalize, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    for name, value in (
        ("AWS_ENDPOINT_URL_PERSONALIZE_EVENTS", local.url),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
    ):
        monkeypatch.setenv(name, value)
    async with open_door(**SETTINGS) as opened:
        yield opened


def currents(name: str, event_id: str, properties: dict[str, Any], **user: object) -> dict[str, Any]:
    """An event of Currents' custom HTTP connector."""
    usual = {"user_id": "639a35d192b0df004d06514c", "timezone": "America/New_York", "external_user_id": "ann"}
    return {"event_type": name, "id": event_id, "time": AT, "user": {**usual, **user}, "properties": properties}


def custom(name: str, event_id: str, properties: dict[str, Any], **user: object) -> dict[str, Any]:
    about = {"name": name, "app_id": "a", "device_model": "m", "platform": "ios", "custom_properties": properties}
    return currents("users.behaviors.CustomEvent", event_id, about, **user)


def product(item: str, price: float = 9.5) -> dict[str, Any]:
    return {
        "product_id": item,
        "product_name": f"The {item}",
        "variant_id": f"{item}-red",
        "quantity": 2,
        "price": price,
    }


PURCHASE = currents(
    "users.behaviors.Purchase",
    "p-1",
    {
        "app_id": "a",
        "currency": "USD",
        "price": 3.25,
        "product_id": "item001",
        "purchase_properties": {"listProperty": ["a"], "numberProperty": 1, "channel": "mail", "userId": "reserved"},
    },
    device_id="d-1",
)
ORDER = custom(
    "ecommerce.order_placed",
    "o-1",
    {
        "order_id": "17",
        "cart_id": "c-1",
        "total_value": 29.0,
        "currency": "USD",
        "products": [product("item002"), product("item003", 19.5)],
        "source": "https://shop.example.com",
    },
)
VIEW = custom("ecommerce.product_viewed", "v-1", {**product("item004"), "currency": "USD", "source": "app"})
CART = custom(
    "ecommerce.cart_updated",
    "cart-1",
    {"cart_id": "c-1", "total_value": 19.0, "currency": "USD", "products": [product("item005"), product("item006")]},
)
CLICK = currents(
    "users.messages.email.Click",
    "click-1",
    {
        "campaign_id": "c",
        "dispatch_id": "d",
        "email_address": "ann@example.com",
        "is_suspected_bot_click": None,
        "link_alias": "first",
        "send_id": "s",
        "url": "https://shop.example.com/p/item001",
        "user_agent": "Mozilla/5.0",
    },
)
CAMPAIGN_WEBHOOK = {
    "name": "ecommerce.order_placed",
    "external_id": "ann",
    "dispatch_id": "dispatch-1",
    "time": "2025-11-24T16:00:00+00:00",
    "properties": {"products": [product("item007"), product("item008")]},
}
CANVAS_WEBHOOK = {
    "event_type": "users.behaviors.Purchase",
    "user_id": "ann",
    "event_id": "canvas-1",
    "time": AT,
    "product_id": "item009",
    "price": "12.50",
}


def sent(event_id: str, event_type: str, item: str | None = None, **more: object) -> dict[str, Any]:
    named = {} if item is None else {"itemId": item}
    return {"eventId": event_id, "eventType": event_type, "sentAt": AT, "userId": "ann", **named, **more}


SHAPES: dict[str, tuple[object, list[dict[str, Any]]]] = {
    "purchase": (
        {"events": [PURCHASE]},
        [
            sent(
                "p-1",
                "Purchase",
                "item001",
                eventValue=3.25,
                properties='{"numberProperty":1,"channel":"mail"}',
            )
        ],
    ),
    "order_placed": (
        {"events": [ORDER]},
        [
            sent("o-1:0", "Purchase", "item002", eventValue=9.5),
            sent("o-1:1", "Purchase", "item003", eventValue=19.5),
        ],
    ),
    "product_viewed": ({"events": [VIEW]}, [sent("v-1", "View", "item004", eventValue=9.5)]),
    "cart_updated": (
        {"events": [CART]},
        [sent("", "Cart", "item005", eventValue=9.5), sent("", "Cart", "item006", eventValue=9.5)],
    ),
    "e-mail click": ({"events": [CLICK]}, [sent("click-1", "Click")]),
    "webhook of a campaign": (
        CAMPAIGN_WEBHOOK,
        [sent("", "Purchase", "item007", eventValue=9.5), sent("", "Purchase", "item008", eventValue=9.5)],
    ),
    "webhook of a Canvas": (CANVAS_WEBHOOK, [sent("canvas-1", "Purchase", "item009", eventValue=12.5)]),
}


def arrived(local: LocalPersonalize) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = local.http.get("/_events").json()
    return sorted(events, key=lambda event: (event["eventId"], event.get("itemId", "")))


async def post(door: Door, body: object) -> dict[str, Any]:
    answer = await door.http.post("/events/braze", json=body, headers=KEY)
    assert answer.status_code == 202
    counted: dict[str, Any] = answer.json()
    return counted


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_recorded_shape_ends_as_the_right_putevents(door: Door, local: LocalPersonalize, shape: str) -> None:
    body, expected = SHAPES[shape]
    assert (await post(door, body))["accepted"] == len(expected)
    # Currents delivers at least once, and Braze sends a webhook again that was not answered.
    again = await post(door, body)
    assert (again["accepted"], again["duplicate"]) == (0, len(expected))
    await until(lambda: len(arrived(local)) >= len(expected))
    found = sorted(arrived(local), key=lambda event: event.get("itemId", ""))
    for event, wanted in zip(found, expected, strict=True):
        assert event.pop("sessionId")
        # An id of our own is that of the cart or of the dispatch.
        assert event == {**wanted, "eventId": wanted["eventId"] or event["eventId"]}
    assert len({event["eventId"] for event in found}) == len(expected)


async def test_everything_of_a_batch_arrives_and_the_rest_is_counted(door: Door, local: LocalPersonalize) -> None:
    bot = {**CLICK, "id": "b", "properties": {"is_suspected_bot_click": True, "url": "x"}}
    likely = {**CLICK, "id": "l", "properties": {"suspected_bot_click_reason": ["fast"], "url": "x"}}
    session = currents("users.behaviors.app.SessionStart", "s-1", {})
    nobody = custom("ecommerce.product_viewed", "n", product("item001"), external_user_id=None)
    counted = await post(door, {"events": [PURCHASE, ORDER, VIEW, CART, CLICK, bot, likely, session, nobody, "?"]})
    assert (counted["accepted"], counted["ignored"]) == (7, 3)
    assert [one["index"] for one in counted["rejected"]] == [10, 11]
    await until(lambda: len(arrived(local)) >= 7)
    assert len(arrived(local)) == 7


async def test_somebody_who_is_not_known_is_the_device(door: Door, local: LocalPersonalize) -> None:
    await post(
        door, {"events": [{**VIEW, "user": {"device_id": "device-1", "user_id": "braze", "external_user_id": None}}]}
    )
    await until(lambda: len(arrived(local)) >= 1)
    [event] = arrived(local)
    # The local Personalize names a session's user by the session.
    assert (event["sessionId"], event["userId"]) == ("device-1", "device-1")


async def test_a_cart_that_grows_adds_what_is_new(door: Door) -> None:
    assert (await post(door, {"events": [CART]}))["accepted"] == 2
    products = [product("item005"), product("item006"), product("item010")]
    grown = custom("ecommerce.cart_updated", "cart-2", {"cart_id": "c-1", "products": products})
    assert (await post(door, {"events": [grown]}))["accepted"] == 1
    other_cart = custom("ecommerce.cart_updated", "cart-3", {"cart_id": "c-2", "products": products})
    assert (await post(door, {"events": [other_cart]}))["accepted"] == 3


async def test_properties_that_personalize_refuses_cost_no_purchase(door: Door, local: LocalPersonalize) -> None:
    properties = {"product_id": "item001", "purchase_properties": {"note": "x" * 2_000}}
    assert (await post(door, currents("users.behaviors.Purchase", "p-2", properties)))["accepted"] == 1
    await until(lambda: len(arrived(local)) >= 1)
    assert "properties" not in arrived(local)[0]


async def test_line_items_of_an_order_with_the_longest_id_arrive(door: Door, local: LocalPersonalize) -> None:
    """Their ids were longer than Personalize takes, so they were put aside."""
    assert (await post(door, {**ORDER, "id": "o" * 256}))["accepted"] == 2
    assert (await post(door, {**ORDER, "id": "o" * 256}))["duplicate"] == 2
    await until(lambda: len(arrived(local)) >= 2)
    assert sorted(event["itemId"] for event in arrived(local)) == ["item002", "item003"]
