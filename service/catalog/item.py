"""An item: its five columns, and the record that a catalogue keeps of it.

A record is the item as a JSON object, a line feed, and the values of its further columns as a JSON array. orjson
writes both halves, so neither holds a line feed. An answer takes the object as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
        item.update(zip(columns, orjson.loads(self.extras), strict=True))
        return item

    def further_value(self, place: int) -> str | None:
        """A further column's value as text; None for none."""
        value = orjson.loads(self.extras)[place]
        return None if value is None else str(value)

    def with_further(self, places: Sequence[tuple[str, int]]) -> bytes:
        """The item as a JSON object with further columns at its end, each given by name and place in `extras`."""
        if not places:
            return self.fragment
        extras = orjson.loads(self.extras)
        return self.fragment[:-1] + b"," + orjson.dumps({name: extras[place] for name, place in places})[1:]


def record_of(item: Mapping[str, object], further: Sequence[object]) -> bytes:
    """An item as bytes to keep; see `CatalogRow.from_values` for the arguments.

    Raises:
        NotWritable: JSON cannot hold one of the values.
    """
    return orjson.dumps(item) + b"\n" + orjson.dumps(further)
