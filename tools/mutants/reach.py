"""Which lines a change concerns: its own, or those that use what it changes."""

import ast
import re
from functools import cache
from typing import Final

from tools.mutants.checkout import ROOT
from tools.mutants.operators import Edit

_NAME: Final = re.compile(r"\b[A-Za-z_]\w*\b")

Lines = list[tuple[str, int, int]]
"""A file, a first line and a last one."""


def lines_of(file: str, tree: ast.Module, edit: Edit) -> tuple[Lines, Lines]:
    """Lines that run what is changed, and more if no test runs any of them.

    In a function these are the edit's own. What stands in a function's head is used by its body; an attribute of a
    class, and a module's constant, wherever its name stands.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _within(node, edit):
            body = [(file, node.body[0].lineno, node.end_lineno or node.lineno)]
            return ([(file, edit.line, edit.end_line)] if edit.line >= node.body[0].lineno else body), body
    for statement in tree.body:
        if _within(statement, edit):
            whole = [(file, statement.lineno, statement.end_lineno or statement.lineno)]
            names = [name for one in _with_members(statement) if _within(one, edit) for name in _assigned(one)]
            return ([line for name in names for line in _uses(file, name)] if names else whole), [(file, 1, 1_000_000)]
    return [], [(file, 1, 1_000_000)]


def of_a_route(tree: ast.Module, edit: Edit) -> bool:
    """Whether the edit stands in what a route says of itself, or a router of all its routes, or in what these name."""
    routes = [
        one
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for one in node.decorator_list
        if ast.unparse(one).startswith("router.")
    ]
    routers = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("APIRouter(")
    ]
    said = {name for one in (*routes, *routers) for name in _NAME.findall(ast.unparse(one))}
    named = [node for node in tree.body if not said.isdisjoint(_assigned(node))]
    return any(
        one.lineno <= edit.line and edit.end_line <= (one.end_lineno or 0) for one in (*routes, *routers, *named)
    )


def of_a_figure(tree: ast.Module, edit: Edit) -> bool:
    """Whether the edit changes a constant of the module."""
    return any(
        _within(statement, edit) and any(name.isupper() for name in _assigned(statement)) for statement in tree.body
    )


def _with_members(statement: ast.stmt) -> list[ast.stmt]:
    return [statement, *(statement.body if isinstance(statement, ast.ClassDef) else ())]


def _within(node: ast.stmt, edit: Edit) -> bool:
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
    return first <= edit.line and edit.end_line <= (node.end_lineno or 0)


def _assigned(statement: ast.stmt) -> list[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [one.id for one in targets if isinstance(one, ast.Name)]


def _uses(file: str, name: str) -> Lines:
    places = _places().get(name, [])
    return [place for place in places if place[0] == file or not name.startswith("_")]


@cache
def _places() -> dict[str, Lines]:
    """Where each name stands; of one in a function's head, the body."""
    found: dict[str, Lines] = {}
    for path in sorted((ROOT / "service").rglob("*.py")):
        file, source = str(path.relative_to(ROOT)), path.read_text("utf-8")
        bodies = _bodies(ast.parse(source))
        for number, line in enumerate(source.splitlines(), 1):
            for name in set(_NAME.findall(line)):
                found.setdefault(name, []).append((file, *bodies.get(number, (number, number))))
    return found


def _bodies(tree: ast.Module) -> dict[int, tuple[int, int]]:
    """The first and the last line of a function's body, by each line of its head."""
    return {
        line: (node.body[0].lineno, node.end_lineno or node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for line in range(node.lineno, node.body[0].lineno)
    }
