"""A template cut into text, outputs and tags, with the place of each; and Braze's `${attributes}` made Liquid.

Braze's language is not quite Liquid: `{{${user_id}}}` nests brackets, `{% if {{custom_attribute.${x}}} == 1 %}` nests
outputs, and HTML comments are gone before any Liquid is read. So the cutting is ours; expressions stay python-liquid's.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from service.errors import TemplateError

USER: Final = "_u"
"""The variable that holds the user's attributes; `${name}` and `_u.name` have one length, so columns stay right."""

MAX_TEMPLATE_CHARACTERS: Final = 300_000
"""A longer template is refused; a mail of a third of it is cut off by Gmail."""

MAX_EXPRESSION_CHARACTERS: Final = 4_000
"""Between two brackets. Some of the work on an expression grows with the square of its length."""

_TAG: Final = re.compile(r"\s*(#|\w+)\s*(.*?)\s*\Z", re.DOTALL)
_ENDRAW: Final = re.compile(r"\{%-?\s*endraw\s*(-?)%\}")
_ENDCOMMENT: Final = re.compile(r"\{%-?\s*endcomment\s*(-?)%\}")
_SIMPLE: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_KEYWORDS: Final = frozenset(
    (
        *("true", "false", "nil", "null", "empty", "blank", "and", "or", "contains", "not", "in", "offset", "limit"),
        *("reversed", "cols", "continue", "with", "for", "as", "if", "else", "required"),
    )
)
"""Words that python-liquid does not take for a name."""

