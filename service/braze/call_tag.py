"""What stands in a `connected_content` tag: an address and options, all of which may hold Liquid."""

import re
from dataclasses import dataclass
from typing import Final

FLAGS: Final = frozenset({"no_cache", "retry", "rerender"})
VALUES: Final = frozenset(
    {"save", "cache_max_age", "basic_auth", "auth_credentials", "headers", "method", "body", "content_type"}
)

LEAST_CACHE_SECONDS: Final = 300
MOST_CACHE_SECONDS: Final = 14_400
"""Bounds of `:cache_max_age`. Source: braze.com/docs, Caching responses."""

_SPACE: Final = re.compile(r"\s*")
_OPTION: Final = re.compile(r":(\w+)")


@dataclass(frozen=True, slots=True)
class Option:
    """An option as it is written; `value` is empty for a flag."""

    name: str
    value: str
    at: int


@dataclass(frozen=True, slots=True)
class CallTag:
    """The parts of the tag; `at` counts from the beginning of its expression."""

    url: str
    options: tuple[Option, ...]
    junk: tuple[tuple[str, int], ...]
    """Words that are neither the address nor an option, and where they are."""

    def option(self, name: str) -> str | None:
        """The value of an option; the last one counts; None where it is not there."""
        return next((one.value for one in reversed(self.options) if one.name == name), None)


def parse_call(expression: str) -> CallTag:
    """The parts of what stands after `connected_content`; nothing is refused here."""
    url, at = _word(expression, _skip(expression, 0))
    options: list[Option] = []
    junk: list[tuple[str, int]] = []
    while (at := _skip(expression, at)) < len(expression):
        match = _OPTION.match(expression, at)
        if match is None:
            begin = at
            word, at = _word(expression, at)
            junk.append((word, begin))
            continue
        begin, at = at, match.end()
        value = ""
        if match[1] not in FLAGS:
            first = _skip(expression, at)
            if match[1] == "headers" and expression.startswith("{", first):
                value, at = _object(expression, first)
            elif first < len(expression) and not expression.startswith(":", first):
                value, at = _word(expression, first)
        options.append(Option(match[1], value, begin))
    return CallTag(url, tuple(options), tuple(junk))


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None  # noqa: S101  # an empty match is a match
    return match.end()


def _word(text: str, at: int) -> tuple[str, int]:
    """Up to the next space outside of an output."""
    begin, depth = at, 0
    while at < len(text):
        if text.startswith("{{", at):
            depth += 1
            at += 2
        elif text.startswith("${", at) and "}" in text[at:]:
            at = text.index("}", at) + 1
        elif depth and text.startswith("}}", at):
            depth -= 1
            at += 2
        elif text[at].isspace() and not depth:
            break
        else:
            at += 1
    return text[begin:at], at


def _object(text: str, at: int) -> tuple[str, int]:
    """Up to the bracket that closes the first one."""
    begin, depth = at, 0
    while at < len(text):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
        if not depth:
            break
    return text[begin:at], at
