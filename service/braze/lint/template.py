"""What a rule looks at: the calls of a template, the values that it uses, and where each is used.

It follows variables as far as `assign` and `for` lead, from top to bottom. It renders nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

from service.braze.call_tag import parse_call
from service.braze.lint.call_site import OUTPUTS, CallSite
from service.braze.source import Piece, html_comments, pieces

CONDITIONS: Final = frozenset({"if", "elsif", "unless", "case", "when"})
STRINGS: Final = re.compile(r"\"[^\"]*\"|'[^']*'")
_HTML: Final = re.compile(
    r"<(?:!doctype|html|body|head|table|t[rdh]|div|p|a|img|span|br|h[1-6]|li|[ou]l|strong|b|i|style)\b", re.IGNORECASE
)
_SEGMENT: Final = re.compile(r"\.?([A-Za-z_]\w*)|\[\s*(-?\d+)\s*\]|\[\s*[\"']([^\"']*)[\"']\s*\]|\[([^\]]*)\]")
_PATH: Final = re.compile(r"(?<![\w.$\"'])[A-Za-z_]\w*(?:\.\w+|\[[^\]]*\])*(?![\w{(:])")
_CURLY: Final = re.compile(
    "[\N{LEFT SINGLE QUOTATION MARK}\N{LEFT DOUBLE QUOTATION MARK}].*?"
    "[\N{RIGHT SINGLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}]"
)
_WORDS: Final = frozenset(
    (
        *("true", "false", "nil", "null", "empty", "blank", "and", "or", "contains", "in", "limit", "offset"),
        *("reversed", "cols", "forloop", "tablerowloop"),
    )
)
_KEEPS_LIST: Final = frozenset({"reverse", "slice", "where", "sort", "sort_natural", "uniq", "compact", "concat"})

ANY: Final = "*"
"""An index that a variable holds."""

Kind = Literal["list", "item", "object", "field", "other"]


@dataclass(frozen=True, slots=True)
class Reference:
    """What a value comes from."""

    call: CallSite
    kind: Kind
    index: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """A value where it is used.

    Attributes:
        at: Where it is written.
        path: As it is written, `items[0].name`.
        reference: What it comes from; None if from no call.
        place: An output, a condition, or something else.
        filters: Those on an output, by name.
    """

    at: int
    path: str
    reference: Reference | None
    place: Literal["output", "condition", "other"]
    filters: tuple[str, ...] = ()
    is_defined: bool = True


@dataclass
class Template:
    """A template and what is known of it.

    Attributes:
        text: As it is written.
        channel: `email`, `push`, `content-card`; None: whatever it looks like.
    """

    text: str
    channel: str | None = None
    _known: dict[str, Reference | None] = field(default_factory=dict)

    @cached_property
    def pieces(self) -> list[Piece]:
        """Text, outputs and tags.

        Raises:
            TemplateError: Something is not closed.
        """
        return pieces(self.text)

    @cached_property
    def calls(self) -> list[CallSite]:
        """Every call that is made."""
        return [CallSite(one, parse_call(one.inner)) for one in self.pieces if one.name == "connected_content"]

    @cached_property
    def is_html(self) -> bool:
        """Whether it is shown as HTML."""
        if self.channel is not None:
            return self.channel == "email"
        return any(one.kind == "text" and _HTML.search(one.inner) for one in self.pieces)

    @cached_property
    def comments(self) -> list[tuple[int, int]]:
        """Where HTML comments are."""
        return list(html_comments(self.text))

    @cached_property
    def _assigned(self) -> set[str]:
        """What any `assign` or `capture` makes: a loop may come back to what stands above it."""
        return {one.inner.partition("=")[0].strip("\"' ") for one in self.tags("assign", "capture")}

    @cached_property
    def uses(self) -> list[Use]:
        """Every value that it uses, in order."""
        return list(self._find_uses())

    def tags(self, *names: str) -> Iterator[Piece]:
        """The tags of these names."""
        return (one for one in self.pieces if one.kind == "tag" and one.name in names)

    def _find_uses(self) -> Iterator[Use]:
        self._known = {}
        calls = {one.piece.start: one for one in self.calls}
        for piece in self.pieces:
            if piece.kind == "output" or piece.name == "echo":
                yield from self._expression(piece.inner, piece.inner_start, "output")
            elif piece.start in calls:
                yield from self._call(calls[piece.start])
            elif piece.name in CONDITIONS:
                yield from self._paths(piece.inner, piece.inner_start, "condition")
            elif piece.name == "assign":
                yield from self._assign(piece)
            elif piece.name in {"for", "tablerow"}:
                yield from self._loop(piece)
            else:
                self._known |= dict.fromkeys(_named(piece))

    def _call(self, call: CallSite) -> Iterator[Use]:
        for match in OUTPUTS.finditer(call.piece.inner):
            yield from self._expression(match[0][2:-2], call.at + match.start() + 2, "other")
        kind: Kind = ("object" if call.is_object else "list") if call.path else "other"
        self._known[call.variable] = Reference(call, kind)

    def _expression(self, text: str, at: int, place: Literal["output", "other"]) -> Iterator[Use]:
        head, *rest = split_filters(text)
        names = tuple(match[0] for one in rest if (match := re.search(r"\w+", one)))
        for number, use in enumerate(self._paths(text, at, place)):
            yield (
                Use(use.at, use.path, use.reference, place, names, use.is_defined)
                if number == 0 and head
                else Use(use.at, use.path, use.reference, "other", (), use.is_defined)
            )

    def _paths(self, text: str, at: int, place: Literal["output", "condition", "other"]) -> Iterator[Use]:
        text = _CURLY.sub(lambda match: " " * len(match[0]), text)
        hidden = STRINGS.sub(lambda match: match[0][0] + " " * (len(match[0]) - 2) + match[0][0], text)
        # A filter's name is no value.
        hidden = re.sub(r"\|\s*\w+", lambda match: " " * len(match[0]), hidden)
        hidden = re.sub(r"(?:\w+\.)?\$\{[^}]*\}(?:\.\w+|\[[^\]]*\])*", lambda match: " " * len(match[0]), hidden)
        for match in _PATH.finditer(hidden):
            path = text[match.start() : match.end()]
            if match[0] not in _WORDS and match[0].partition(".")[0] not in _WORDS:
                root = re.split(r"[.\[]", path, maxsplit=1)[0]
                is_defined = root in self._known or root in self._assigned
                yield Use(at + match.start(), path, self.resolve(path), place, (), is_defined)

    def _assign(self, piece: Piece) -> Iterator[Use]:
        name, equals, value = piece.inner.partition("=")
        if not equals:
            return
        yield from self._expression(value, piece.inner_start + len(name) + 1, "other")
        head, *filters = split_filters(value)
        source = self.resolve(head.strip(" {}"))
        names = [match[0] for one in filters if (match := re.search(r"\w+", one))]
        if source is not None and source.kind == "list" and names and names[0] in {"first", "last"}:
            source = Reference(source.call, "item")
        elif names and not (source is not None and source.kind == "list" and set(names) <= _KEEPS_LIST):
            source = None
        self._known[name.strip()] = source

    def _loop(self, piece: Piece) -> Iterator[Use]:
        name, _, rest = piece.inner.partition(" in ")
        yield from self._paths(rest, piece.inner_start + len(name) + 4, "other")
        words = rest.split()
        source = self.resolve(words[0].strip("{}")) if words else None
        item = Reference(source.call, "item" if source.kind == "list" else "other") if source is not None else None
        self._known[name.strip()] = item

    def resolve(self, path: str) -> Reference | None:
        """What a path comes from, as far as the template has been read."""
        parts = [int(match[2]) if match[2] else match[1] or match[3] or ANY for match in _SEGMENT.finditer(path)]
        found = self._known.get(str(parts[0])) if parts else None
        for part in parts[1:]:
            if found is None:
                return None
            found = _step(found, part)
        return found


def _named(piece: Piece) -> list[str]:
    """The variables that a tag makes, whose values come from no call."""
    if piece.name in {"capture", "increment", "decrement"}:
        return [piece.inner.strip("\"' ")]
    return (
        re.findall(r"^\s*(?:assign|capture|for)\s+(\w+)", piece.inner, re.MULTILINE) if piece.name == "liquid" else []
    )


def _step(found: Reference, part: str | int) -> Reference:
    call = found.call
    name = str(part)
    if found.kind == "list" and part == "size":
        step = Reference(call, "field", name="size")
    elif found.kind == "list" and (isinstance(part, int) or part in {ANY, "first", "last"}):
        step = Reference(call, "item", index=part if isinstance(part, int) else None)
    elif found.kind == "list":
        step = Reference(call, "field", name=f"list.{name}")
    elif found.kind == "object":
        step = Reference(call, "list") if part == "items" else Reference(call, "field", name=f"object.{name}")
    else:
        kind: Kind = "field" if found.kind == "item" else "other"
        step = Reference(call, kind, found.index, name)
    return step


def split_filters(text: str) -> list[str]:
    """An expression cut at each `|` outside of quotes and of `${}`."""
    hidden = re.sub(r"\"[^\"]*\"|'[^']*'|\$\{[^}]*\}", lambda match: "\0" * len(match[0]), text)
    parts, begin = [], 0
    for match in re.finditer(r"\|", hidden):
        parts.append(text[begin : match.start()])
        begin = match.end()
    return [*parts, text[begin:]]
