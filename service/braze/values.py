"""Values as Ruby writes and reads them, in which Liquid is written: texts, numbers, lists and objects.

Source: Shopify/liquid, `Utils.to_s`, `Utils.to_number` and `Variable#render_obj_to_output`.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from liquid.undefined import is_undefined

from service.braze.source import STRIPPED

_DECIMAL: Final = re.compile(r"-?\d+\.\d+", re.ASCII)
_WHOLE: Final = re.compile(r"\s*([+-]?\d+(?:_\d+)*)", re.ASCII)
_ESCAPES: Final = {code: f"\\u{code:04X}" for code in (*range(32), 127)} | {
    ord(sign): f"\\{letter}" for sign, letter in zip('\a\b\t\n\v\f\r\x1b"\\', 'abtnvfre"\\', strict=True)
}
_INTERPOLATION: Final = re.compile(r"#(?=[{$@])")


def text(value: object) -> str:
    """A value as a part of a text: nil is nothing, lists and objects are in Ruby's notation."""
    if isinstance(value, str):
        return value
    return "" if value is None or is_undefined(value) else _literal(value)


def shown(value: object) -> str:
    """A value as an output shows it: a list is its parts, one after another."""
    return "".join(map(shown, value)) if isinstance(value, list | tuple) else text(value)


def number(value: object) -> float | int:
    """A value as a number: of a text what it begins with, `12abc` as 12; of anything else that is none, 0."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return 0
    stripped = value.strip(STRIPPED)
    if _DECIMAL.fullmatch(stripped):
        return float(stripped)
    whole = _WHOLE.match(value)
    return int(whole[1]) if whole else 0


def parts_of(value: object) -> Iterable[object]:
    """The parts of a list and of the lists in it; anything else is its own one part, and nil has none."""
    if isinstance(value, list | tuple):
        return _flat(value)
    if isinstance(value, range):
        return value
    return () if value is None or is_undefined(value) else (value,)


def _flat(values: Iterable[object]) -> Iterator[object]:
    for one in values:
        if isinstance(one, list | tuple):
            yield from _flat(one)
        else:
            yield one


def _literal(value: object) -> str:
    """A value as a Ruby program would have it."""
    if isinstance(value, str):
        written = '"' + _INTERPOLATION.sub(r"\\#", value.translate(_ESCAPES)) + '"'
    elif value is None or is_undefined(value):
        written = "nil"
    elif isinstance(value, bool):
        written = str(value).lower()
    elif isinstance(value, float):
        written = _decimal(value)
    elif isinstance(value, list | tuple):
        written = f"[{', '.join(map(_literal, value))}]"
    elif isinstance(value, Mapping):
        written = "{" + ", ".join(f"{_literal(name)}=>{_literal(one)}" for name, one in value.items()) + "}"
    else:
        written = f"{value.start}..{value.stop - 1}" if isinstance(value, range) else str(value)
    return written


def _decimal(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    digits, exponent, power = repr(value).partition("e")
    return f"{digits}.0e{power}" if exponent and "." not in digits else f"{digits}{exponent}{power}"
