"""Small changes of Python code, each of which a test should notice."""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_SUMS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}
_SAYS_ONLY: Final = frozenset({"_log", "_logger", "span"})
"""Names whose calls change nothing but what is written somewhere."""

_OF_NO_EFFECT: Final = ("dataclass", "lru_cache", "total_ordering")
"""Decorators whose arguments save memory, or keep our own code from writing where it does not."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What stands in the place of some text; lines count from 1, columns are bytes."""

    line: int
    column: int
    end_line: int
    end_column: int
    text: str
    what: str

    def of(self, source: str) -> str:
        """The source with it."""
        lines = source.encode().splitlines(keepends=True)
        before = b"".join(lines[: self.line - 1]) + lines[self.line - 1][: self.column]
        after = lines[self.end_line - 1][self.end_column :] + b"".join(lines[self.end_line :])
        # What comes after it keeps its line numbers.
        text = self.text[:-1] + "\n" * (self.end_line - self.line) + self.text[-1]
        if self.text == "pass":
            text = self.text + "\n" * (self.end_line - self.line)
        return (before + text.encode() + after).decode()


def edits(source: str) -> list[Edit]:
    """Every change of a file, in the order of its text."""
    tree = ast.parse(source)
    _Skipped(tree)
    return sorted(_edits(tree), key=lambda one: (one.line, one.column, one.what))


def _edits(tree: ast.AST) -> Iterator[Edit]:
    for node in ast.walk(tree):
        if getattr(node, "skipped", False):
            continue
        for made, what in _changed(node):
            assert isinstance(node, ast.expr | ast.stmt)  # noqa: S101  # only these have a place
            yield Edit(
                node.lineno,
                node.col_offset,
                node.end_lineno or node.lineno,
                node.end_col_offset or node.col_offset,
                made if isinstance(made, str) else f"({ast.unparse(made)})",
                what,
            )


def _changed(node: ast.AST) -> Iterator[tuple[ast.AST | str, str]]:
    """Each change of a node, and what it is."""
    if isinstance(node, ast.Compare):
        operator = _COMPARISONS[type(node.ops[0])]
        other = copy.deepcopy(node)
        other.ops[0] = operator()
        yield other, operator.__name__
    elif isinstance(node, ast.BoolOp):
        other = copy.deepcopy(node)
        other.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield other, type(other.op).__name__
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand, "without not"
    elif isinstance(node, ast.BinOp) and type(node.op) in _SUMS:
        other = copy.deepcopy(node)
        other.op = _SUMS[type(node.op)]()
        yield other, type(other.op).__name__
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
        value = (not node.value) if isinstance(node.value, bool) else 4 * node.value + 1
        yield ast.Constant(value), f"{node.value} is {value}"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
        other = copy.deepcopy(node)
        assert isinstance(other.func, ast.Name)  # noqa: S101  # as above
        other.func.id = "max" if node.func.id == "min" else "min"
        yield other, other.func.id
    elif isinstance(node, ast.IfExp):
        other = copy.deepcopy(node)
        other.body, other.orelse = node.orelse, node.body
        yield other, "the other way round"
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await):
        yield "pass", f"without {ast.unparse(node)[:40]}"
    elif isinstance(node, ast.Raise):
        yield "pass", "without raise"


class _Skipped(ast.NodeVisitor):
    """Marks what says nothing to a test: annotations, docstrings, log lines, slots, what only types need."""

    def __init__(self, tree: ast.AST) -> None:
        self.visit(tree)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:  # the visitor's names
        """The annotation."""
        _skip(node.annotation)
        self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> None:
        """The annotation."""
        if node.annotation is not None:
            _skip(node.annotation)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:  # as above
        """Decorators and what is returned, in words of types."""
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:  # as above
        """The same."""
        self._visit_function(node)

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.returns is not None:
            _skip(node.returns)
        for one in node.decorator_list:
            if ast.unparse(one).startswith(_OF_NO_EFFECT):
                _skip(one)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:  # as above
        """Type variables, slots and loggers."""
        names = {one.id for one in node.targets if isinstance(one, ast.Name)}
        if names & {"__slots__", "_log", "_logger"} or "TypeVar" in ast.unparse(node.value):
            _skip(node)
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:  # as above
        """Decorators; and ports, whose own bodies and defaults nobody runs."""
        if any(ast.unparse(one).partition("[")[0] == "Protocol" for one in node.bases):
            _skip(node)
        for one in node.decorator_list:
            if ast.unparse(one).startswith(_OF_NO_EFFECT):
                _skip(one)
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:  # as above
        """`zip(strict=)`: it tells of our own mistakes."""
        if node.arg == "strict":
            _skip(node.value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:  # as above
        """Log lines and spans."""
        first = node.func
        while isinstance(first, ast.Attribute):
            first = first.value
        if isinstance(first, ast.Name) and first.id in _SAYS_ONLY:
            _skip(node)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:  # as above
        """Statements that are only a log line."""
        self.generic_visit(node)
        if getattr(node.value, "skipped", False):
            _skip(node)

    def visit_Assert(self, node: ast.Assert) -> None:  # as above
        """For type checkers."""
        _skip(node)

    def visit_If(self, node: ast.If) -> None:  # as above
        """What only types need."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            _skip(node)
        self.generic_visit(node)


def _skip(tree: ast.AST) -> None:
    for node in ast.walk(tree):
        node.skipped = True  # type: ignore[attr-defined]  # a mark of ours
