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
"""Between two brackets; of a `liquid` tag, of a line. Some of the work grows with the square of the length."""

BLANKS: Final = "\t\n\v\f\r "
"""What Ruby takes for blanks. A no-break space is none, and no other of Unicode's spaces."""

STRIPPED: Final = BLANKS + "\0"
"""What Ruby's `strip` takes away."""

NAME: Final = re.compile(rf"[{BLANKS}]*(#|\w+)")
"""Of a tag, behind its bracket or at the beginning of its line."""

_TAG: Final = re.compile(rf"\{{%-?[{BLANKS}]*(#|\w+)")
_ENDRAW: Final = re.compile(rf"\{{%-?[{BLANKS}]*endraw(?!\w)")
_SIMPLE: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_KEYWORDS: Final = frozenset(
    (
        *("true", "false", "nil", "null", "empty", "blank", "and", "or", "contains", "not", "in", "offset", "limit"),
        *("reversed", "cols", "continue", "with", "for", "as", "if", "else", "required"),
    )
)
"""Words that python-liquid does not take for a name."""

_OPENING: Final = re.compile(r"\{[{%]")
_TAG_END: Final = re.compile(r"%\}")
_OUTPUT_END: Final = re.compile(r"\}\}|\{%")
_BRACKETS: Final = re.compile(
    r"""\$\{[^}]*\}|"(?:[^"}]|\}(?!\}))*"|'(?:[^'}]|\}(?!\}))*'|\{\{|\}\}|\{%""",
)
"""What tells where an output ends. Two brackets end it in a text too, as in Liquid; two that begin one do not count."""

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
                at = self._output_end(begin)
                piece = self._piece("output", begin, at)
                if piece.inner:
                    yield piece
                continue
            at = self._end_of_tag(begin)
            piece = self._piece("tag", begin, at)
            if piece.name == "raw":
                if piece.inner:
                    raise self._error("raw takes nothing", begin)
                end, closed = self._raw(at, begin)
                if end > at:
                    yield self._made("text", "", text[at:end], at, end, at)
                at = self._behind(closed)
            elif piece.name == "comment":
                at = self._behind(self._end_of_comment(at, begin))
            else:
                yield piece

    def _plain(self, start: int, end: int, *, trim_end: bool) -> Iterator[Piece]:
        value = self._text[start:end]
        if self._trim:
            value = value.lstrip(STRIPPED)
            start = end - len(value)
        if trim_end:
            value = value.rstrip(STRIPPED)
        self._trim = False
        if value:
            yield self._made("text", "", value, start, end, start)

    def _piece(self, kind: Literal["output", "tag"], begin: int, end: int) -> Piece:
        self._trim = self._text[end - 3] == "-" and end - begin > 4  # noqa: PLR2004  # `{{-}}` has one dash, not two
        first = begin + 2 + (self._text[begin + 2] == "-")
        inner = self._text[first : end - 2 - self._trim]
        match = NAME.match(inner) if kind == "tag" else None
        name = match[1] if match else ""
        if max(map(len, inner.split("\n") if name == "liquid" else [inner])) > MAX_EXPRESSION_CHARACTERS:
            raise self._error(f"between two brackets may be {MAX_EXPRESSION_CHARACTERS:,} characters", begin)
        if kind == "tag" and match is None:
            raise self._error(_nameless(inner), begin)
        rest = inner[match.end() :] if match else inner
        stripped = rest.strip()
        at = end - 2 - self._trim - len(rest.lstrip()) if stripped else first + len(inner) - len(rest)
        if name == "liquid":
            stripped = self._without_comments(stripped, begin)
        return self._made(kind, name, stripped, begin, end, at)

    def _end_of_tag(self, begin: int) -> int:
        end = self._text.find("%}", begin + 2)
        if end < 0:
            raise self._error("this tag is never closed: %} is missing", begin)
        return end + 2

    def _raw(self, at: int, begin: int) -> tuple[int, int]:
        """Where the text of a `raw` ends, and its end tag."""
        match = _ENDRAW.search(self._text, at)
        closed = -1 if match is None else self._text.find("%}", match.end())
        if match is None or closed < 0:
            raise self._error("raw is never closed: endraw is missing", begin)
        return match.start(), closed + 2

    def _end_of_comment(self, at: int, begin: int) -> int:
        """Where a comment ends. Of what it holds, as in Liquid, only brackets and the names of tags are looked at."""
        text, depth = self._text, 1
        while depth and (opening := _OPENING.search(text, at)):
            is_output = text.startswith("{{", opening.start())
            closing = (_OUTPUT_END if is_output else _TAG_END).search(text, opening.end())
            if closing is not None and closing[0] == "{%":
                closing = _TAG_END.search(text, closing.end())
            if closing is None:
                break
            at = closing.end()
            tag = None if is_output else _TAG.match(text, opening.start())
            if tag is not None and tag[1] == "raw":
                _, at = self._raw(at, opening.start())
            elif tag is not None:
                depth += _DEPTHS.get(tag[1], 0)
        if depth:
            raise self._error("comment is never closed: endcomment is missing", begin)
        return at

    def _without_comments(self, lines: str, begin: int) -> str:
        """The lines of a `liquid` tag, as long as before; those of comments and of blanks are inline comments."""
        kept, depth = [], 0
        for line in lines.split("\n"):
            name = first_word(line)
            is_comment = depth > 0 or name == "comment"
            depth = max(0, depth + _DEPTHS.get(name, 0)) if is_comment else 0
            kept.append("#" * len(line) if is_comment or not line.strip() else line)
        if depth:
            raise self._error("comment is never closed: endcomment is missing", begin)
        return "\n".join(kept)

    def _behind(self, end: int) -> int:
        """Go on behind a tag that ends a `raw` or a `comment`."""
        self._trim = self._text[end - 3] == "-"
        return end

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


_DEPTHS: Final = {"comment": 1, "endcomment": -1}


def _nameless(inner: str) -> str:
    """Why a tag has no name."""
    begin = inner.strip(BLANKS)[:1]
    if begin.isspace():
        return f"this tag begins with a space that is none for Liquid, U+{ord(begin):04X}: type it anew"
    return "this tag has no name"


def first_word(line: str) -> str:
    """The name of the tag that a line of a `liquid` tag is; empty if there is none."""
    match = NAME.match(line)
    return match[1] if match else ""


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
