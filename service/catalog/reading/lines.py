"""The lines of a stream, how much is read at once, and bounds that keep a strange file from filling memory."""

from collections.abc import Callable, Collection
from typing import Final, TypeVar

from service.errors import CatalogError

MAX_COLUMNS: Final = 1_000
"""Columns of a source. Every item holds a value for each: objects with keys of their own would fill the memory."""

MAX_LINE_CHARACTERS: Final = 1 << 20
"""Characters of a line. A line without an end is no row, and a small file unpacks to gigabytes of it."""

READ_BYTES: Final = 1 << 20
"""Bytes that are read at once of a file that is copied or hashed."""

BUFFER_BYTES: Final = 1 << 16
"""Bytes that are read at once of a file whose rows are taken one by one."""

_ENDS: Final[frozenset[str | bytes]] = frozenset(("\n", b"\n", "", b""))
"""With what a line ends, or a stream."""

_Line = TypeVar("_Line", str, bytes)


def next_line(readline: Callable[[int], _Line]) -> tuple[_Line, bool]:
    """The next line, and whether it is whole: of one that is too long, the beginning; empty at the end."""
    line = readline(MAX_LINE_CHARACTERS + 1)
    if len(line) <= MAX_LINE_CHARACTERS:
        return line, True
    rest = line
    while rest[-1:] not in _ENDS:
        rest = readline(MAX_LINE_CHARACTERS + 1)
    return line[:MAX_LINE_CHARACTERS], False


def check_column_count(names: Collection[str], label: str) -> None:
    """Refuse a source with too many columns.

    Raises:
        CatalogError: There are more than `MAX_COLUMNS`.
    """
    if len(names) > MAX_COLUMNS:
        raise CatalogError(f"{label}: more than {MAX_COLUMNS:,} columns")
