"""python-liquid's filters of numbers, made to read a text as Ruby does: `12abc` is 12, and true is no number."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from service.braze.values import number

OF_NUMBERS: Final = (
    *("abs", "at_least", "at_most", "ceil", "divided_by", "floor", "minus", "modulo", "plus", "times"),
)
"""Those whose arguments are numbers too."""


def number_filters(filters: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """These of python-liquid's filters, by name.

    Args:
        filters: python-liquid's own; it takes `12abc` for 0, and `1e3` for 1000.
    """
    return {name: _reading(filters[name]) for name in OF_NUMBERS}


def _reading(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def read(value: object, *arguments: object, **more: object) -> Any:  # noqa: ANN401  # the filter's own result
        return function(number(value), *map(number, arguments), **more)

    return read
