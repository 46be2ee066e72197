"""Braze's tags, and Shopify's that treat nil and blank otherwise."""

import re
from collections.abc import Iterator
from typing import Any, Final, TextIO

import orjson
from liquid import Environment, RenderContext, TokenStream
from liquid.ast import Node
from liquid.builtin.tags.assign_tag import AssignTag
from liquid.builtin.tags.capture_tag import CaptureTag
from liquid.builtin.tags.liquid_tag import LiquidTag
from liquid.exceptions import LiquidError, LiquidSyntaxError
from liquid.tag import Tag
from liquid.token import TOKEN_EXPRESSION, TOKEN_TAG, Token

from service.braze.call_tag import FLAGS, LEAST_CACHE_SECONDS, VALUES, CallTag, parse_call
from service.braze.ports import MAX_ANSWER_BYTES, Answer, Call, Caller, Made
from service.braze.source import NAME

CALLER: Final = "_caller"
"""The variable that holds what answers calls; no template can name it, since it is no dictionary."""

MAX_CALLS: Final = 20
"""Calls of one template. Braze documents no bound; more than this is a loop."""

_REASON: Final = re.compile(r"""\(\s*(?:"([^"]*)"|'([^']*)')?\s*\)""")
_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class MessageAborted(Exception):
    """The template decided that this user gets no message; its argument is the reason."""


class CallLog:
    """Makes a template's calls, and remembers them."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.made: list[Made] = []

    def call(self, call: Call, token: Token) -> Answer:
        """The answer to a call."""
        if len(self.made) == MAX_CALLS:
            raise LiquidSyntaxError(f"a template may call {MAX_CALLS} times", token=token)
        answer = self._caller(call)
        self.made.append(Made(call.url, answer.status, answer.problem))
        return answer


class ConnectedContent(Tag):
    """`{% connected_content URL :save name :headers {"X-API-Key": "..."} %}`."""

    name = "connected_content"
    block = False

    def parse(self, stream: TokenStream) -> Node:
        """The tag, with each part that holds Liquid compiled."""
        token = stream.eat(TOKEN_TAG)
        expression = stream.expect(TOKEN_EXPRESSION)
        tag = parse_call(expression.value)
        if tag.junk:
            raise LiquidSyntaxError(f"connected_content does not know {tag.junk[0][0]!r}", token=token)
        for option in tag.options:
            if option.name not in FLAGS | VALUES:
                raise LiquidSyntaxError(f"connected_content has no option :{option.name}", token=token)
            if option.name not in FLAGS and not option.value:
                raise LiquidSyntaxError(f":{option.name} needs a value", token=token)
        saved = tag.option("save")
        if saved is not None and not _NAME.fullmatch(saved):
            raise LiquidSyntaxError(f"{saved!r} is no name of a variable", token=token)
        if (tag.option("method") or "get").lower() not in {"get", "post"}:
            raise LiquidSyntaxError("Connected Content knows the methods get and post", token=token)
        return ConnectedContentNode(token, tag, self.env)


class ConnectedContentNode(Node):
    """Calls when it is rendered. JSON becomes a variable; what is no JSON is pasted."""

    def __init__(self, token: Token, tag: CallTag, env: Any) -> None:  # noqa: ANN401  # python-liquid's environment
        super().__init__(token)
        self.blank = False
        self._saved = tag.option("save") or "connected"
        self._tag = tag
        try:
            self._url = env.from_string(tag.url)
            self._parts = {one.name: env.from_string(one.value) for one in tag.options if one.value}
        except LiquidError as error:
            # The place within the tag's own small template means nothing to a reader of the whole.
            raise LiquidSyntaxError(str(error.message), token=token) from error

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Make the call."""
        log: CallLog = context.globals[CALLER]  # type: ignore[assignment]  # the engine put it there
        answer = log.call(self._call(context), self.token)
        context.assign(self._saved, None)
        if not 200 <= answer.status < 300 or len(answer.text.encode()) > MAX_ANSWER_BYTES:  # noqa: PLR2004  # a 2XX
            return 0
        try:
            value: Any = orjson.loads(answer.text)
        except orjson.JSONDecodeError:
            return buffer.write(answer.text)
        if isinstance(value, dict):
            value["__http_status_code__"] = answer.status
        context.assign(self._saved, value)
        return 0

    def _call(self, context: RenderContext) -> Call:
        part = {name: _rendered(template, context) for name, template in self._parts.items()}
        is_post = part.get("method", "get").lower() == "post"
        kind = part.get("content_type") or ("application/x-www-form-urlencoded" if is_post else "application/json")
        headers = {"Content-Type": kind, "Accept": part.get("content_type", "*/*")}
        try:
            headers |= {str(name): str(value) for name, value in orjson.loads(part.get("headers", "{}")).items()}
        except (orjson.JSONDecodeError, AttributeError):
            raise LiquidSyntaxError(":headers is no JSON object", token=self.token) from None
        body = part.get("body", "")
        if is_post and headers["Content-Type"] == "application/json" and re.fullmatch(r"[^={}\s]+=[^{}]*", body):
            body = orjson.dumps(dict(pair.partition("=")[::2] for pair in body.split("&"))).decode()
        return Call(
            url=_rendered(self._url, context).strip(),
            method="POST" if is_post else "GET",
            headers=headers,
            body=body,
            credential=part.get("basic_auth") or part.get("auth_credentials"),
            cache_seconds=self._cache_seconds(part.get("cache_max_age"), is_post=is_post),
            retry=self._tag.option("retry") is not None,
        )

    def _cache_seconds(self, asked: str | None, *, is_post: bool) -> int | None:
        if self._tag.option("no_cache") is not None or (is_post and asked is None):
            return None
        return int(asked) if asked and asked.isdecimal() else LEAST_CACHE_SECONDS


