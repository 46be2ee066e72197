"""What a template writes: its text, its outputs, and where both go to."""

from io import StringIO
from typing import Final, TextIO

from liquid import RenderContext
from liquid.builtin.content import ContentNode, Literal
from liquid.builtin.output import Output
from liquid.builtin.tags.echo_tag import EchoNode, EchoTag
from liquid.output import LimitedStringIO
from liquid.template import BoundTemplate
from liquid.token import Token

from service.braze.source import BLANKS
from service.braze.values import shown

MAX_OUTPUT_BYTES: Final = 2_000_000
"""Of a message. A mail of more than 102 kB is cut off by Gmail; this is twenty times that."""


class _TextNode(ContentNode):
    def __init__(self, token: Token, text: str) -> None:
        super().__init__(token, text)
        self.blank = not text.strip(BLANKS)


class BrazeText(Literal):
    """Text between tags. A block that holds blanks only writes nothing; a no-break space is no blank."""

    node_class = _TextNode


class _ShownNode(EchoNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        return buffer.write(shown(self.expression.evaluate(context)))


class BrazeOutput(Output):
    """`{{ value }}`."""

    node_class = _ShownNode


class BrazeEcho(EchoTag):
    """`{% echo value %}`."""

    node_class = _ShownNode


class _Context(RenderContext):
    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        written = buf.size if isinstance(buf, LimitedStringIO) else 0
        return _buffer(MAX_OUTPUT_BYTES - written)


class BrazeTemplate(BoundTemplate):
    """A template whose line ends come out as they are written."""

    context_class = _Context

    def _get_buffer(self) -> StringIO:
        return _buffer(MAX_OUTPUT_BYTES)


def _buffer(limit: int) -> StringIO:
    return LimitedStringIO(limit, newline="")
