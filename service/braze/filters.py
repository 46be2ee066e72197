"""Braze's filters beside Shopify's, and Shopify's that Braze lacks or has otherwise.

Source: braze.com/docs, Liquid filters and Advanced filters. A filter gets any value a template can hold.
"""

import base64
import hashlib
import hmac
import html
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from dateutil import parser
from liquid.exceptions import FilterArgumentError
from liquid.undefined import is_undefined

UNSUPPORTED: Final = {
    "find_index": "loop over the array and count",
    "money_with_currency": "use money, and write the currency beside it",
    "money_without_currency": "use round: 2 or number_with_delimiter",
    "camelize": "use capitalize or downcase",
    "handleize": "use downcase and replace",
    "handle": "use downcase and replace",
    "pluralize": "use an if",
    "lstrip": "use strip",
    "rstrip": "use strip",
    "format_address": "write the lines yourself",
    "highlight": "write the tags yourself",
    "font_face": "write the CSS yourself",
    "font_modify": "write the CSS yourself",
    "font_url": "write the CSS yourself",
    **dict.fromkeys(
        (
            *("brightness_difference", "color_brightness", "color_contrast", "color_darken", "color_desaturate"),
            *("color_difference", "color_extract", "color_lighten", "color_mix", "color_modify", "color_saturate"),
            *("color_to_hex", "color_to_hsl", "color_to_rgb"),
        ),
        "write the colour itself",
    ),
}
"""What Braze says it does not have, and what to write instead."""

NOT_OF_BRAZE: Final = ("find", "find_index", "has", "reject", "lstrip", "rstrip", "safe", "escapejs", "squish")
"""python-liquid's that Braze lacks, or that came with a Liquid after 5.0."""


def text(value: object) -> str:
    """A value as Liquid writes it."""
    if value is None or is_undefined(value):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def number(value: object) -> float | int:
    """A value as a number; a text that begins with none is 0."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(text(value))
    except ValueError:
        return 0


def money(value: object) -> str:
    """`39` as `$39.00`, nothing as nothing. Braze, unlike Shopify, does not take the number for cents."""
    if not text(value):
        return ""
    return f"${number(value):,.2f}"


def number_with_delimiter(value: object) -> str:
    """`123456` as `123,456`."""
    whole, dot, rest = text(value).partition(".")
    return (f"{int(whole):,}" if whole.lstrip("-").isdigit() else whole) + dot + rest


def url_escape(value: object) -> str:
    """What no URL may hold is escaped; `&`, `?` and `/` are not."""
    return quote(text(value), safe=";/?:@&=+$,[]!~*'()")


def url_param_escape(value: object) -> str:
    """All that could end the value of a parameter is escaped."""
    return quote(text(value), safe="")


def json_escape(value: object) -> str:
    """Fit to stand between the quotes of a JSON text."""
    return json.dumps(text(value), ensure_ascii=False)[1:-1]


def json_parse(value: object) -> object:
    """What a JSON text says; nil where it is none."""
    try:
        return orjson.loads(text(value))
    except orjson.JSONDecodeError:
        return None


def as_json_string(value: object) -> str:
    """A value as JSON."""
    return orjson.dumps(None if is_undefined(value) else value, default=text).decode()


def escape(value: object) -> str:
    """Fit for HTML, with Ruby's spelling of the apostrophe."""
    return html.escape(text(value)).replace("&#x27;", "&#39;")


def escape_once(value: object) -> str:
    """The same, where some of it is escaped already."""
    return escape(html.unescape(text(value)))


def split(value: object, separator: object) -> list[str]:
    """The parts as Ruby cuts them: none that are empty at the end, and a space stands for any blanks."""
    whole, cut = text(value), text(separator)
    if cut == " ":
        return whole.split()
    parts = whole.split(cut) if cut else list(whole)
    while parts and not parts[-1]:
        parts.pop()
    return parts


def property_accessor(value: object, key: object) -> object:
    """The value of a key; nil where there is none."""
    return value.get(text(key)) if isinstance(value, Mapping) else None


def time_zone(value: object, zone: object) -> str:
    """A time as the clocks of a zone show it; a time without a zone is in UTC."""
    try:
        moment = datetime.now(UTC) if value in {"now", "today"} else parser.parse(text(value))
        there = ZoneInfo(text(zone))
    except (ValueError, OverflowError):
        return text(value)
    except ZoneInfoNotFoundError as error:
        raise FilterArgumentError(f"there is no time zone {text(zone)!r}", token=None) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(there).strftime("%Y-%m-%d %H:%M:%S %z")


def _digest(name: str) -> Callable[[object], str]:
    return lambda value: hashlib.new(name, text(value).encode(), usedforsecurity=False).hexdigest()


def _signature(name: str, *, as_base64: bool = False) -> Callable[[object, object], str]:
    def sign(value: object, key: object) -> str:
        made = hmac.new(text(key).encode(), text(value).encode(), name)
        return base64.b64encode(made.digest()).decode() if as_base64 else made.hexdigest()

    return sign


def base64_encode(value: object) -> str:
    """Base64 without line breaks."""
    return base64.b64encode(text(value).encode()).decode()


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "as_json_string": as_json_string,
    "base64": base64_encode,
    "base64_encode": base64_encode,
    "escape": escape,
    "escape_once": escape_once,
    "hmac_sha1": _signature("sha1"),
    "hmac_sha1_base64": _signature("sha1", as_base64=True),
    "hmac_sha1_hex": _signature("sha1"),
    "hmac_sha256": _signature("sha256"),
    "hmac_sha256_base64": _signature("sha256", as_base64=True),
    "hmac_sha256_hex": _signature("sha256"),
    "hmac_sha512": _signature("sha512"),
    "json_escape": json_escape,
    "json_parse": json_parse,
    "md5": _digest("md5"),
    "money": money,
    "number_with_delimiter": number_with_delimiter,
    "property_accessor": property_accessor,
    "sha1": _digest("sha1"),
    "sha2": _digest("sha256"),
    "split": split,
    "time_zone": time_zone,
    "url_escape": url_escape,
    "url_param_escape": url_param_escape,
}
