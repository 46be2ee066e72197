"""What a filter lets through.

Every condition becomes a function from a row to a boolean, and the functions are composed; a row is whatever
the reader of a field takes: a catalogue row, the user's columns, or an item's id.

Longer than 300 lines: each kind of condition stands beside the others, so that one reads how they differ.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import eq, ge, gt, itemgetter, le, lt, ne
from types import MappingProxyType
from typing import Literal, NoReturn, TypeVar, cast

from service.filters.errors import FilterColumnError, FilterDatasetError, FilterValueError
from service.filters.model import (
    Action,
    Comparison,
    Condition,
    Dataset,
    Expression,
    Field,
    Filter,
    Membership,
    Operator,
    Placeholder,
)
from service.filters.values import Value, number_of, split_given, texts_of

MAX_INTERACTIONS_PER_TYPE = 100
"""Latest interactions of a user that count, for each event type.

Source: https://docs.aws.amazon.com/personalize/latest/dg/filter-expressions.html
"""

Row = Mapping[str, Value] | Sequence[Value]
"""An item's columns, by name or by position."""

Shows = Callable[[Row], bool]
"""Whether an item may be shown, given its row."""

_R = TypeVar("_R")
_Test = Callable[[_R], bool]
_Reader = Callable[[_R], Value | frozenset[str]]

_COMPARE: dict[Operator, Callable[[float, float], bool]] = {
    Operator.EQUAL: eq,
    Operator.NOT_EQUAL: ne,
    Operator.LESS: lt,
    Operator.LESS_OR_EQUAL: le,
    Operator.GREATER: gt,
    Operator.GREATER_OR_EQUAL: ge,
}

_NOTHING: Mapping[str, Value] = MappingProxyType({})

_NO_VALUES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ItemPredicate:
    """A filter over a catalogue's columns, ready to be asked.

    Attributes:
        placeholders: Names that a request may give a value, without the ``$``.
        columns: Columns of the catalogue that are read, spelled as the catalogue spells them.
    """

    placeholders: frozenset[str]
    columns: tuple[str, ...]
    _compile: Callable[[Mapping[str, str], Iterable[tuple[str, str]]], Shows]
    _static: Shows | None

    @property
    def is_static(self) -> bool:
        """Whether the answer depends on nothing but the row."""
        return self._static is not None

    def bind(self, values: Mapping[str, str] = _NO_VALUES, interactions: Iterable[tuple[str, str]] = ()) -> Shows:
        """The test for one request: take it once and ask it for every row.

        Args:
            values: Placeholder name to value, written as for Personalize's ``filterValues``: several are
                separated by commas, each may stand in double quotes. Names nobody asks for are ignored. A
                blank value is no value.
            interactions: Of the user asked for, as in ``evaluate``.

        Raises:
            FilterValueError: A placeholder of an ``INCLUDE`` has no value, or a value cannot be read. An
                ``EXCLUDE`` without all its values is skipped as a whole.
        """
        return self._static or self._compile(values, interactions)

    def __call__(self, row: Row, values: Mapping[str, str] = _NO_VALUES) -> bool:
        """Whether the item of this row may be shown; see ``bind``."""
        return self.bind(values)(row)


def compile_item_exclusion(
    exclusion: Filter,
    columns: Sequence[str],
    *,
    rows: Literal["mapping", "sequence"] = "mapping",
    item_id: str | None = None,
) -> ItemPredicate:
    """A test over the rows of a catalogue, for a filter that needs their columns, and perhaps a user's interactions.

    A missing or empty value matches no condition, ``NOT IN`` and ``!=`` included. ``a|b|c`` holds three
    texts: ``IN`` matches if any is listed, ``NOT IN`` if none is. What is not a number matches no comparison.

    Args:
        exclusion: What to exclude, or to include.
        columns: The catalogue's columns. A field is looked for without regard to case.
        rows: Whether rows are asked by column name, or by position in the order of ``columns``.
        item_id: The column that holds an item's id, by which interactions are looked up; None refuses conditions on
            interactions.

    Raises:
        FilterDatasetError: A condition on the current user or the current item, or on interactions without ``item_id``.
        FilterColumnError: A field is no column, or is two that differ in case only.
    """
    known = {Dataset.ITEMS} if item_id is None else {Dataset.ITEMS, Dataset.INTERACTIONS}
    for field in exclusion.fields():
        if field.dataset not in known:
            allowed = " and ".join(sorted(known, reverse=True))
            reason = "there is a catalogue and no more" if item_id is None else "there are a catalogue and events"
            raise FilterDatasetError(
                f"only {allowed} can be asked about here, not {field.dataset}: {reason}",
                exclusion.text,
                field.offset,
            )
    found = {
        field.name: _column(field, columns, exclusion.text)
        for field in exclusion.fields()
        if field.dataset is Dataset.ITEMS
    }

    def of_column(column: str) -> _Reader[Row]:
        return cast("_Reader[Row]", _by_name(column) if rows == "mapping" else itemgetter(columns.index(column)))

    def compile_with(values: Mapping[str, str], interactions: Iterable[tuple[str, str]]) -> Shows:
        event_types = _event_types(interactions)

        def reader(field: Field) -> _Reader[Row]:
            if field.dataset is Dataset.ITEMS:
                return of_column(found[field.name])
            id_of = of_column(item_id or "")
            return lambda row: event_types.get(str(id_of(row)))

        return _shows(_applicable(exclusion, values), reader, current_item=_NOTHING)

    is_static = not exclusion.placeholders and not exclusion.uses_interactions
    static = compile_with(_NO_VALUES, ()) if is_static else None
    return ItemPredicate(exclusion.placeholders, tuple(dict.fromkeys(found.values())), compile_with, static)


