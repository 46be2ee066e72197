"""The tree of a filter: frozen values, equal when they mean the same, printable as an expression."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

_PLAIN_NAME = re.compile(r"[^\W\d]\w*")


class Action(StrEnum):
    """What happens to the items an expression selects."""

    INCLUDE = "INCLUDE"
    EXCLUDE = "EXCLUDE"


class Dataset(StrEnum):
    """Where a field is looked up."""

    INTERACTIONS = "Interactions"
    ITEMS = "Items"
    CURRENT_USER = "CurrentUser"
    CURRENT_ITEM = "CurrentItem"


class Operator(StrEnum):
    """How a number is compared."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a dataset, named as the expression names it."""

    dataset: Dataset
    name: str
    offset: int = field(default=0, compare=False, repr=False)
    """Where it stands in the filter's text, for errors found later."""

    def __str__(self) -> str:
        return f"{self.dataset}.{self.name if self.is_plain else _quoted(self.name)}"

    @property
    def is_plain(self) -> bool:
        """Whether its name needs no quotes; Amazon knows no other names."""
        return _PLAIN_NAME.fullmatch(self.name) is not None


@dataclass(frozen=True, slots=True)
class Placeholder:
    """``$NAME``: a value that comes with the request."""

    name: str

    def __str__(self) -> str:
        return f"${self.name}"


@dataclass(frozen=True, slots=True)
class Membership:
    """``IN`` and ``NOT IN``: exact text against a list."""

    field: Field
    members: tuple[str | Placeholder, ...] | Field
    """The list, or the field of the current item that holds it."""
    negated: bool = False

    def __str__(self) -> str:
        operator = "NOT IN" if self.negated else "IN"
        if isinstance(self.members, Field):
            return f"{self.field} {operator} {self.members}"
        listed = ", ".join(_quoted(m) if isinstance(m, str) else str(m) for m in self.members)
        return f"{self.field} {operator} ({listed})"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A number against a number."""

    field: Field
    operator: Operator
    value: float | Placeholder | Field
    """A finite number, or where it comes from: the request, or a field of the current item."""

    def __str__(self) -> str:
        value = _number_text(self.value) if isinstance(self.value, float) else str(self.value)
        return f"{self.field} {self.operator} {value}"


Condition = Membership | Comparison


@dataclass(frozen=True, slots=True)
class Expression:
    """One ``EXCLUDE`` or ``INCLUDE``."""

    action: Action
    any_of: tuple[tuple[Condition, ...], ...]
    """Alternatives (``OR``), each a group of conditions that must all match (``AND``)."""
    only_if: tuple[Condition, ...] = ()
    """Conditions on the current user (``IF``) that must all match, or the expression does not apply."""

    def __str__(self) -> str:
        where = " OR ".join(_all_text(group) for group in self.any_of)
        only_if = f" IF {_all_text(self.only_if)}" if self.only_if else ""
        return f"{self.action} ItemID WHERE {where}{only_if}"

    def conditions(self) -> Iterator[Condition]:
        """All conditions in the order they are written, those of the ``IF`` last."""
        for group in self.any_of:
            yield from group
        yield from self.only_if

    def placeholders(self) -> Iterator[str]:
        """Names of placeholders in the order they are written, repeated as written."""
        for condition in self.conditions():
            given = condition.members if isinstance(condition, Membership) else (condition.value,)
            if not isinstance(given, Field):
                yield from (value.name for value in given if isinstance(value, Placeholder))


@dataclass(frozen=True)
class Filter:
    """A whole filter: expressions chained with ``|``, in the order written.

    ``str()`` gives one canonical expression that parses to an equal tree.
    """

    expressions: tuple[Expression, ...]
    text: str = field(default="", compare=False, repr=False)
    """What it was parsed from, for errors found later."""

    def __str__(self) -> str:
        return " | ".join(map(str, self.expressions))

    @cached_property
    def placeholders(self) -> frozenset[str]:
        """Names that may be given a value, without the ``$``; they are case-sensitive."""
        return frozenset(name for expression in self.expressions for name in expression.placeholders())

    @cached_property
    def uses_interactions(self) -> bool:
        """Whether it asks what the user did."""
        return any(field.dataset is Dataset.INTERACTIONS for field in self.fields())

    def fields(self) -> Iterator[Field]:
        """All fields in the order they are written, repeated as written."""
        for expression in self.expressions:
            for condition in expression.conditions():
                yield condition.field
                other = condition.members if isinstance(condition, Membership) else condition.value
                if isinstance(other, Field):
                    yield other


def _all_text(group: tuple[Condition, ...]) -> str:
    return " AND ".join(map(str, group))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _number_text(number: float) -> str:
    return repr(number).removesuffix(".0")
