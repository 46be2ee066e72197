"""Rules about guards: what a template does when the list is empty or the call failed."""

import re
from typing import Final

from service.braze.lint.call_site import CallSite
from service.braze.lint.examples import CALL, NAME, PUSH
from service.braze.lint.findings import Hits, Rule
from service.braze.lint.template import Template
from service.braze.lint.uses import LENGTH, STATUS, Use
from service.braze.source import Piece


def _of(call: CallSite, use: Use) -> bool:
    return use.reference is not None and use.reference.call is call


def _is_array(template: Template, call: CallSite) -> bool:
    """Whether the answer is an array: this service's usual one, or one that is used like it."""
    if call.path:
        return not call.is_object
    name = re.escape(call.variable)
    return bool(
        re.search(rf"\b{name}\[\s*\d+\s*\]|\bin\s+(\{{\{{\s*)?{name}\b(?!\.)|\b{name}\.(first|last)\b", template.text)
    )


def _status(template: Template) -> Hits:
    for use in template.uses:
        if STATUS in use.path and use.name == STATUS and use.reference and _is_array(template, use.reference.call):
            yield use.at, use.path


_OPERATOR: Final = re.compile(r"(==|!=|<>|<=|>=|<|>|\bcontains\b)")
_BEFORE: Final = re.compile(r"([\w.]+|''|\"\")[\s}]*(==|!=|<>|<=|>=|<|>)[\s{]*\Z")
_AFTER: Final = re.compile(r"[\s}]*(==|!=|<>|<=|>=|<|>)[\s{]*([\w.]+|''|\"\")")
_TURNED: Final = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def _compared(use: Use) -> tuple[str, str]:
    """The operator that stands behind a value, and the other value; empty where it is asked for its truth."""
    if match := _BEFORE.search(use.lead):
        return _TURNED.get(match[2], match[2]), match[1]
    if match := _AFTER.match(use.rest):
        return match[1], match[2]
    return "", ""


def _size(template: Template) -> Hits:
    for one in template.calls:
        conditions = [use for use in template.uses if _of(one, use) and use.place == "condition"]
        if any(_catches_failure(template, use) for use in conditions):
            continue
        for use in conditions:
            operator, other = _compared(use)
            if other in _EMPTY or (use.name in {"size", "count"} and _is_case(template, use)):
                yield use.at, f"{use.path} {operator} {other}".strip()
            is_low = operator in {"<", "<="} or (operator in {"==", "!=", "<>"} and other == "0")
            if use.name in {"size", "count"} and is_low and other.isdecimal():
                yield use.at, f"{use.path} {operator} {other}"


_EMPTY: Final = frozenset({"empty", "''", '""'})
"""What nothing does not equal."""


def _is_case(template: Template, use: Use) -> bool:
    """Whether a `case` asks for it, so that nothing is the `else`."""
    return any(one.inner_start <= use.at < one.end for one in template.tags("case"))


def _catches_failure(template: Template, use: Use) -> bool:
    """Whether a condition also finds the call that failed."""
    operator, other = _compared(use)
    if other in _EMPTY or _is_case(template, use):
        return use.name == LENGTH
    if use.name == LENGTH or other in {"blank", "nil", "null"} or operator in {">", ">="}:
        return True
    if not operator and not _OPERATOR.match(use.rest.lstrip(" }")):
        return True
    if use.reference is not None and _is_array(template, use.reference.call):
        return False
    return use.name == STATUS and operator in {"==", "!="}


def _no_guard(template: Template) -> Hits:
    otherwise = _with_else(template)
    for one in template.calls:
        uses = [use for use in template.uses if _of(one, use)]
        shown = [use for use in uses if use.place == "output" and "default" not in use.filters]
        if shown and not any(use.place == "condition" or use.at in otherwise for use in uses):
            yield shown[0].at, shown[0].path


def _with_else(template: Template) -> set[int]:
    """Where the lists of those loops are written that say what to do without a list."""
    found: set[int] = set()
    open_blocks: list[Piece] = []
    for piece in template.pieces:
        if piece.name in {"for", "if", "unless", "case"}:
            open_blocks.append(piece)
        elif piece.name in {"endfor", "endif", "endunless", "endcase"} and open_blocks:
            open_blocks.pop()
        elif piece.name == "else" and open_blocks and open_blocks[-1].name == "for":
            begin = open_blocks[-1].inner_start
            found |= {use.at for use in template.uses if begin <= use.at < begin + len(open_blocks[-1].inner)}
    return found


RULES: Final = (
    Rule(
        "status-on-array",
        "An array has no status: the condition is true for everybody, and every message is aborted.",
        "Write {% if r[0].name == blank %}, or ask for format=object.",
        PUSH.replace("r[0].name == blank", "r.__http_status_code__ != 200"),
        PUSH,
        _status,
    ),
    Rule(
        "size-guard",
        "A call that failed leaves nothing. That has no size and is not empty, so the message is sent without items.",
        "Write {% if r[0].name == blank %}: it finds an empty list and a failed call.",
        PUSH.replace("r[0].name == blank", "r.size < 1"),
        PUSH,
        _size,
    ),
    Rule(
        "no-guard",
        "If the list is empty or the call fails, the message is sent with nothing where the items should be.",
        "After the call: {% if r[0].name == blank %}{% abort_message('no items') %}{% endif %}.",
        CALL + NAME,
        PUSH,
        _no_guard,
    ),
)
"""Rules about guards."""
