"""Errors of python-liquid and of Python, and limits, in words for the author of a template."""

import re
from collections.abc import Callable
from typing import Final

from liquid.exceptions import LiquidError
from liquid.token import TOKEN_EXPRESSION

from service.braze.filters import UNSUPPORTED
from service.braze.outputs import MAX_OUTPUT_BYTES
from service.braze.source import pieces
from service.errors import TemplateError

MAX_DEPTH: Final = 100
"""Blocks within blocks, as in Liquid."""

MAX_ITERATIONS: Final = 100_000
"""Of all loops, inner ones multiplied."""

MAX_VARIABLE_BYTES: Final = 10_000_000
"""Of all variables of a template."""

TOO_DEEP: Final = "this is nested too deep"

_NAMES: Final = {
    **dict.fromkeys(("int", "float"), "a number"),
    **dict.fromkeys(("NoneType", "Undefined"), "nil"),
    "str": "a text",
    "list": "a list",
    "dict": "an object",
    "bool": "true or false",
    "range": "a range",
}
"""Python's types as Liquid calls them."""


def _named(kind: str) -> str:
    return _NAMES.get(kind, "this value")


_WORDS: Final[tuple[tuple[str, Callable[[re.Match[str]], str]], ...]] = (
    (
        r"unknown filter '(\w+)'$",
        lambda found: (
            f"Braze has no filter {found[1]}: {UNSUPPORTED[found[1]]}"
            if found[1] in UNSUPPORTED
            else f"there is no filter {found[1]}"
        ),
    ),
    (
        r"(\w+?)_?(?::|\(\)) .*positional argument",
        lambda found: f"{found[1]}: this filter takes another number of arguments",
    ),
    (
        r"(\w+)\(\) got an unexpected keyword argument '(\w+)'",
        lambda found: f"{found[1]}: this filter has no option {found[2]}",
    ),
    (
        r"'<' and '>' are not supported between '(\w+)' and '(\w+)'",
        lambda found: f"{_named(found[1])} and {_named(found[2])} cannot be compared by < or >",
    ),
    (rf"(.*\bexpected .*), found ({'|'.join(_NAMES)})$", lambda found: f"{found[1]}, and this is {_named(found[2])}"),
    (r"block nesting limit", lambda _: f"blocks stand within each other more than {MAX_DEPTH} deep"),
    (r"loop iteration limit", lambda _: f"the loops take more than {MAX_ITERATIONS:,} turns"),
    (r"range literal length limit", lambda _: "this range is too long"),
    (r"local namespace limit", lambda _: f"the variables hold more than {MAX_VARIABLE_BYTES // 10**6} MB"),
    (r"output stream limit", lambda _: f"the message is longer than {MAX_OUTPUT_BYTES // 10**6} MB"),
)


def translated(error: LiquidError, template: str) -> TemplateError:
    """An error of python-liquid, with its place in the template if it has one."""
    if isinstance(error.__cause__, TemplateError):
        return error.__cause__
    if isinstance(error.__cause__, RecursionError):
        return TemplateError(TOO_DEEP)
    token = error.token
    offset = token.start_index if token is not None and token.source == template and token.start_index >= 0 else None
    message = str(error.message)
    if unclosed := re.match(r"expected tag end(\w+), found end|unexpected tag 'end of expression'", message):
        name = unclosed[1] or "case"
        place = _unclosed(name, template) if offset is None else offset
        return TemplateError(f"{name} is never closed: end{name} is missing", place)
    if "found end of expression" in message and (token is None or token.kind != TOKEN_EXPRESSION):
        # python-liquid has gone on to what stands behind the tag.
        offset = _tag_before(len(template) if offset is None else offset, template)
    for pattern, words in _WORDS:
        if found := re.match(pattern, message):
            return TemplateError(words(found), offset)
    if isinstance(error.__cause__, TypeError):
        return TemplateError("a filter cannot take this value", offset)
    return TemplateError(message, offset)


def _unclosed(name: str, template: str) -> int | None:
    """Where the last block of this name begins that does not end."""
    begun: list[int] = []
    for piece in pieces(template):
        if piece.name == name:
            begun.append(piece.start)
        elif piece.name == f"end{name}" and begun:
            begun.pop()
    return begun[-1] if begun else None


def _tag_before(end: int, template: str) -> int | None:
    tags = [one for one in pieces(template) if one.kind != "text" and one.end <= end]
    return tags[-1].start if tags else None


def said(error: Exception) -> str:
    """What an error of Python says of a value."""
    if isinstance(error, MemoryError):
        return "it needs too much memory"
    if isinstance(error, ArithmeticError):
        return "the number is too large, or is none"
    if isinstance(error, UnicodeError):
        return "it is no text in UTF-8"
    message = str(error)
    if "integer string conversion" in message:
        return "the number has too many digits"
    return message or type(error).__name__
