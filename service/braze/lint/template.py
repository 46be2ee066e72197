"""What a rule looks at: the calls of a template, the values that it uses, and where each is used.

It follows variables as far as `assign` and `for` lead, from top to bottom. It renders nothing.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import Final, Literal

from service.braze.call_tag import parse_call
from service.braze.lint.call_site import OUTPUTS, CallSite
from service.braze.lint.uses import ANY, Kind, Reference, Use, filtered, split_filters, step
from service.braze.source import NAME, Piece, html_comments, pieces
from service.braze.stand_ins import VARIABLES

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
_COMMENT: Final = re.compile(r"\{%-?\s*comment\b")
_BLOCK: Final = re.compile(r"content_blocks\.\$\{([^}]*)\}")
_WORDS: Final = frozenset(
    (
        *("true", "false", "nil", "null", "empty", "blank", "and", "or", "contains", "in", "limit", "offset"),
        *("reversed", "cols", "forloop", "tablerowloop"),
    )
)
_LINE: Final = re.compile(r"[^\n]+")


@dataclass
class Template:
    """A template and what is known of it.

    Attributes:
        text: As it is written.
        channel: `email`, `push`, `content-card`; None: whatever it looks like.
        blocks: Content Blocks by name; None: they are not known.
    """

    text: str
    channel: str | None = None
    blocks: Mapping[str, str] | None = None
    _known: dict[str, Reference | None] = field(default_factory=dict)

    @cached_property
    def pieces(self) -> list[Piece]:
        """Text, outputs and tags; each line of a `liquid` tag is a tag.

        Raises:
            TemplateError: Something is not closed.
        """
        return [part for one in pieces(self.text) for part in (_lines(one) if one.name == "liquid" else [one])]

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

    def is_silent(self, at: int) -> bool:
        """Whether a place is in a `comment`, which is no piece: it stands between two of them, behind the tag."""
        number = bisect_right(self.pieces, at, key=attrgetter("start"))
        before = self.pieces[number - 1].end if number else 0
        return _COMMENT.search(self.text, before, max(before, at)) is not None

    @cached_property
    def _assigned(self) -> set[str]:
        """What any `assign` or `capture` makes: a loop may come back to what stands above it."""
        return {one.inner.partition("=")[0].strip("\"' ") for one in self.tags("assign", "capture")}

    @cached_property
    def uses(self) -> list[Use]:
        """Every value that it uses, in order."""
        return list(self._find_uses())

    @cached_property
    def _captures(self) -> list[tuple[int, int, str]]:
        """Where each capture begins and ends, and what it makes; inner ones first."""
        found, begun = [], []
        for piece in self.tags("capture", "endcapture"):
            if piece.name == "capture":
                begun.append(piece)
            elif begun:
                found.append((begun[-1].end, piece.start, begun.pop().inner.strip("\"' ")))
        return found

    def captured_at(self, at: int) -> str:
        """The variable that a place is captured into; empty if none is."""
        return next((name for begin, end, name in self._captures if begin <= at < end), "")

    @cached_property
    def shown(self) -> dict[str, list[Use]]:
        """The outputs of each variable by its name."""
        found: dict[str, list[Use]] = {}
        for one in self.uses:
            if one.place == "output":
                found.setdefault(one.path, []).append(one)
        return found

    @cached_property
    def _used_blocks(self) -> dict[str, int]:
        """Where each Content Block stands first, by its name."""
        found: dict[str, int] = {}
        for one in self.pieces:
            match = _BLOCK.match(one.inner) if one.kind == "output" else None
            if match:
                found.setdefault(match[1], one.start)
        return found

    def may_be_of_block(self, name: str, at: int) -> bool:
        """Whether a Content Block that stands above makes this variable, as far as the blocks are known."""
        texts = [
            None if self.blocks is None else self.blocks.get(block, "")
            for block, start in self._used_blocks.items()
            if start < at
        ]
        made = re.compile(rf"(?:assign|capture|:save)\s+[\"']?{re.escape(name)}\b")
        return any(one is None or made.search(one) for one in texts)

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
            is_head = number == 0 and bool(head)
            yield replace(use, place=place if is_head else "other", filters=names if is_head else ())

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
                yield Use(at + match.start(), path, self.resolve(path), place, (), is_defined, text, match.start())

    def _assign(self, piece: Piece) -> Iterator[Use]:
        name, equals, value = piece.inner.partition("=")
        if not equals:
            return
        uses = list(self._expression(value, piece.inner_start + len(name) + 1, "other"))
        yield from uses
        head, *filters = split_filters(value)
        names = [match[0] for one in filters if (match := re.search(r"\w+", one))]
        texts = [use.reference for use in uses if use.reference is not None and use.reference.kind == "field"]
        self._known[name.strip()] = filtered(self.resolve(head.strip(" {}")), names, texts)

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
            found = step(found, part)
        return found


def _named(piece: Piece) -> list[str]:
    """The variables that a tag makes, whose values come from no call."""
    if piece.name in VARIABLES:
        return [VARIABLES[piece.name]]
    return [piece.inner.strip("\"' ")] if piece.name in {"capture", "increment", "decrement"} else []


def _lines(piece: Piece) -> Iterator[Piece]:
    """The tags that a `liquid` tag is made of."""
    for line in _LINE.finditer(piece.inner):
        match = NAME.match(line[0])
        if match is not None:
            rest = line[0][match.end() :]
            begin = piece.inner_start + line.start()
            end = begin + len(line[0])
            part = Piece("tag", match[1], rest.strip(), begin + match.start(1), end, end - len(rest.lstrip()))
            yield from _lines(part) if part.name == "liquid" else [part]
