"""What type each column has, by its values, and the schema that follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from service.pipeline.data.columns import is_valid_name
from service.pipeline.data.limits import REQUIRED, RESERVED, DatasetKind
from service.pipeline.data.tables import Dataset, Workspace, quoted

ColumnType = Literal["int", "long", "float", "double", "boolean", "categorical", "textual", "string"]

NUMERIC_SHARE: Final = 0.9
"""From this share of numbers on, a column is one of numbers, and the other values are mistakes."""

MAX_CATEGORIES: Final = 1_000
MAX_CATEGORY_SHARE: Final = 0.5
"""A column of text with more distinct values, by number or by share of the rows, is no category."""

MIN_TEXT_CHARACTERS: Final = 40
"""Mean length from which on an item's text may be worth its own understanding."""

NULL_WORDS: Final = ("NaN", "nan", "NULL", "Null", "null", "None", "none", "\\N", "N/A", "n/a", "NA", "<NA>")
"""How pandas, databases and people write that there is no value."""

_MAX_INT: Final = 2**31
_FLOATS: Final = frozenset({"EVENT_VALUE"})
_NAMES: Final[Mapping[DatasetKind, str]] = {"interactions": "Interactions", "items": "Items", "users": "Users"}


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """A column with what its values say."""

    name: str
    type: ColumnType

    is_nullable: bool
    """At least one row has no value."""

    is_empty: bool
    """No row has one."""

    values: int
    distinct: int
    """About."""


def infer_types(workspace: Workspace, dataset: Dataset) -> dict[str, TypedColumn]:
    """The type of each column of a loaded dataset, in order."""
    return {name: _infer(workspace, dataset, name) for name in dataset.names}


def _infer(workspace: Workspace, dataset: Dataset, name: str) -> TypedColumn:
    kind = dataset.kind
    if name in REQUIRED[kind]:
        return TypedColumn(
            name, "long" if name == "TIMESTAMP" else "string", is_nullable=False, is_empty=False, values=0, distinct=0
        )
    words = ", ".join(f"'{word}'" for word in NULL_WORDS)
    value = f"nullif(trim({quoted(name)}), '')"
    [(values, numbers, whole, largest, truths, distinct, mean)] = workspace.ask(f"""
        SELECT count(v) FILTER (v NOT IN ({words})),
               count(*) FILTER (isfinite(n)),
               count(*) FILTER (isfinite(n) AND n = floor(n) AND NOT contains(v, '.') AND NOT contains(lower(v), 'e')),
               max(abs(n)) FILTER (isfinite(n)),
               count(*) FILTER (lower(v) IN ('true', 'false')),
               approx_count_distinct(v) FILTER (v NOT IN ({words})),
               avg(length(v)) FILTER (v NOT IN ({words}))
        FROM (SELECT v, TRY_CAST(v AS DOUBLE) AS n FROM (SELECT {value} AS v FROM {kind}))""")
    type_ = _type(kind, name, values, numbers, whole, largest or 0.0, truths, distinct, mean or 0.0)
    return TypedColumn(
        name, type_, is_nullable=values < dataset.rows, is_empty=not values, values=values, distinct=distinct
    )


def _type(  # noqa: PLR0911, PLR0917  # a ladder of types, over the figures of one column
    kind: DatasetKind,
    name: str,
    values: int,
    numbers: int,
    whole: int,
    largest: float,
    truths: int,
    distinct: int,
    mean_characters: float,
) -> ColumnType:
    if name in RESERVED[kind]:
        fixed = RESERVED[kind][name]
        return "float" if fixed == "float" else "long" if fixed == "long" else "string"
    if values and truths >= NUMERIC_SHARE * values:
        return "boolean"
    if values and numbers >= NUMERIC_SHARE * values:
        if whole < numbers:
            return "float"
        return "int" if largest < _MAX_INT else "long"
    if kind == "items" and mean_characters >= MIN_TEXT_CHARACTERS and distinct > MAX_CATEGORY_SHARE * values:
        return "textual" if not _is_address(name) else "string"
    if distinct <= MAX_CATEGORIES and distinct <= max(MAX_CATEGORY_SHARE * values, 1):
        return "categorical"
    return "string"


def _is_address(name: str) -> bool:
    return any(word in name.upper() for word in ("URL", "IMAGE", "LINK", "URI", "PHOTO"))


def schema_of(kind: DatasetKind, columns: Mapping[str, TypedColumn]) -> dict[str, Any]:
    """The Avro schema of a dataset, for `create_schema`.

    The best column of text becomes the textual one, since Personalize takes one. Columns that are empty or whose name
    no schema may hold are left out.

    Source: https://docs.aws.amazon.com/personalize/latest/dg/how-it-works-dataset-schema.html
    """
    order = [*(name for name in REQUIRED[kind] if name in columns), *(n for n in columns if n not in REQUIRED[kind])]
    textual = _best_text([columns[name] for name in order])
    return {
        "type": "record",
        "name": _NAMES[kind],
        "namespace": "com.amazonaws.personalize.schema",
        "fields": [
            _field(kind, columns[name], is_textual=name == textual)
            for name in order
            if is_valid_name(name) and not columns[name].is_empty
        ],
        "version": "1.0",
    }


def _best_text(columns: Sequence[TypedColumn]) -> str | None:
    texts = [column for column in columns if column.type == "textual"]
    # `description` before `title`: the name that says so, else the one with most different values.
    best = max(texts, key=lambda one: ("DESCRIPTION" in one.name.upper(), one.distinct), default=None)
    return best.name if best else None


def _field(kind: DatasetKind, column: TypedColumn, *, is_textual: bool) -> dict[str, Any]:
    plain = "string" if column.type in {"categorical", "textual", "string"} else column.type
    # The next export may lack a value where this one has them all, and a schema that is in use only ever grows.
    is_nullable = column.name not in REQUIRED[kind] and column.name != "EVENT_TYPE"
    field: dict[str, Any] = {"name": column.name, "type": ["null", plain] if is_nullable else plain}
    if column.type == "categorical":
        field["categorical"] = True
    if is_textual:
        field["textual"] = True
    return field
