"""Where a JSON document holds its rows."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Final, NamedTuple

import ijson

from service.catalog.item import ITEM_COLUMNS
from service.catalog.reading.cells import TYPES
from service.catalog.reading.well_known import guesses
from service.errors import CatalogError

_WRAPPER_NAMES: Final = (
    "products items item product results data rows records entries offers edges nodes docs documents objects value"
    " values list elements catalog feed content hits articles variants"
)
_WRAPPERS: Final = frozenset(_WRAPPER_NAMES.split())
"""Names under which interfaces of shops hand out their products, in lower case."""

_MAX_DEPTH: Final = 4
_MAX_EVENTS: Final = 100_000
"""Looked at for rows; what a page says of itself is shorter."""

_MAX_PARTS: Final = 1_000
_ROW: Final = 3
"""Well-known columns that make an object a row."""

_KEYED_ROW: Final = 2
"""The same, besides its id, of an object that has a key."""

_SPLIT: Final = frozenset({"columns", "data"})
"""What pandas' `orient="split"` has, besides an index."""


class Place(NamedTuple):
    """Where a document holds its rows."""

    prefix: str = ""
    """As ijson writes it: of a list, or of the object whose values are the rows. Empty for rows by themselves."""

    is_keyed: bool = False
    """Whether the rows are the values of an object: `{"sku1": {"name": "Mug"}}`."""

    key_column: str = ""
    """The column that a row's key becomes; empty where the rows have an id of their own."""


@dataclass(slots=True)
class _Part:
    """A list or an object of the document."""

    path: tuple[str, ...]
    parent: "_Part | None"
    is_list: bool
    keys: list[str] = field(default_factory=list)
    objects: int = 0
    others: int = 0
    """Values in it that are no objects."""

    row: list[str] | None = None
    """The names in its first object."""

    @property
    def is_wrapper(self) -> bool:
        """Whether it is a list under a name that interfaces give to their rows."""
        is_named = self.is_list and bool(self.path) and self.path[-1].lower() in _WRAPPERS
        return is_named and len(self.path) <= _MAX_DEPTH and "item" not in self.path[:-1]

    @property
    def is_in_row(self) -> bool:
        """Whether it belongs to an object that looks like a row itself."""
        part = self.parent
        while part is not None and (part.is_list or _known(part.keys) < _ROW):
            part = part.parent
        return part is not None


def place_in(text: IO[bytes], label: str) -> Place | None:
    """Where a document has its rows; None where it is a row itself, or several.

    A list of objects under a name that interfaces give to their rows is taken at once. Else it is the outermost list,
    or object, whose first object has well-known columns. Where the JSON breaks off, what comes before decides.

    Raises:
        CatalogError: It is written by columns.
    """
    parts: list[_Part] = []
    wrapper = None
    with suppress(ijson.JSONError, UnicodeDecodeError):
        wrapper = _fill(parts, text)
    if wrapper is not None:
        return Place(".".join([*wrapper.path, "item"]))
    if parts and _is_by_columns(parts):
        raise CatalogError(
            f"{label}: is JSON by columns, as pandas writes by default;"
            " write one object a row instead: df.to_json(path, orient='records', lines=True)"
        )
    for part in sorted(parts, key=lambda one: len(one.path)):
        if part.row is None or part.is_in_row:
            continue
        if part.is_list and _known(part.row) >= _ROW:
            return Place(".".join([*part.path, "item"]))
        is_keyed = not part.is_list and part.objects > part.others
        if is_keyed and _known(part.keys) < _KEYED_ROW <= _known(part.row, besides="id"):
            return Place(".".join(part.path), is_keyed=True, key_column="" if guesses("id", part.row) else "id")
    return None


def _fill(parts: list[_Part], text: IO[bytes]) -> _Part | None:
    """Collect the lists and objects of a document, up to the first wrapper that holds an object.

    Raises:
        ijson.JSONError: It is no JSON.
        UnicodeDecodeError: It is no UTF-8.
    """
    stack: list[_Part] = []
    for count, (event, value) in enumerate(ijson.basic_parse(text)):
        above = stack[-1] if stack else None
        if event == "map_key":
            stack[-1].keys.append(value)
        elif event in ("start_map", "start_array"):
            part = _opened(above, is_list=event == "start_array")
            if above is not None and above.is_wrapper and not above.others and not above.is_in_row:
                return above
            stack.append(part)
            if len(parts) < _MAX_PARTS and len(part.path) <= _MAX_DEPTH:
                parts.append(part)
        elif event in ("end_map", "end_array"):
            part = stack.pop()
            if stack and event == "end_map" and stack[-1].row is None:
                stack[-1].row = part.keys
        elif above is not None:
            above.others += 1
        if count > _MAX_EVENTS or not stack:
            break
    return None


def _opened(above: _Part | None, *, is_list: bool) -> _Part:
    """A list or an object that begins, counted by the one that it is in."""
    if above is None:
        return _Part((), None, is_list)
    above.objects += not is_list
    above.others += is_list
    return _Part((*above.path, "item" if above.is_list else above.keys[-1]), above, is_list)


def _is_by_columns(parts: list[_Part]) -> bool:
    """Whether the document has a list or an object for each column, instead of one for each row."""
    root = parts[0]
    if root.is_list or not TYPES.isdisjoint(root.row or ()):
        return False
    if set(root.keys) >= _SPLIT:
        data = next((part for part in parts if part.path == ("data",)), None)
        return data is not None and data.is_list and data.row is None
    columns = sum(1 for part in parts if len(part.path) == 1)
    return columns == len(root.keys) and _known(root.keys) >= _ROW


def _known(names: list[str], *, besides: str = "") -> int:
    """Of how many columns of ours the names may be."""
    return sum(1 for ours in ITEM_COLUMNS if ours != besides and guesses(ours, names))
