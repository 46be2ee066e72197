"""Which columns of the catalogue are which columns of the items dataset."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from service.errors import ConfigurationError

MAX_PROPERTIES_CHARACTERS: Final = 32_000
"""Longest properties of an item, as JSON. Source: Personalize API reference, PutItems."""

_UNLIKE_A_WORD: Final = re.compile(r"[_\s-]+")
_WORD_START: Final = re.compile(r"_+([a-zA-Z0-9])")
_NUMBERS: Final = {"float": float, "double": float, "int": int, "long": int}
_ID: Final = "ITEM_ID"


class ItemProblem(ValueError):
    """This item cannot be put; the message says which column, and why."""


@dataclass(frozen=True, slots=True)
class SchemaColumn:
    """A column of the dataset."""

    name: str
    """As the schema writes it, `CATEGORY_L1`."""

    source: str
    """The catalogue's column."""

    kind: str = ""
    """Avro's type; empty where no schema says it, and then values stay as they are."""

    is_optional: bool = True

    @property
    def key(self) -> str:
        """As PutItems wants it: `categoryL1`."""
        return _WORD_START.sub(lambda match: match[1].upper(), self.name.lower())


@dataclass(frozen=True, slots=True)
class ItemSchema:
    """The columns that are put."""

    columns: tuple[SchemaColumn, ...]

    def properties(self, values: Mapping[str, Any]) -> str:
        """An item's properties as JSON text, the same for the same values.

        Raises:
            ItemProblem: A value is missing or does not fit the schema, or there are too many characters.
        """
        found = {}
        for column in self.columns:
            value = _fitting(values.get(column.source), column)
            if value is not None:
                found[column.key] = value
            elif not column.is_optional:
                raise ItemProblem(f"{column.source}: is missing, and {column.name} is not nullable in the schema")
        text = orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode()
        if len(text) > MAX_PROPERTIES_CHARACTERS:
            raise ItemProblem(
                f"its columns have {len(text):,} characters as JSON; at most {MAX_PROPERTIES_CHARACTERS:,}"
            )
        return text


def schema_of(avro: str, names: Sequence[str]) -> ItemSchema:
    """The columns of a dataset's schema, each with the catalogue's column of the same name, however written.

    Args:
        avro: The schema, as DescribeSchema gives it.
        names: The catalogue's columns.

    Raises:
        ConfigurationError: The catalogue lacks a column that is not nullable.
    """
    by_name = {_folded(name): name for name in reversed(names)}
    columns, missing = [], []
    for field in orjson.loads(avro)["fields"]:
        name, types = str(field["name"]), field["type"]
        if name == _ID:
            continue
        listed = types if isinstance(types, list) else [types]
        kind = next((one for one in listed if isinstance(one, str) and one != "null"), "")
        source = by_name.get(_folded(name))
        if source is not None:
            columns.append(SchemaColumn(name, source, kind, is_optional="null" in listed))
        elif "null" not in listed:
            missing.append(name)
    if missing:
        raise ConfigurationError(
            f"the catalogue has no column for {', '.join(missing)}, which the items dataset needs;"
            " name it with --columns NAME=OURS"
        )
    if not columns:
        raise ConfigurationError("the catalogue has none of the columns of the items dataset")
    return ItemSchema(tuple(columns))


def schema_as_named(pairs: str, names: Sequence[str]) -> ItemSchema:
    """The columns that `--columns` names, `PRICE=price,CATEGORY_L1=category`; without `=` the name is ours in capitals.

    Raises:
        ConfigurationError: The catalogue has no such column.
    """
    columns = []
    for pair in filter(None, (one.strip() for one in pairs.split(","))):
        theirs, equals, ours = (part.strip() for part in pair.partition("="))
        source = ours if equals else theirs
        if source not in names:
            raise ConfigurationError(f"--columns: the catalogue has no column {source}; it has: {', '.join(names)}")
        columns.append(SchemaColumn(theirs if equals else source.upper(), source))
    return ItemSchema(tuple(columns))


def _fitting(value: Any, column: SchemaColumn) -> object:  # noqa: ANN401  # any value of a cell
    """The value as the schema's type wants it; None for none."""
    if value is None or value == "":
        return None
    number = _NUMBERS.get(column.kind)
    if number is not None:
        try:
            return number(float(value)) if number is int else number(value)
        except (TypeError, ValueError):
            raise ItemProblem(f"{column.source}: {str(value)[:40]!r} is no number, and {column.name} is one") from None
    if column.kind == "boolean":
        text = str(value).strip().lower()
        if text not in {"true", "false", "1", "0", "yes", "no"}:
            raise ItemProblem(f"{column.source}: {str(value)[:40]!r} is neither true nor false")
        return text in {"true", "1", "yes"}
    if isinstance(value, list):
        # Categories of several levels, as Personalize's CSV files write them.
        return "|".join(map(str, value))
    if column.kind == "string" and isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if column.kind == "string" else value


def _folded(name: str) -> str:
    return _UNLIKE_A_WORD.sub("", name).casefold()
