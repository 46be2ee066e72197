"""A change inside a function, made in a running process: the function gets other code."""

import ast
import gc
from collections import defaultdict
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Final

from tools.mutants.checkout import ROOT
from tools.mutants.operators import Edit

_BODY_OF_FUNCTION: Final = 0x01
"""A flag of code that is no module's and no class's: inspect.CO_OPTIMIZED."""

Where = tuple[str, int]
"""A function's qualified name, and the line of its code's beginning."""


class Functions:
    """Those of the service that are loaded."""

    def __init__(self) -> None:
        self._found: defaultdict[tuple[str, Where], list[FunctionType]] = defaultdict(list)
        # Frozen ones are not among the objects otherwise.
        gc.unfreeze()
        for one in gc.get_objects():
            if type(one) is FunctionType and one.__code__.co_filename.startswith(f"{ROOT}/service/"):
                code = one.__code__
                self._found[code.co_filename, (code.co_qualname, code.co_firstlineno)].append(one)
        gc.freeze()

    def change(self, file: str, source: str, edit: Edit) -> bool:
        """Whether it could be done: not outside of a function, nor where a function would close over other names."""
        where = outermost(ast.parse(source), edit)
        functions = self._found.get((str(ROOT / file), where)) if where is not None else None
        if not functions:
            return False
        code = dict(_codes(compile(edit.of(source), str(ROOT / file), "exec", dont_inherit=True))).get(where)
        if code is None or any(one.__code__.co_freevars != code.co_freevars for one in functions):
            return False
        for one in functions:
            one.__code__ = code
        return True


def outermost(tree: ast.Module, edit: Edit) -> Where | None:
    """The outermost function in whose body the edit is; None outside of any, decorators and defaults included."""
    for function, name in _functions(tree, ""):
        if function.body[0].lineno <= edit.line and edit.end_line <= (function.end_lineno or 0):
            return name, min(function.lineno, *(one.lineno for one in function.decorator_list), function.lineno)
    return None


def _functions(tree: ast.AST, prefix: str) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, prefix + node.name
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _functions(node, prefix)


def _codes(code: CodeType) -> Iterator[tuple[Where, CodeType]]:
    """Of the functions that are in no other."""
    for one in code.co_consts:
        if isinstance(one, CodeType):
            if one.co_flags & _BODY_OF_FUNCTION:
                yield (one.co_qualname, one.co_firstlineno), one
            else:
                yield from _codes(one)
