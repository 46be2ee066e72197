"""The ports of reading: rows come from a source, and items go to a sink."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

Record = Sequence[object]
"""The cells of a row by place; None for an empty cell."""


class RowSource(Protocol):
    """A stream of rows that can be read more than once."""

    @property
    def line(self) -> int:
        """Line on which the last row ended, from 1."""

    @property
    def names(self) -> Sequence[str]:
        """Every column by its place in a record; empty for a cell without a name."""

    def records(self, *, texts: Collection[str] = ()) -> Iterator[Record | None]:
        """Every row from the first; None for one that cannot be read.

        Args:
            texts: Columns whose values stay as they are written, whatever they look like.

        Raises:
            MixedColumn: A column began with numbers and goes on with text; call `learn_types` and read again.
        """

    def learn_types(self) -> None:
        """Look at every row, so that the next `records` knows which columns are numbers."""


class Sink(Protocol):
    """Where items go as they are read."""

    def __contains__(self, item_id: object) -> bool:
        """Whether the id is here already; a sink that finds duplicates at its end says no."""

    def add(self, line: int, item_id: str, record: bytes, *, eligible: bool) -> None:
        """Take an item's record; see `service.catalog.item`."""

    def clear(self) -> None:
        """Forget all items, because the source is read once more from its beginning."""


class MixedColumn(Exception):
    """A column that began with numbers goes on with text."""


class TooManyRows(Exception):
    """The source has more rows than the caller takes."""
