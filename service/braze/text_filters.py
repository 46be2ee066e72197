"""python-liquid's filters of texts, made to read a value as Liquid writes it: `true`, and nothing for nil."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from service.braze.source import STRIPPED
from service.braze.values import parts_of, text

OF_TEXTS: Final = (
    *("append", "prepend", "remove", "remove_first", "remove_last", "replace", "replace_first", "replace_last"),
)
"""Those whose arguments are texts too."""

OF_A_TEXT: Final = (
    *("capitalize", "downcase", "newline_to_br", "strip_html", "strip_newlines", "truncate", "truncatewords"),
    *("upcase", "url_decode", "url_encode"),
)


def text_filters(filters: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """These of python-liquid's filters, by name.

    Args:
        filters: python-liquid's own; it writes Python's `True` and `None` into texts.
    """
    made = {name: _reading(filters[name], every=name in OF_TEXTS) for name in (*OF_TEXTS, *OF_A_TEXT)}
    return {**made, "slice": _slicing(filters["slice"]), "join": join, "strip": strip}


def strip(value: object) -> str:
    """A text without the blanks at its ends."""
    return text(value).strip(STRIPPED)


def join(value: object, glue: object = " ") -> str:
    """The parts of a list, and of the lists in it, as one text."""
    return text(glue).join(map(text, parts_of(value)))


def _reading(function: Callable[..., Any], *, every: bool) -> Callable[..., Any]:
    @wraps(function)  # with its marks, by which python-liquid knows what else it takes
    def read(value: object, *arguments: object, **more: object) -> Any:  # noqa: ANN401  # the filter's own result
        return function(text(value), *(map(text, arguments) if every else arguments), **more)

    return read


def _slicing(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def sliced(value: object, *arguments: object, **more: object) -> Any:  # noqa: ANN401  # as above
        is_list = isinstance(value, list | tuple | range)
        return function(value if is_list else text(value), *arguments, **more)

    return sliced
