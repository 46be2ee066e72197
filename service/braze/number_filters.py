"""python-liquid's filters of numbers, made to read a text as Ruby does: `12abc` is 12, and true is no number."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from liquid.exceptions import FilterArgumentError
from liquid.undefined import is_undefined

from service.braze.values import number, parts_of, text

OF_NUMBERS: Final = (
    *("abs", "at_least", "at_most", "ceil", "divided_by", "floor", "minus", "modulo", "plus", "times"),
)
"""Those whose arguments are numbers too."""


_MOST_BITS: Final = 13_000
"""About 4,000 digits. Python writes few more, and a loop that squares a number would otherwise take all its time."""


def number_filters(filters: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """These of python-liquid's filters, by name.

    Args:
        filters: python-liquid's own; it takes `12abc` for 0, and `1e3` for 1000.
    """
    return {**{name: _reading(filters[name]) for name in OF_NUMBERS}, "sum": _summing(filters["sum"])}


def _reading(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def read(value: object, *arguments: object, **more: object) -> Any:  # noqa: ANN401  # the filter's own result
        result = function(number(value), *map(number, arguments), **more)
        if isinstance(result, int) and result.bit_length() > _MOST_BITS:
            raise FilterArgumentError("this number is too large", token=None)
        return result

    return read


def _summing(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def summed(value: object, *name: object, **more: object) -> Any:  # noqa: ANN401  # as above
        return function([_part(one, *name) for one in parts_of(value)], **more)

    return summed


def _part(one: object, name: object = None) -> float | int:
    """What a part of a list, or its field of this name, adds to the sum."""
    if name is None or is_undefined(name):
        return number(one)
    if not isinstance(one, Mapping):
        raise FilterArgumentError(f"sum: there is a part that has no {text(name)!r}", token=None)
    return number(one.get(name))
