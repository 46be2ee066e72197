"""Braze's tags, and Shopify's that treat nil and blank otherwise."""

import re
from collections.abc import Iterable
from typing import Any, Final, TextIO

import orjson
from liquid import RenderContext, TokenStream
from liquid.ast import Node
from liquid.builtin.expressions import BooleanExpression
from liquid.builtin.expressions.logical import (
    EqExpression,
    LogicalAndExpression,
    LogicalOrExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import Blank
from liquid.builtin.tags.assign_tag import AssignTag
from liquid.builtin.tags.capture_tag import CaptureTag
from liquid.builtin.tags.if_tag import IfTag
from liquid.builtin.tags.unless_tag import UnlessTag
from liquid.exceptions import LiquidError, LiquidSyntaxError
from liquid.expression import Expression
from liquid.tag import Tag
from liquid.token import TOKEN_EXPRESSION, TOKEN_TAG, Token
from liquid.undefined import is_undefined

from service.braze.call_tag import FLAGS, LEAST_CACHE_SECONDS, VALUES, CallTag, parse_call
from service.braze.ports import MAX_ANSWER_BYTES, Answer, Call, Caller, Made

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


class BrazeIf(IfTag):
    """`if`, where nil and false are blank."""

    def parse(self, stream: TokenStream) -> Node:
        """The tag."""
        return _with_blank(super().parse(stream))


class BrazeUnless(UnlessTag):
    """`unless`, where nil and false are blank."""

    def parse(self, stream: TokenStream) -> Node:
        """The tag."""
        return _with_blank(super().parse(stream))


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


class _BlankEq(EqExpression):
    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        left, right = self.left.evaluate(context), self.right.evaluate(context)
        return _is_nothing(left, right) or _is_nothing(right, left) or EqExpression.evaluate(self, context)


class _BlankNe(NeExpression):
    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        return not _BlankEq(self.token, self.left, self.right).evaluate(context)


def _is_nothing(value: object, blank: object) -> bool:
    """Whether it is compared with blank, and is nil or false.

    Source: braze.com/docs, Conditional messaging logic, "Blank attribute values".
    """
    return isinstance(blank, Blank) and (value is None or value is False or is_undefined(value))


def _with_blank(node: Any) -> Node:  # noqa: ANN401  # python-liquid's nodes of if and unless
    conditions: Iterable[BooleanExpression] = (
        [node.condition, *(one.expression for one in node.alternatives)] if hasattr(node, "condition") else []
    )
    for condition in conditions:
        condition.expression = _replaced(condition.expression)
    found: Node = node
    return found


def _replaced(expression: Expression) -> Expression:
    if isinstance(expression, LogicalAndExpression | LogicalOrExpression):
        return type(expression)(expression.token, _replaced(expression.left), _replaced(expression.right))
    if isinstance(expression, EqExpression):
        return _BlankEq(expression.token, expression.left, expression.right)
    if isinstance(expression, NeExpression):
        return _BlankNe(expression.token, expression.left, expression.right)
    return expression
