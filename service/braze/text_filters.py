"""python-liquid's filters of texts, made to read a value as Liquid writes it: `true`, and nothing for nil."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from service.braze.filters import text

OF_TEXTS: Final = (
    *("append", "prepend", "remove", "remove_first", "remove_last", "replace", "replace_first", "replace_last"),
)
"""Those whose arguments are texts too."""

OF_A_TEXT: Final = (
    *("capitalize", "downcase", "newline_to_br", "slice", "strip", "strip_html", "strip_newlines", "truncate"),
    *("truncatewords", "upcase", "url_decode", "url_encode"),
)


def text_filters(filters: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """These of python-liquid's filters, by name.

    Args:
        filters: python-liquid's own; it writes Python's `True` and `None` into texts.
    """
    made = {name: _reading(filters[name], every=name in OF_TEXTS) for name in (*OF_TEXTS, *OF_A_TEXT)}
    return {**made, "join": _joining(filters["join"])}


def _plain(value: object) -> object:
    return text(value) if value is None or isinstance(value, bool) else value


def _reading(function: Callable[..., Any], *, every: bool) -> Callable[..., Any]:
    @wraps(function)  # with its marks, by which python-liquid knows what else it takes
    def read(value: object, *arguments: object, **more: object) -> Any:  # noqa: ANN401  # the filter's own result
        return function(_plain(value), *(map(_plain, arguments) if every else arguments), **more)

    return read


def _joining(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def joined(value: object, *arguments: object, **more: object) -> Any:  # noqa: ANN401  # as above
        parts = [_plain(one) for one in value] if isinstance(value, list | tuple) else value
        return function(parts, *map(_plain, arguments), **more)

    return joined
