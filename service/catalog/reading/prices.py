"""Prices as shops write them: with a currency, a decimal comma, thousands, as far as the whole file leaves no doubt."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final, Literal, NamedTuple

from service.catalog.reading.currencies import NO_DECIMALS, THREE_DECIMALS, currency_of

Style = Literal["point", "comma", "unclear"]
"""How a file writes prices: `1,299.00` or `1.299,00`; `unclear` reads only what any program writes."""

_MAX_INT_CHARACTERS: Final = 15
"""Characters of a price that is read as a whole number; more become a float, as in every other column."""

_MINORITY: Final = 20
"""Prices of one style outvote those of the other when they are so many times as many."""

_APOSTROPHES: Final = "'\u2019"
_DASHES: Final = "-\u2013\u2014"
_PRICE: Final = re.compile(
    rf"(?P<before>[^\d\s.,{_APOSTROPHES}+-][^\d\s,{_APOSTROPHES}+-]{{0,4}})?\s*"
    rf"(?P<number>\d[\d.,\s{_APOSTROPHES}]*?)(?:(?P<mark>[.,/])[{_DASHES}]{{1,2}}|:[{_DASHES}])?"
    rf"\s*(?P<after>[^\d\s.,{_APOSTROPHES}+-][^\d\s,{_APOSTROPHES}+-]{{0,4}})?"
)
"""A number with a currency before or behind it; `39,-`, Sweden's `39:-` and India's `39/-` are whole numbers."""

_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)?")
_GROUPED: Final = re.compile(
    rf"[1-9]\d{{0,2}}([.,\s{_APOSTROPHES}])\d{{3}}(?:\1\d{{3}})*(?:(?!\1)[.,]\d+)?"
    r"|[1-9]\d?(?:,\d{2})+,\d{3}(?:\.\d+)?"
)
"""With thousands; the second form is India's."""

_THOUSANDS_OR_DECIMALS: Final = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")
_BLANKS: Final = re.compile(rf"[\s{_APOSTROPHES}]")

_OTHER: Final[Mapping[str, str]] = {".": ",", ",": "."}

_EASTERN: Final = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹٫٬", "01234567890123456789.,")  # noqa: RUF001  # Arabic and Persian digits
"""Arabic and Persian digits, with their decimal point and their comma of thousands."""

_AMOUNTS: Final = ("amount", "value", "price")
_UNITS: Final = ("currencyCode", "currency", "currency_code", "priceCurrency")


class Price(NamedTuple):
    """What a cell says."""

    amount: int | float | None
    """None for no price."""

    currency: str = ""


class _Number(NamedTuple):
    digits: str
    """With what separates them, less blanks and apostrophes."""

    currency: str


@dataclass(slots=True)
class PriceVotes:
    """What the prices of a file have shown so far."""

    styles: Counter[str]
    prices: int = 0
    with_currency: int = 0

    @property
    def style(self) -> Style:
        """How the file writes prices."""
        point, comma = self.styles["point"], self.styles["comma"]
        if point and comma and max(point, comma) < _MINORITY * min(point, comma):
            return "unclear"
        if not point and not comma:
            return "unclear" if self.styles["either"] else "point"
        return "comma" if comma > point else "point"

    @property
    def all_have_currency(self) -> bool:
        """Whether every price names its currency."""
        return 0 < self.prices == self.with_currency

    def count(self, value: object) -> None:
        """Look at a price."""
        value = _unwrapped(value)
        if isinstance(value, dict):
            money = _money(value)
            self.prices += money.amount is not None
            self.with_currency += bool(money.currency)
            return
        if not isinstance(value, str):
            self.prices += isinstance(value, (int, float))
            return
        number = _split(value)
        if number is None:
            self.prices += amount_of(plain_number(value)) is not None
            return
        self.prices += 1
        self.with_currency += bool(number.currency)
        shape = _shape(number)
        if shape is not None:
            self.styles[shape] += 1


def price_of(value: object, style: Style) -> Price:
    """The price that a cell holds: a number, a text, or an object with amount and currency.

    Args:
        value: As the source gives it.
        style: How the file writes prices.
    """
    value = _unwrapped(value)
    if isinstance(value, dict):
        return _money(value)
    if isinstance(value, str):
        plain = plain_price(value, style)
        if plain is not None:
            return Price(amount_of(plain))
        number = _split(value)
        return Price(None) if number is None else Price(_amount(number, style), number.currency)
    return Price(amount_of(value))