_OPENING: Final = re.compile(r"\{[{%]")
_BRACKETS: Final = re.compile(r"\$\{[^}]*\}|\{\{|\}\}|\{%")
_RESOLVED: Final = re.compile(r"""("[^"]*"|'[^']*')|(\{\{|\}\})|(?:(\w+)\.)?\$\{([^}]*)\}""")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a template; offsets are those of the template as it was written."""

    kind: Literal["text", "output", "tag"]
    name: str
    """Of a tag."""
    inner: str
    """Of a text all of it, of the others what stands between the brackets and after the name."""
    start: int
    end: int
    inner_start: int


def html_comments(template: str) -> Iterator[tuple[int, int]]:
    """Where the HTML comments are, which Braze removes before it reads any Liquid."""
    end = 0
    while (start := template.find("<!--", end)) >= 0:
        closed = template.find("-->", start + 4)
        if closed < 0:
            return
        end = closed + 3
        yield start, end


class _Without:
    """A template without its HTML comments, and where its characters were."""

    def __init__(self, template: str) -> None:
        kept, starts, shifts, length, last = [], [0], [0], 0, 0
        for start, end in html_comments(template):
            kept.append(template[last:start])
            length += start - last
            last = end
            starts.append(length)
            shifts.append(end - length)
        kept.append(template[last:])
        self.text = "".join(kept)
        self._starts, self._shifts = starts, shifts

    def original(self, offset: int) -> int:
        return offset + self._shifts[bisect_right(self._starts, offset) - 1]


def pieces(template: str) -> list[Piece]:
    """The template's parts, in order; text in `raw` is text, text in `comment` is gone.

    Raises:
        TemplateError: A bracket or a block is not closed; the place is that of its beginning.
    """
    if len(template) > MAX_TEMPLATE_CHARACTERS:
        raise TemplateError(f"a template may have {MAX_TEMPLATE_CHARACTERS:,} characters; this has {len(template):,}")
    without = _Without(template)
    return list(_Cutter(without.text, without).cut())


class _Cutter:
    def __init__(self, text: str, places: _Without) -> None:
        self._text, self._places = text, places
        self._trim = False

    def cut(self) -> Iterator[Piece]:
        at, text = 0, self._text
        while at < len(text):
            match = _OPENING.search(text, at)
            begin = len(text) if match is None else match.start()
            if begin > at:
                yield from self._plain(at, begin, trim_end=text.startswith("-", begin + 2))
            if begin == len(text):
                return
            if text.startswith("{{", begin):
                end = self._output_end(begin)
                piece = self._piece("output", begin, end)
                if piece.inner:
                    yield piece
                at = end
            else:
                end = text.find("%}", begin + 2)
                if end < 0:
                    raise self._error("this tag is never closed: %} is missing", begin)
                at = end + 2
                piece = self._piece("tag", begin, at)
                if piece.name in {"raw", "comment"}:
                    closing = (_ENDRAW if piece.name == "raw" else _ENDCOMMENT).search(text, at)
                    if closing is None:
                        raise self._error(f"{piece.name} is never closed: end{piece.name} is missing", begin)
                    if piece.name == "raw" and closing.start() > at:
                        yield from self._plain(at, closing.start(), trim_end=False)
                    at = closing.end()
                    self._trim = bool(closing[1])
                else:
                    yield piece

    def _plain(self, start: int, end: int, *, trim_end: bool) -> Iterator[Piece]:
        value = self._text[start:end]
        if self._trim:
            value = value.lstrip()
            start = end - len(value)
        if trim_end:
            value = value.rstrip()
        self._trim = False
        if value:
            yield self._made("text", "", value, start, end, start)

    def _piece(self, kind: Literal["output", "tag"], begin: int, end: int) -> Piece:
        self._trim = self._text[end - 3] == "-" and end - begin > 4  # noqa: PLR2004  # `{{-}}` has one dash, not two
        first = begin + 2 + (self._text[begin + 2] == "-")
        inner = self._text[first : end - 2 - self._trim]
        if len(inner) > MAX_EXPRESSION_CHARACTERS:
            raise self._error(f"between two brackets may be {MAX_EXPRESSION_CHARACTERS:,} characters", begin)
        if kind == "output":
            stripped = inner.strip()
            return self._made(kind, "", stripped, begin, end, first + len(inner) - len(inner.lstrip()))
        match = _TAG.match(inner)
        if match is None:
            raise self._error("this tag has no name", begin)
        return self._made(kind, match[1], match[2], begin, end, first + match.start(2))

    def _output_end(self, begin: int) -> int:
        at, depth = begin + 2, 1
        for match in _BRACKETS.finditer(self._text, at, at + 2 * MAX_EXPRESSION_CHARACTERS):
            if match[0] == "{%":
                break
            depth += {"{{": 1, "}}": -1}.get(match[0], 0)
            if depth == 0:
                return match.end()
        raise self._error("this output is never closed: }} is missing", begin)

    def _made(self, kind: Literal["text", "output", "tag"], name: str, inner: str, *offsets: int) -> Piece:
        start, end, inner_start = offsets
        last = self._places.original(end - 1) + 1 if end > start else self._places.original(end)
        return Piece(kind, name, inner, self._places.original(start), last, self._places.original(inner_start))

    def _error(self, problem: str, offset: int) -> TemplateError:
        return TemplateError(problem, self._places.original(offset))


def as_liquid(expression: str) -> str:
    """An expression with `${name}` as a variable and without brackets of nested outputs, mostly of the same length."""
    return _RESOLVED.sub(_resolved, expression)


def _resolved(match: re.Match[str]) -> str:
    quoted, brackets, namespace, name = match.groups()
    if quoted is not None:
        return str(quoted)
    if brackets is not None:
        return "  "
    quote = "'" if '"' in name else '"'
    if namespace is not None:
        return f"{namespace}[{quote}{name}{quote}]"
    if _SIMPLE.fullmatch(name) and name not in _KEYWORDS:
        return f"{USER}.{name}"
    return f"{USER}[{quote}{name}{quote}]"


def line_and_column(template: str, offset: int) -> tuple[int, int]:
    """Line and column of an offset, both from 1."""
    line = template.count("\n", 0, offset) + 1
    return line, offset - (template.rfind("\n", 0, offset) + 1) + 1
