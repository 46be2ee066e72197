"""Reading values: of a row, and of a placeholder."""

import re
from collections.abc import Collection
from math import isfinite

from service.filters.errors import FilterValueError

Value = str | int | float | bool | None
"""What a column of a row may hold; None and the empty string are a missing value."""

_GIVEN = re.compile(r'\s*+(?:"((?:[^"\\]|\\.)*)"|([^",][^,]*|))\s*(?:,|\Z)', re.DOTALL)

_ESCAPE = re.compile(r'\\(["\\])')


def number_of(value: object) -> float | None:
    """The value as a finite number, or None; a list or an object of JSON is none.

    All numbers are 64-bit floats, since the same column comes as text from one source and as an integer from
    another. True is 1 and False is 0. Python's ``1_000`` is not a number here.
    """
    if not isinstance(value, (str, int, float)) or (isinstance(value, str) and ("_" in value or not value.isascii())):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def texts_of(value: object) -> Collection[str]:
    """The texts a value stands for, none of them empty; nothing for a missing value.

    ``a|b|c`` stands for three. A whole number has no decimals, whichever type holds it. True stands for both
    ``True`` (as Amazon's guide asks for in CSV files) and ``true`` (as JSON writes it), False likewise. A list
    of JSON stands for what its parts stand for, an object for nothing.
    """
    if isinstance(value, str):
        return [part for part in value.split("|") if part]
    if isinstance(value, bool):
        return (str(value), str(value).lower())
    if isinstance(value, float):
        if not isfinite(value):
            return ()
        return (str(int(value)) if value.is_integer() else repr(value),)
    if isinstance(value, list):
        return [text for part in value for text in texts_of(part)]
    return (str(value),) if isinstance(value, int) else ()


def unescape(quoted: str) -> str:
    r"""What stands between two double quotes: ``\"`` is a quote, ``\\`` one backslash, any other is itself.

    Amazon documents no escapes; these two are what JSON users expect.
    """
    return _ESCAPE.sub(r"\1", quoted) if "\\" in quoted else quoted


def split_given(placeholder: str, given: str) -> list[str]:
    """The values given for a placeholder, written as Personalize wants its ``filterValues``.

    Values are separated by commas. Each may stand in double quotes, and must when it contains a comma or
    begins with a quote or a blank. Nothing between two commas is no value.

    Source: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html

    Raises:
        FilterValueError: A quote is not closed, or something follows the closing one.
    """
    values = []
    position = 0
    while position < len(given):
        match = _GIVEN.match(given, position)
        if match is None:
            raise FilterValueError(placeholder, "a double quote is not closed, or not followed by a comma")
        quoted, plain = match.groups()
        if quoted is not None:
            values.append(unescape(quoted))
        elif plain.strip():
            values.append(plain.strip())
        position = match.end()
    return values