def check_columns(checked: Filter, *, items: Sequence[str], users: Sequence[str]) -> None:
    """Refuses a filter with a field that neither the items nor the users have, before anyone asks it.

    Raises:
        FilterColumnError: A field is no column, or is two that differ in case only.
    """
    for field in checked.fields():
        if field.dataset is not Dataset.INTERACTIONS:
            columns = users if field.dataset is Dataset.CURRENT_USER else items
            _column(field, columns, checked.text)


def evaluate(
    applied: Filter,
    *,
    items: Mapping[str, Mapping[str, Value]],
    user: Mapping[str, Value] = _NOTHING,
    interactions: Iterable[tuple[str, str]] = (),
    current_item: Mapping[str, Value] | None = None,
    values: Mapping[str, str] = _NO_VALUES,
) -> Callable[[str], bool]:
    """A test over item ids for one request, with all that Personalize knows.

    Conditions on columns are those of ``compile_item_exclusion``. An expression whose ``IF`` does not hold is
    not applied; when that leaves no ``INCLUDE``, everything not excluded passes.

    Args:
        applied: The filter.
        items: Columns of each item by its id; an item that is not there has no columns.
        user: Columns of the user asked for; empty for an unknown user, for whom no ``IF`` holds.
        interactions: Item id and event type of each of the user's interactions, oldest first. The latest 100
            of each type count. Event types are compared without regard to case. ``NOT IN`` selects items the
            user had interactions with, none of them of a listed type.
        current_item: Columns of the item of a related-items request; None for any other request.
        values: Placeholder name to value; see ``ItemPredicate.bind``.

    Raises:
        FilterDatasetError: ``CurrentItem`` in a request that has none.
        FilterValueError: See ``ItemPredicate.bind``.
    """
    if current_item is None:
        _check_no_current_item(applied)
        current_item = _NOTHING
    event_types = _event_types(interactions)

    def reader(field: Field) -> _Reader[str]:
        if field.dataset is Dataset.INTERACTIONS:
            return event_types.get
        read = _ignoring_case(field.name)
        return lambda item_id: read(items.get(item_id, _NOTHING))

    def user_reader(field: Field) -> _Reader[Mapping[str, Value]]:
        return _ignoring_case(field.name)

    active = [
        expression
        for expression in _applicable(applied, values)
        if _all([_condition(c, user_reader, _NOTHING) for c in expression.only_if])(user)
    ]
    return _shows(active, reader, current_item=current_item)


def _check_no_current_item(applied: Filter) -> None:
    for field in applied.fields():
        if field.dataset is Dataset.CURRENT_ITEM:
            raise FilterDatasetError(
                "CurrentItem can only be used when related items are asked for", applied.text, field.offset
            )


def _column(field: Field, columns: Sequence[str], text: str) -> str:
    if field.name in columns:
        return field.name
    alike = [column for column in columns if column.casefold() == field.name.casefold()]
    if len(alike) == 1:
        return alike[0]
    reason = f"{field} could be any of {', '.join(alike)}" if alike else f"there is no column for {field}"
    raise FilterColumnError(reason, text, field.offset, known=columns)


