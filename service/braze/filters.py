"""Braze's filters beside Shopify's, and Shopify's that Braze lacks or has otherwise.

Source: braze.com/docs, Liquid filters and Advanced filters. A filter gets any value a template can hold.
"""

import base64
import hashlib
import hmac
import html
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from dateutil import parser
from liquid.exceptions import FilterArgumentError
from liquid.undefined import is_undefined

from service.braze.source import STRIPPED
from service.braze.values import number, text

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


_CENT: Final = Decimal("0.01")
_CENT_PLACES: Final = 2
_MOST_PLACES: Final = 400
"""Before and behind the point; no number that is not an integer has more."""

_EXACT: Final = Context(prec=2 * _MOST_PLACES, rounding=ROUND_HALF_UP)


def _to_places(value: float, places: int) -> Decimal:
    """Rounded as Ruby does it, halves away from zero; of the number as it is written."""
    if not math.isfinite(value) or abs(value) >= 10**_MOST_PLACES:
        raise FilterArgumentError("this number is too large", token=None)
    return Decimal(str(value)).quantize(
        _CENT if places == _CENT_PLACES else Decimal(1).scaleb(-places, _EXACT), context=_EXACT
    )


def rounded(value: object, digits: object = 0) -> float | int:
    """`2.5` as `3`, and to digits behind the point."""
    exact, places = number(value), int(number(digits))
    found = _to_places(exact, max(-_MOST_PLACES, min(places, _MOST_PLACES)))
    return int(found) if places <= 0 or isinstance(exact, int) else float(found)


def money(value: object) -> str:
    """`39` as `$39.00`, nothing as nothing. Braze, unlike Shopify, does not take the number for cents."""
    if not text(value):
        return ""
    return f"${_to_places(number(value), 2):,.2f}"


def date(value: object, wanted: object) -> str:
    """A time in another form; what is none stays as it is, and nothing stays nothing."""
    form = text(wanted)
    moment = _moment(value) if form else None
    return text(value) if moment is None else moment.strftime(_FORM.sub(lambda match: _directive(moment, match), form))


_FORM: Final = re.compile(r"%(%|s|P|:z|\d?[LN])")
"""Those of Ruby's directives that Python has not, or has only for the clock of this machine."""

_NANOS: Final = 9


def _directive(moment: datetime, match: re.Match[str]) -> str:
    sign = match[1]
    if sign == "s":
        return str(int(moment.timestamp()))
    if sign == "P":
        return "am" if moment.hour < 12 else "pm"  # noqa: PLR2004  # noon
    if sign == ":z":
        zone = moment.strftime("%z")
        return f"{zone[:3]}:{zone[3:]}"
    if sign[-1] in "LN":
        digits = int(sign[0]) if sign[0].isdecimal() else 3 if sign == "L" else _NANOS
        return f"{moment.microsecond:06}000"[:digits]
    return match[0]


def _moment(value: object) -> datetime | None:
    """The time that a value says; without a zone it is in UTC."""
    written = text(value)
    try:
        if written in {"now", "today"}:
            return datetime.now(UTC)
        if written.isdecimal() or (isinstance(value, int | float) and not isinstance(value, bool)):
            return datetime.fromtimestamp(float(written), UTC)
        found: datetime = parser.parse(_MIDNIGHT.sub(r"\g<1>00:00", written))
        if _MIDNIGHT.search(written):
            found += timedelta(days=1)
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_MIDNIGHT: Final = re.compile(r"(\d[T ])24:00")
"""The end of a day, which Ruby reads and Python does not."""


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


_BLANK: Final = re.compile(f"[{STRIPPED}]+")


def split(value: object, separator: object) -> list[str]:
    """The parts as Ruby cuts them: none that are empty at the end, and a space stands for any blanks."""
    whole, cut = text(value), text(separator)
    if cut == " ":
        return [one for one in _BLANK.split(whole) if one]
    parts = whole.split(cut) if cut else list(whole)
    while parts and not parts[-1]:
        parts.pop()
    return parts


def property_accessor(value: object, key: object) -> object:
    """The value of a key; nil where there is none."""
    return value.get(text(key)) if isinstance(value, Mapping) else None


def time_zone(value: object, zone: object) -> str:
    """A time as the clocks of a zone show it; a time without a zone is in UTC."""
    moment, name = _moment(value), text(zone)
    if not name.strip():
        return text(value)
    try:
        there = _offset(zone) if isinstance(zone, int | float) else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OverflowError, OSError) as error:
        # The name of a folder, or one that is too long for a file, is an error of the disk.
        raise FilterArgumentError(f"there is no time zone {name[:_SHOWN]!r}", token=None) from error
    return text(value) if moment is None else moment.astimezone(there).strftime("%Y-%m-%d %H:%M:%S %z")


def _offset(wanted: float) -> tzinfo:
    """The zone of a number: hours up to 13, else seconds, as Ruby on Rails has it."""
    return timezone(timedelta(hours=wanted) if abs(wanted) <= _MOST_HOURS else timedelta(seconds=wanted))


_MOST_HOURS: Final = 13
_SHOWN: Final = 50
"""Characters of a wrong value that a message shows."""


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
    "date": date,
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
    "round": rounded,
    "sha1": _digest("sha1"),
    "sha2": _digest("sha256"),
    "split": split,
    "time_zone": time_zone,
    "url_escape": url_escape,
    "url_param_escape": url_param_escape,
}
