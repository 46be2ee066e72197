"""Conditions of `if` and `unless`: nil and false are blank, and anything may be asked what it contains."""

from collections.abc import Iterable, Mapping
from typing import Any

from liquid import RenderContext, TokenStream
from liquid.ast import Node
from liquid.builtin.expressions import BooleanExpression
from liquid.builtin.expressions.logical import (
    ContainsExpression,
    EqExpression,
    LogicalAndExpression,
    LogicalOrExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import Blank
from liquid.builtin.tags.if_tag import IfTag
from liquid.builtin.tags.unless_tag import UnlessTag
from liquid.expression import Expression
from liquid.undefined import is_undefined

from service.braze.values import text


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


class _BlankEq(EqExpression):
    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        left, right = self.left.evaluate(context), self.right.evaluate(context)
        return _is_nothing(left, right) or _is_nothing(right, left) or EqExpression.evaluate(self, context)


class _Contains(ContainsExpression):
    """A text contains any value as it is written; what can contain nothing contains nothing."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        whole: object = self.left.evaluate(context)
        part: object = self.right.evaluate(context)
        if part is None or part is False or is_undefined(part):
            return False
        if isinstance(whole, str):
            return text(part) in whole
        if isinstance(whole, Mapping):
            return isinstance(part, str) and part in whole
        if isinstance(whole, range):
            return isinstance(part, int | float) and whole.start <= part < whole.stop
        # Python takes true for 1.
        parts: Iterable[object] = whole if isinstance(whole, list | tuple) else ()
        return any(one == part and isinstance(one, bool) == isinstance(part, bool) for one in parts)


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
    if isinstance(expression, ContainsExpression):
        return _Contains(expression.token, expression.left, expression.right)
    if isinstance(expression, NeExpression):
        return _BlankNe(expression.token, expression.left, expression.right)
    return expression
