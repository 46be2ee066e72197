"""The lines of a stream, and the bounds that keep a strange file from filling the memory."""

from collections.abc import Callable, Collection, Iterator
from typing import Final, TypeVar

from service.errors import CatalogError

MAX_COLUMNS: Final = 1_000
"""Columns of a source. Every item holds a value for each: objects with keys of their own would fill the memory."""

MAX_LINE_CHARACTERS: Final = 1 << 20
"""Characters of a line. A line without an end is no catalogue, and a small file unpacks to gigabytes of it."""

_Line = TypeVar("_Line", str, bytes)


def bounded_lines(readline: Callable[[int], _Line], label: str) -> Iterator[_Line]:
    """Every line of a stream.

    Raises:
        CatalogError: A line is too long.
    """
    number = 0
    while line := readline(MAX_LINE_CHARACTERS + 1):
        number += 1
        if len(line) > MAX_LINE_CHARACTERS:
            raise CatalogError(f"{label}: line {number}: longer than {MAX_LINE_CHARACTERS:,} characters")
        yield line


def check_column_count(names: Collection[str], label: str) -> None:
    """Refuse a source with too many columns.

    Raises:
        CatalogError: There are more than `MAX_COLUMNS`.
    """
    if len(names) > MAX_COLUMNS:
        raise CatalogError(f"{label}: more than {MAX_COLUMNS:,} columns")
