"""Which column of a source holds which column of an item."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.catalog.item import ITEM_COLUMNS
from service.errors import CatalogError

_OTHER_NAMES: Final = {"id": ("item_id",)}
"""Names by which an item's column is found besides its own."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a row holds what."""

    names: tuple[str, ...]
    """All columns by place; empty for a cell that has no name."""

    ours: Mapping[str, str]
    """Names of the source by `ITEM_COLUMNS`."""

    further: tuple[str, ...]
    """Names of all other columns, in the source's order."""

    @classmethod
    def matched(cls, names: Sequence[str], column_mapping: Mapping[str, str], label: str) -> "Columns":
        """Find an item's columns among the source's.

        A column is found under our name in any case, id also under ITEM_ID.

        Args:
            names: All columns of the source by place.
            column_mapping: Our name to the source's, for columns that are called otherwise.
            label: Names the source in errors.

        Raises:
            CatalogError: A column is not there, or the mapping names what it cannot.
        """
        ours = _matched([name for name in names if name], column_mapping, label)
        taken = set(ours.values())
        return cls(tuple(names), ours, tuple(name for name in names if name and name not in taken))

    @property
    def texts(self) -> frozenset[str]:
        """The source's names of an item's columns: they stay text, and the price has rules of its own."""
        return frozenset(self.ours.values())

    @property
    def for_filters(self) -> list[str]:
        """What a filter may ask for: the source's columns, and ours where that is no second meaning."""
        named = [name for name in self.names if name]
        lower = {name.lower() for name in named}
        return [*named, *(name for name in ITEM_COLUMNS if name not in lower)]


def _matched(names: Sequence[str], column_mapping: Mapping[str, str], label: str) -> dict[str, str]:
    """Our name to the source's."""
    unknown = sorted(set(column_mapping) - set(ITEM_COLUMNS))
    if unknown:
        raise CatalogError(f"CATALOG_COLUMNS: {', '.join(unknown)}: only {', '.join(ITEM_COLUMNS)} can be mapped")
    if not names:
        raise CatalogError(f"{label}: no usable row (it is empty, or nothing in it is a row)")
    found = {ours: _match(ours, names, column_mapping) for ours in ITEM_COLUMNS}
    missing = [column_mapping.get(ours, ours) for ours, theirs in found.items() if theirs is None]
    if missing:
        there = ", ".join(names)[:200]
        raise CatalogError(f"{label}: no column {', '.join(missing)}; it has {there}")
    return {ours: theirs for ours, theirs in found.items() if theirs is not None}


def _match(ours: str, names: Sequence[str], column_mapping: Mapping[str, str]) -> str | None:
    if ours in column_mapping:
        return column_mapping[ours] if column_mapping[ours] in names else None
    if ours in names:
        return ours
    for wanted in (ours, *_OTHER_NAMES.get(ours, ())):
        for name in names:
            if name.lower() == wanted and name not in column_mapping.values():
                return name
    return None