def _event_types(interactions: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """For each item its event types in lower case, and ``*`` that stands for any."""
    latest: dict[str, deque[str]] = {}
    for item_id, event_type in interactions:
        latest.setdefault(event_type.casefold(), deque(maxlen=MAX_INTERACTIONS_PER_TYPE)).append(item_id)
    types_of: dict[str, set[str]] = {}
    for event_type, item_ids in latest.items():
        for item_id in item_ids:
            types_of.setdefault(item_id, {"*"}).add(event_type)
    return {item_id: frozenset(types) for item_id, types in types_of.items()}


# Placeholders


def _applicable(asked: Filter, values: Mapping[str, str]) -> list[Expression]:
    """The expressions to apply, with values in place of all placeholders."""
    given = {name: split_given(name, values[name]) for name in asked.placeholders if name in values}
    given = {name: listed for name, listed in given.items() if listed}
    return [_filled(e, given) for e in asked.expressions if _has_values(e, given)]


def _has_values(expression: Expression, given: Mapping[str, list[str]]) -> bool:
    missing = next((name for name in expression.placeholders() if name not in given), None)
    if missing is not None and expression.action is Action.INCLUDE:
        raise FilterValueError(missing, "an INCLUDE needs a value for each of its placeholders")
    return missing is None


def _filled(expression: Expression, given: Mapping[str, list[str]]) -> Expression:
    fill = partial(_filled_condition, given=given)
    any_of = tuple(tuple(map(fill, group)) for group in expression.any_of)
    return Expression(expression.action, any_of, tuple(map(fill, expression.only_if)))


def _filled_condition(condition: Condition, given: Mapping[str, list[str]]) -> Condition:
    if isinstance(condition, Comparison):
        if not isinstance(condition.value, Placeholder):
            return condition
        return Comparison(condition.field, condition.operator, _given_number(condition.value.name, given))
    if isinstance(condition.members, Field):
        return condition
    members = [[m] if isinstance(m, str) else given[m.name] for m in condition.members]
    return Membership(condition.field, tuple(t for texts in members for t in texts), negated=condition.negated)


def _given_number(name: str, given: Mapping[str, list[str]]) -> float:
    number = number_of(given[name][0]) if len(given[name]) == 1 else None
    if number is None:
        raise FilterValueError(name, "one number is needed")
    return number


# Tests


def _shows(
    expressions: Iterable[Expression],
    reader: Callable[[Field], _Reader[_R]],
    *,
    current_item: Mapping[str, Value],
) -> _Test[_R]:
    include: list[_Test[_R]] = []
    exclude: list[_Test[_R]] = []
    for expression in expressions:
        groups = [_all([_condition(c, reader, current_item) for c in group]) for group in expression.any_of]
        (include if expression.action is Action.INCLUDE else exclude).append(_any(groups))
    if not exclude:
        return _any(include) if include else _always
    excluded = _any(exclude)
    if not include:
        return lambda row: not excluded(row)
    included = _any(include)
    return lambda row: included(row) and not excluded(row)


def _condition(
    condition: Condition, reader: Callable[[Field], _Reader[_R]], current_item: Mapping[str, Value]
) -> _Test[_R]:
    read = reader(condition.field)
    if isinstance(condition, Comparison):
        limit = _limit(condition.value, current_item)
        return _never if limit is None else _comparison(read, _COMPARE[condition.operator], limit)
    listed = _listed(condition, current_item)
    if not listed:
        return _never
    # No value of a row is the empty text; the test relies on its absence.
    return _membership(read, frozenset(listed) - {""}, negated=condition.negated)


def _limit(value: float | Placeholder | Field, current_item: Mapping[str, Value]) -> float | None:
    if isinstance(value, Field):
        return number_of(_ignoring_case(value.name)(current_item))
    if isinstance(value, Placeholder):
        _unfilled(value)
    return value


def _listed(condition: Membership, current_item: Mapping[str, Value]) -> Collection[str]:
    """The texts to look for; none only if the current item has none."""
    if isinstance(condition.members, Field):
        return texts_of(_ignoring_case(condition.members.name)(current_item))
    texts = [m if isinstance(m, str) else _unfilled(m) for m in condition.members]
    return [t.casefold() for t in texts] if condition.field.dataset is Dataset.INTERACTIONS else texts


def _unfilled(placeholder: Placeholder) -> NoReturn:
    raise AssertionError(f"{placeholder} was not filled")


def _comparison(read: _Reader[_R], compare: Callable[[float, float], bool], limit: float) -> _Test[_R]:
    def matches(row: _R) -> bool:
        number = number_of(cast("Value", read(row)))
        return number is not None and compare(number, limit)

    return matches


def _membership(read: _Reader[_R], listed: frozenset[str], *, negated: bool) -> _Test[_R]:
    def matches(row: _R) -> bool:
        value = read(row)
        if isinstance(value, str):
            if "|" not in value:
                return value != "" and (value in listed) is not negated
            return value.strip("|") != "" and listed.isdisjoint(value.split("|")) is negated
        texts = value if isinstance(value, frozenset) else texts_of(value)
        return bool(texts) and listed.isdisjoint(texts) is negated

    return matches


def _all(tests: Sequence[_Test[_R]]) -> _Test[_R]:
    if len(tests) == 1:
        return tests[0]

    def matches(row: _R) -> bool:
        for test in tests:  # noqa: SIM110 - a generator would cost as much as the tests
            if not test(row):
                return False
        return True

    return matches


def _any(tests: Sequence[_Test[_R]]) -> _Test[_R]:
    if len(tests) == 1:
        return tests[0]

    def matches(row: _R) -> bool:
        for test in tests:  # noqa: SIM110 - a generator would cost as much as the tests
            if test(row):
                return True
        return False

    return matches


def _always(_row: object) -> bool:
    return True


def _never(_row: object) -> bool:
    return False


# Readers


def _by_name(column: str) -> Callable[[Mapping[str, Value]], Value]:
    return lambda row: row.get(column)


def _ignoring_case(name: str) -> Callable[[Mapping[str, Value]], Value]:
    folded = name.casefold()

    def read(row: Mapping[str, Value]) -> Value:
        if name in row:
            return row[name]
        return next((value for column, value in row.items() if column.casefold() == folded), None)

    return read