def plain_number(text: str) -> int | float | None:
    """A number as programs write it, whole when it is written without a point; None for anything else."""
    if not text.isascii() or "_" in text:
        return None
    try:
        return int(text) if text.lstrip("-").isdigit() and len(text) <= _MAX_INT_CHARACTERS else float(text)
    except ValueError:
        return None


def plain_price(text: str, style: Style) -> int | float | None:
    """A number as programs write it; None for anything else, and for what may also be one with thousands: `1.299`."""
    if style == "comma" and "." in text:
        return None
    return None if "." in text and _THOUSANDS_OR_DECIMALS.fullmatch(text) else plain_number(text)


def amount_of(value: object) -> int | float | None:
    """The price that a number is; None where it is negative, not finite, or no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
        return None
    return value or 0


def may_be_price(text: str) -> bool:
    """Whether a text that no program would write as a number is a price all the same."""
    return _split(text) is not None


def _unwrapped(value: object) -> object:
    """The first of a list: a product's prices by currency or by customer, the usual one first."""
    return value[0] if isinstance(value, list) and value else value


def _money(value: Mapping[str, object]) -> Price:
    unit = next((str(value[name]) for name in _UNITS if value.get(name)), "")
    cents, digits = value.get("centAmount"), value.get("fractionDigits", 2)
    if isinstance(cents, int) and isinstance(digits, int) and 0 <= digits <= 4:  # noqa: PLR2004  # as ISO 4217 has
        return Price(amount_of(round(cents / 10**digits, digits) if digits else cents), unit)
    for name in (*_AMOUNTS, "Amount"):
        if isinstance(amount := value.get(name), dict):
            return _money(amount)
        if isinstance(amount, (int, float, str)):
            return Price(price_of(amount, "unclear").amount, unit)
    return Price(None)


def _split(text: str) -> _Number | None:
    """Number and currency; None for anything else."""
    if not text.isascii():
        # Digits as wide as a Japanese character are digits.
        text = unicodedata.normalize("NFKC", text).translate(_EASTERN)
    match = _PRICE.fullmatch(text.strip())
    if match is None:
        return None
    before, after = match["before"], match["after"]
    if before and after and currency_of(before) != currency_of(after) and "$" not in before:
        return None
    currency = currency_of(after or before or "") if before or after else ""
    if currency is None:
        return None
    number = match["number"].strip()
    thousands = next((sign for sign in number if sign in _OTHER), "")
    if match["mark"] and match["mark"] == _OTHER.get(thousands):
        number += match["mark"] + "0"  # `1.299,-` shows what its point is
    if not (_NUMBER.fullmatch(number) or _GROUPED.fullmatch(number)):
        return None
    return _Number(_BLANKS.sub("", number), currency)


def _shape(number: _Number) -> Literal["point", "comma", "either"] | None:
    """Which style a number shows; None where all write it so."""
    digits = number.digits
    last = max(digits.rfind("."), digits.rfind(","))
    if last == -1:
        return None
    separator = digits[last]
    other = "," if separator == "." else "."
    if other in digits:
        return "point" if separator == "." else "comma"
    if digits.count(separator) > 1:
        return "comma" if separator == "." else "point"
    is_unclear = _THOUSANDS_OR_DECIMALS.fullmatch(digits) is not None
    if is_unclear and number.currency in NO_DECIMALS:
        return "comma" if separator == "." else "point"
    if is_unclear and number.currency not in THREE_DECIMALS:
        return "either"
    return "point" if separator == "." else "comma"


def _amount(number: _Number, style: Style) -> int | float | None:
    shape = _shape(number)
    digits = number.digits
    if style == "unclear":
        is_plain = shape is None or (shape == "point" and "," not in digits and digits.count(".") == 1)
        return amount_of(plain_number(digits)) if is_plain else None
    if shape not in (None, "either", style):
        return None
    digits = digits.replace(".", "").replace(",", ".") if style == "comma" else digits.replace(",", "")
    return amount_of(plain_number(digits))
