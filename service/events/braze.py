"""Events as Braze sends them: Currents' HTTP connector, and webhooks of campaigns and Canvases.

Source: https://www.braze.com/docs/partners/data_and_analytics/data_warehouses/custom_http_connector, and Braze's
documentation of eCommerce events.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.attribution import ATTRIBUTION_SOURCE, RECOMMENDATION_ID, attribution_of
from service.events.event import (
    MAX_ATTRIBUTION_SOURCE_CHARACTERS,
    MAX_RECOMMENDATION_ID_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    Event,
    EventProblem,
    event_id_of,
    moment_of,
    number_of,
    properties_of,
    session_of,
    text_of,
)

CUSTOM_EVENT: Final = "users.behaviors.CustomEvent"
LIFTED_BY: Final[Mapping[str, str]] = {
    "ecommerce.order_cancelled": "ecommerce.order_placed",
    "ecommerce.order_refunded": "ecommerce.order_placed",
}
"""What undoes what: the event type of the second is lifted for the items of the first."""

REPEATING: Final = frozenset({"ecommerce.cart_updated", "ecommerce.checkout_started"})
"""Events that name the whole cart each time, so that an item's event is known by the cart and not by the moment."""

MAX_LINE_ITEMS: Final = 100

RESERVED_PROPERTIES: Final = frozenset(
    {"userId", "sessionId", "eventType", "timestamp", "recommendationId", "impression"}
)
"""Names that an event's properties must not have. Source: Personalize developer guide, recording events."""

_CURRENTS_IDS: Final = frozenset({"external_user_id", "external_id"})
"""Where one of them is, `user_id` is Braze's own id."""


class Ignored(Exception):  # no error: Currents sends everything
    """The event is of no interest."""


@dataclass(frozen=True, slots=True)
class BrazeTerms:
    """What of Braze's events is used."""

    event_types: Mapping[str, str]
    """Braze's name to Personalize's."""

    item_id: str = "product_id"
    """Property that names the item."""


def braze_events(body: object, terms: BrazeTerms, now: float) -> Iterator[Event | EventProblem | Ignored]:
    """The events of a body, one for each line item; a problem or the word that it is ignored stands for others.

    Raises:
        EventProblem: The body as a whole is wrong.
    """
    if isinstance(body, dict) and isinstance(body.get("events"), list):
        given = body["events"]
    else:
        given = body if isinstance(body, list) else [body]
    for one in given:
        try:
            yield from _events(one, terms, now)
        except (EventProblem, Ignored) as other:
            yield other


def _events(given: object, terms: BrazeTerms, now: float) -> Iterator[Event]:
    if not isinstance(given, dict):
        raise EventProblem("is not a JSON object")
    name, properties = _name_and_properties(given)
    event_type = terms.event_types.get(LIFTED_BY.get(name, name), "")
    lifts = name in LIFTED_BY
    if not event_type:
        raise Ignored
    if _is_bot(given, properties):
        raise Ignored
    user_id, device_id = _who(given)
    sent_at = moment_of(given.get("time"), now, "time")
    event_id = text_of(given, "id") or text_of(given, "event_id")
    # A webhook that is sent again has the same.
    dispatch_id = text_of(given, "dispatch_id")
    cart_id = text_of(properties, "cart_id") if name in REPEATING else ""
    shown_in = _shown_in(given, properties)
    items = list(_items(properties, terms.item_id)) or [{}]
    for number, item in enumerate(items):
        item_id = text_of(item, terms.item_id)
        if not item_id and lifts:
            raise Ignored
        line_id = event_id
        if again := cart_id or (not event_id and dispatch_id):
            line_id = event_id_of(f"{user_id or device_id} {again}", event_type, item_id, 0.0)
        elif not event_id:
            line_id = event_id_of(user_id or device_id, event_type, item_id, sent_at)
        elif len(items) > 1:
            line_id = f"{event_id}:{number}"
            if len(line_id) > MAX_TEXT_CHARACTERS:
                line_id = event_id_of(line_id, event_type, item_id, 0.0)
        yield Event(
            event_type=event_type,
            user_id=user_id,
            session_id=text_of(given, "session_id") or (device_id if not user_id else session_of(user_id, sent_at)),
            sent_at=sent_at,
            event_id=line_id,
            item_id=item_id,
            event_value=_price(item),
            properties=_properties(item.get("purchase_properties")),
            recommendation_id=shown_in.get(RECOMMENDATION_ID, "")[:MAX_RECOMMENDATION_ID_CHARACTERS],
            lifts=lifts,
            attribution_source=shown_in.get(ATTRIBUTION_SOURCE, "")[:MAX_ATTRIBUTION_SOURCE_CHARACTERS],
        )


def _who(given: Mapping[str, Any]) -> tuple[str, str]:
    """External id of the user, and the device; the first is empty for somebody who is not known.

    Raises:
        EventProblem: It names neither.
    """
    nested = given.get("user")
    user: Mapping[str, Any] = nested if isinstance(nested, dict) else given
    user_id = text_of(user, "external_user_id") or text_of(user, "external_id")
    if not user_id and user is given and not _CURRENTS_IDS & given.keys():
        # A webhook of the operator's own: Liquid's ${user_id} is the external id.
        user_id = text_of(given, "user_id") or text_of(given, "userId")
    device_id = text_of(user, "device_id")
    if not user_id and not device_id:
        raise EventProblem("user: has neither external_user_id nor device_id")
    return user_id, device_id


def _name_and_properties(given: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    name = text_of(given, "event_type") or text_of(given, "name")
    properties = given.get("properties")
    if not isinstance(properties, dict):
        properties = {key: value for key, value in given.items() if key != "user"}
    if name == CUSTOM_EVENT or not name:
        name = text_of(properties, "name") or text_of(properties, "event_name")
        custom = properties.get("custom_properties")
        if isinstance(custom, dict):
            properties = custom
    if not name:
        raise EventProblem("event_type: is missing")
    return name, properties


def _shown_in(given: Mapping[str, Any], properties: Mapping[str, Any]) -> Mapping[str, str]:
    """The list in which the item was shown: as properties, or in the URL that was clicked."""
    found: dict[str, str] = {}
    for one in (given, properties):
        url = one.get("url")
        if isinstance(url, str):
            found.update(attribution_of(url))
    for name in (RECOMMENDATION_ID, ATTRIBUTION_SOURCE):
        value = properties.get(name)
        if isinstance(value, str) and value:
            found[name] = value
    return found


def _is_bot(given: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    return any(
        one.get("is_suspected_bot_click") is True or one.get("suspected_bot_click_reason")
        for one in (given, properties)
    )


def _items(properties: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    """The items that the properties name: a list of products, else the properties themselves."""
    products = properties.get("products")
    if isinstance(products, list):
        yield from [one for one in products if isinstance(one, dict)][:MAX_LINE_ITEMS]
    elif properties.get(key) is not None:
        yield properties


def _price(item: Mapping[str, Any]) -> float | None:
    price = item.get("price")
    if isinstance(price, str):
        # As Liquid writes it into a webhook; one with a currency is no number of Personalize's.
        try:
            price = float(price)
        except ValueError:
            return None
    return number_of(price, "price")


def _properties(given: object) -> str:
    """What Personalize takes of an event's own properties; the event counts without them, too."""
    if not isinstance(given, dict):
        return ""
    plain = {
        name: value
        for name, value in given.items()
        if isinstance(value, str | int | float) and name not in RESERVED_PROPERTIES
    }
    try:
        return properties_of(plain)
    except EventProblem:
        return ""
