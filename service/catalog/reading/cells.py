"""What a cell holds: a text without the blanks around it, or nothing."""

import html
import re
from collections.abc import Mapping
from typing import Final

_NOTHINGS: Final = "NaN nan NULL null \\N <NA> NaT N/A n/a #NA #N/A #NAME? #REF! #VALUE! #DIV/0! #NULL!"
NOTHING: Final = frozenset(["", *_NOTHINGS.split()])
"""How pandas, databases and Excel write that there is no value."""

MAX_SHOWN_CHARACTERS: Final = 60
"""Of a wrong value that a finding repeats."""

FLOAT_ID: Final = re.compile(r"(\d+)\.0")
"""A whole number as pandas writes it in a column that also lacks some."""

ROUNDED: Final = re.compile(r"[0-9](?:\.[0-9]{1,5})?E\+[0-9]{2}")
"""A long number as Excel writes it unless its column is text: the other digits are lost."""

FORMULA_MARK: Final = '="'
_FORMULA: Final = re.compile(r'\s*="([^"]*)"\s*')

ENTITY: Final = re.compile(r"&(?:[A-Za-z]{2,8}[0-9]?|#[0-9]{1,6}|#[xX][0-9A-Fa-f]{1,5});")
"""How HTML and XML write a character: a name that somebody copied from a page has them."""

_MARKED_ID: Final = re.compile(r"'(\d+)|(['\"])(.+)\2")

TYPES: Final = frozenset({"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"})
"""DynamoDB's names of types."""

_MAX_INT_DIGITS: Final = 15
"""Digits of a whole number; one with more becomes a float, as in JSON that other programs write."""


def shown(value: object) -> str:
    """A value as a finding repeats it, shortened."""
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}...")


def without_formula(text: str) -> str:
    """The text in `="0012"`, as programs write one for Excel to keep its zeros; any other text as it is."""
    match = _FORMULA.fullmatch(text)
    return text if match is None else match[1]


def without_mark(item_id: str) -> str:
    """An id without the apostrophe that marks digits as text for Excel, and without quotes of its own around it."""
    match = _MARKED_ID.fullmatch(item_id)
    return item_id if match is None else (match[1] or match[3]).strip()


def without_entities(name: str) -> str:
    """A name as a person reads it; `<` and `>` stay as they are written, so that no name becomes a tag."""
    return ENTITY.sub(_character, name).strip()


def _character(entity: re.Match[str]) -> str:
    character = html.unescape(entity[0])
    if character.isspace():
        return " "
    return entity[0] if character in "<>" or not character.isprintable() else character


def is_typed(record: Mapping[str, object]) -> bool:
    """Whether an object is an item of DynamoDB with a type around each value."""
    return bool(record) and all(
        isinstance(value, dict) and len(value) == 1 and not TYPES.isdisjoint(value) for value in record.values()
    )


def plain_value(value: object) -> object:
    """DynamoDB's typed value as JSON Lines would hold it; sets are joined, as filters read them.

    Bytes are None, as is anything that is no typed value.
    """
    if not isinstance(value, dict) or not value:
        return None
    kind, content = next(iter(value.items()))
    if kind == "N":
        return _number(content)
    if kind in ("SS", "NS"):
        return "|".join(sorted(content))
    if kind == "M":
        return {name: plain_value(one) for name, one in content.items()}
    if kind == "L":
        return [plain_value(one) for one in content]
    return content if kind in ("S", "BOOL") else None


def _number(content: str) -> int | float:
    short = content.lstrip("-").isdigit() and len(content) <= _MAX_INT_DIGITS
    return int(content) if short else float(content)
