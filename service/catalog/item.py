"""An item: its five columns, and the record that a catalogue keeps of it.

A record is the item as a JSON object, a line feed, and the values of its further columns as a JSON array. orjson
writes both halves, so neither holds a line feed. An answer takes the object as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, Self

import orjson

JSON_TYPES: Final[Mapping[str, str]] = {
    "id": "string",
    "url": "string",
    "name": "string",
    "price": "number",
    "image": "string",
}
"""JSON types of the five columns, as OpenAPI names them."""

ITEM_COLUMNS: Final = tuple(JSON_TYPES)
"""The five columns that every item of an answer has, in its order."""

ROW_BYTES: Final = 300
"""About what a row weighs beside its text."""

NotWritable = orjson.JSONEncodeError
"""A value that JSON cannot hold: lists in lists, deeper than can be written though they could be read."""


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """An item ready to be written out."""

    fragment: bytes
    """The item as a JSON object with `ITEM_COLUMNS`."""

    extras: bytes
    """JSON array of the further columns, in the order of `ItemCatalog.columns`."""

    eligible: bool = True
    """False when the operator's exclusion keeps the item from every answer."""

    @classmethod
    def from_values(cls, item: Mapping[str, object], further: Sequence[object], *, eligible: bool = True) -> Self:
        """The row of an item.

        Args:
            item: The five values, in the order of `ITEM_COLUMNS`.
            further: The values of the further columns.
            eligible: Whether the operator's exclusion lets it through.

        Raises:
            NotWritable: JSON cannot hold one of the values.
        """
        return cls(orjson.dumps(item), orjson.dumps(further), eligible)

    @classmethod
    def from_record(cls, record: bytes, *, eligible: bool) -> Self:
        """The row of an item that `record_of` packed."""
        fragment, _, extras = record.partition(b"\n")
        return cls(fragment, extras, eligible)

    def values(self, columns: Sequence[str]) -> dict[str, Any]:
        """Every value by column name; `columns` names the further ones."""
        item: dict[str, Any] = orjson.loads(self.fragment)
        # A column that became known after the item was read has no value in it.
        item.update(zip_longest(columns, orjson.loads(self.extras)))
        return item

    def further_value(self, place: int) -> str | None:
        """A further column's value as text; None for none."""
        extras = orjson.loads(self.extras)
        value = extras[place] if place < len(extras) else None
        return None if value is None else str(value)

    def with_further(self, places: Sequence[tuple[str, int | None]]) -> bytes:
        """The item as a JSON object with further columns at its end.

        Args:
            places: Each by name and place in `extras`; without a place it is null.
        """
        if not places:
            return self.fragment
        extras = orjson.loads(self.extras)
        further = {name: extras[place] if place is not None and place < len(extras) else None for name, place in places}
        return self.fragment[:-1] + b"," + orjson.dumps(further)[1:]


def record_of(item: Mapping[str, object], further: Sequence[object]) -> bytes:
    """An item as bytes to keep; see `CatalogRow.from_values` for the arguments.

    Raises:
        NotWritable: JSON cannot hold one of the values.
    """
    return orjson.dumps(item) + b"\n" + orjson.dumps(further)


def row_bytes(row: CatalogRow) -> int:
    """What a row weighs in memory, about."""
    return ROW_BYTES + len(row.fragment) + len(row.extras)
