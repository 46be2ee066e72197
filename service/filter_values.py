"""When two ways of writing a filter's values mean the same.

Personalize wants texts in double quotes, ``"horror","comedy"``, and the lines of a batch job hold them so. Callers
write ``comedy, horror``. Both ask for one list, which is kept once.
"""

import re
from collections.abc import Iterable

_PIECE = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"\s*(?=,|\Z)|([^,]*))(?:,|\Z)', re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\])')


def meaning(values: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Names and values so written that two are equal if and only if they ask for the same list, sorted by name.

    Quotes, the order of several values, repetitions and blanks around them mean nothing. Case does. A name without any
    value is left out, as it is from a transaction.

    Source: https://docs.aws.amazon.com/personalize/latest/dg/filter-batch.html
    """
    written = ((name, sorted(set(_pieces(value)))) for name, value in sorted(values))
    # With their lengths, so that no text reads like two.
    return tuple((name, ",".join(f"{len(piece)}:{piece}" for piece in pieces)) for name, pieces in written if pieces)


def _pieces(value: str) -> list[str]:
    """The texts between commas that no quotes surround, without their quotes; empty ones are left out."""
    if "," not in value and '"' not in value:
        value = value.strip()
        return [value] if value else []
    found = (_text(one) for one in _PIECE.finditer(value))
    return [piece for piece in found if piece]


def _text(piece: re.Match[str]) -> str:
    quoted, plain = piece.groups()
    return str(plain).strip() if quoted is None else _ESCAPE.sub(r"\1", quoted)
