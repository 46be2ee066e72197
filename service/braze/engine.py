"""Renders a template for one user. python-liquid parses expressions and walks the tree; the cutting is `source.py`'s.

Nothing here stops a filter that is slow in itself. A template that nobody has read goes to `sandbox.py`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from liquid import Environment
from liquid.exceptions import LiquidError
from liquid.template import BoundTemplate
from liquid.token import TOKEN_CONTENT, TOKEN_EXPRESSION, TOKEN_OUTPUT, TOKEN_TAG, Token

from service.braze.complaints import (
    MAX_DEPTH,
    MAX_ITERATIONS,
    MAX_VARIABLE_BYTES,
    TOO_DEEP,
    said,
    translated,
)
from service.braze.conditions import BrazeIf, BrazeUnless
from service.braze.filters import FILTERS, NOT_OF_BRAZE
from service.braze.number_filters import number_filters
from service.braze.outputs import MAX_OUTPUT_BYTES, BrazeEcho, BrazeOutput, BrazeTemplate, BrazeText
from service.braze.ports import Caller, Job, Message
from service.braze.source import USER, Piece, as_liquid, first_word, pieces
from service.braze.stand_ins import STAND_INS
from service.braze.tags import (
    CALLER,
    AbortMessage,
    BrazeAssign,
    BrazeCapture,
    BrazeLiquid,
    CallLog,
    ConnectedContent,
    MessageAborted,
)
from service.braze.text_filters import text_filters
from service.errors import TemplateError

MAX_BLOCK_DEPTH: Final = 5
"""Content Blocks within Content Blocks."""

NOT_OF_BRAZE_TAGS: Final = ("include", "render", "doc", "ifchanged")
"""Braze has no files to include, and Content Blocks instead."""

BLOCKS: Final = "content_blocks"
"""The variable that holds the Content Blocks; an `assign` of one gets its text as it is written."""

_BLOCK: Final = re.compile(r"content_blocks\.\$\{([^}]*)\}\s*(?:\|.*)?", re.DOTALL)
_RAW_TAGS: Final = frozenset({"connected_content", "abort_message", "#", *(one.name for one in STAND_INS)})


class BrazeEnvironment(Environment):
    """Tags, filters and limits. Content Blocks become part of the template, as if they were written there."""

    template_class = BrazeTemplate
    block_nesting_limit = MAX_DEPTH
    loop_iteration_limit = MAX_ITERATIONS
    output_stream_limit = MAX_OUTPUT_BYTES
    local_namespace_limit = MAX_VARIABLE_BYTES

    def __init__(self, blocks: Mapping[str, str]) -> None:
        super().__init__()
        self._blocks = blocks
        for name in NOT_OF_BRAZE_TAGS:
            del self.tags[name]
        for tag in (AbortMessage, BrazeAssign, BrazeCapture, BrazeIf, BrazeLiquid, BrazeUnless, ConnectedContent):
            self.add_tag(tag)
        for writer in (BrazeText, BrazeOutput, BrazeEcho):
            self.add_tag(writer)
        for stand_in in STAND_INS:
            self.add_tag(stand_in)
        for name in NOT_OF_BRAZE:
            del self.filters[name]
        for name, function in {**text_filters(self.filters), **number_filters(self.filters), **FILTERS}.items():
            self.add_filter(name, function)

    def __hash__(self) -> int:
        return id(self)

    def error(self, exc: type[LiquidError] | LiquidError, msg: str | None = None, token: Token | None = None) -> None:
        """Raises it, with the place of its tag where it says only that something ended."""
        if isinstance(exc, LiquidError) and token is not None and (exc.token is None or exc.token.start_index < 0):
            exc.token = token
        super().error(exc, msg, token)

    def tokenizer(self) -> Callable[[str], Iterator[Token]]:
        """Cuts a template into python-liquid's tokens."""
        return lambda template: self._tokens(template, 0)

    def _tokens(self, template: str, depth: int) -> Iterator[Token]:
        for piece in pieces(template):
            block = _BLOCK.fullmatch(piece.inner) if piece.kind == "output" else None
            if block is not None:
                yield from self._block(block[1], depth, piece)
            elif piece.kind == "text":
                yield Token(TOKEN_CONTENT, piece.inner, piece.start, template)
            else:
                named = TOKEN_OUTPUT if piece.kind == "output" else TOKEN_TAG
                yield Token(named, piece.name or piece.inner, piece.start, template)
                inner = _inner(piece)
                if inner.strip():
                    yield Token(TOKEN_EXPRESSION, inner, piece.inner_start, template)

    def _block(self, name: str, depth: int, piece: Piece) -> Iterator[Token]:
        if name not in self._blocks:
            raise TemplateError(f"there is no Content Block {name!r}", piece.start)
        if depth == MAX_BLOCK_DEPTH:
            raise TemplateError(f"Content Blocks stand within each other more than {MAX_BLOCK_DEPTH} deep", piece.start)
        try:
            yield from self._tokens(self._blocks[name], depth + 1)
        except TemplateError as error:
            raise TemplateError(f"in the Content Block {name!r}: {error.problem}", piece.start) from error


def _inner(piece: Piece) -> str:
    """What a tag or an output holds, as python-liquid reads it; the tags that read Braze's way get it as it is."""
    if piece.name == "liquid":
        lines = piece.inner.split("\n")
        return "\n".join(one if first_word(one) in _RAW_TAGS else as_liquid(one) for one in lines)
    return piece.inner if piece.name in _RAW_TAGS else as_liquid(piece.inner)


def parse(template: str, blocks: Mapping[str, str] | None = None) -> BoundTemplate:
    """A template, ready to be rendered.

    Raises:
        TemplateError: Braze would refuse it.
    """
    try:
        return BrazeEnvironment(blocks or {}).from_string(template)
    except LiquidError as error:
        raise translated(error, template) from error


@lru_cache(maxsize=32)
def _parsed(template: str, blocks: tuple[tuple[str, str], ...]) -> BoundTemplate:
    return parse(template, dict(blocks))


def render(job: Job, caller: Caller) -> Message:
    """The message of one user.

    Raises:
        TemplateError: Braze would send nothing; says why, and where.
    """
    template = _parsed(job.template, tuple(sorted(job.blocks.items())))
    log = CallLog(caller)
    values = {BLOCKS: job.blocks, **job.namespaces, USER: job.attributes, CALLER: log}
    aborted = None
    text = ""
    try:
        text = template.render(values)
    except MessageAborted as abort:
        aborted = str(abort)
    except LiquidError as error:
        raise translated(error, job.template) from error
    except (ArithmeticError, LookupError, MemoryError, OSError, TypeError, ValueError, AttributeError) as error:
        # A filter got a value that it does not take; which errors that raises is the filter's own affair.
        raise TemplateError(f"a filter cannot take this value: {said(error)}") from error
    except RecursionError as error:
        raise TemplateError(TOO_DEEP) from error
    return Message(text, aborted, tuple(log.made))