def _rendered(template: Any, context: RenderContext) -> str:  # noqa: ANN401  # python-liquid's template
    part = context.get_buffer()
    template.render_with_context(context, part, partial=True)
    return part.getvalue()


class AbortMessage(Tag):
    """`{% abort_message("reason") %}`."""

    name = "abort_message"
    block = False

    def parse(self, stream: TokenStream) -> Node:
        """The tag; its reason is a text without Liquid, or nothing."""
        token = stream.eat(TOKEN_TAG)
        expression = stream.expect(TOKEN_EXPRESSION).value if stream.current.kind == TOKEN_EXPRESSION else "()"
        match = _REASON.fullmatch(expression.strip())
        if match is None or "{{" in expression:
            raise LiquidSyntaxError("abort_message takes one text in quotes, without Liquid, or nothing", token=token)
        return _AbortNode(token, match[1] or match[2] or "{% abort_message %} called")


class _AbortNode(Node):
    def __init__(self, token: Token, reason: str) -> None:
        super().__init__(token)
        self._reason = reason

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:  # noqa: ARG002  # Liquid's signature
        raise MessageAborted(self._reason)


class BrazeLiquid(LiquidTag):
    """`liquid`, a tag on each line; read in one go, however many blanks a line has."""

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self._tokenize = _tags_of_lines  # type: ignore[assignment]  # a partial of the same arguments


def _tags_of_lines(source: str, token: Token) -> Iterator[Token]:
    at = token.start_index
    for line in source.split("\n"):
        match = NAME.match(line)
        if match is not None:
            rest = line[match.end() :]
            yield Token(TOKEN_TAG, match[1], at + match.start(1), token.source)
            if rest.strip():
                begin = at + len(line) - len(rest.lstrip())
                yield Token(TOKEN_EXPRESSION, rest.strip(), begin, token.source)
        elif line.strip():
            raise LiquidSyntaxError("a line of liquid begins with the name of a tag", token=token)
        at += len(line) + 1


class BrazeAssign(AssignTag):
    """`assign` to a name of ASCII letters, digits and underscores."""

    def parse(self, stream: TokenStream) -> Any:  # noqa: ANN401  # python-liquid's node
        """The tag."""
        node = super().parse(stream)
        _check_name(node.name, node.token)
        return node


class BrazeCapture(CaptureTag):
    """`capture` into a name of ASCII letters, digits and underscores."""

    def parse(self, stream: TokenStream) -> Any:  # noqa: ANN401  # python-liquid's node
        """The tag."""
        node: Any = super().parse(stream)
        _check_name(node.name, node.token)
        return node


def _check_name(name: str, token: Token) -> None:
    if not name.isascii():
        raise LiquidSyntaxError(f"{name!r}: a variable's name takes ASCII letters, digits and _ only", token=token)
