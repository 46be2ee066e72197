"""The ports of reading: rows come from a source, and items go to a sink."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Record = Sequence[object]
"""The cells of a row by place, trimmed; None for a cell without a value."""

Unit = Literal["line", "row"]
"""What a source counts: lines of a text, or rows where a line says nothing."""


Kind = Literal["text", "number", "empty"]
"""What a column of a CSV file has held so far."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that cannot be read."""

    reason: Literal["malformed", "too_long", "not_utf8"]

    problem: str
    """What is wrong with it, in words."""

    text: str
    """Its beginning."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides how a line of a source is read, beside the line itself."""

    delimiter: str
    names: tuple[str, ...]
    numbers: tuple[str, ...]
    """Columns in which nothing but numbers was met."""


class RowSource(Protocol):
    """A stream of rows that can be read more than once."""

    @property
    def raw(self) -> str:
        """The line of the last row; empty where the row is no line by itself, or shows what one of its columns is."""

    @property
    def shape(self) -> Shape | None:
        """What decides how lines are read, once all were; None where a line does not say the same wherever it is."""

    def skip(self, known: "LineReader", numbers: Collection[str]) -> None:
        """Leave out lines that were rows by themselves in an earlier version of the source.

        `records` then raises `Surprise` where they might not be read now as they were then.

        Args:
            known: Reads those lines.
            numbers: The columns that held nothing but numbers then.
        """

    @property
    def line(self) -> int:
        """Number of the last row, from 1: the line on which it begins, or its own; see `unit`."""

    @property
    def unit(self) -> Unit:
        """What `line` counts."""

    @property
    def names(self) -> Sequence[str]:
        """Every column by its place in a record; empty for a cell without a name."""

    @property
    def notes(self) -> Sequence[str]:
        """What the operator should know of how the file is read, each in words."""

    @property
    def is_sparse(self) -> bool:
        """Whether a column may be absent only because no row has a value for it."""

    @property
    def repeated(self) -> Collection[str]:
        """Columns that stand more than once; the first of them counts."""

    def records(self, *, texts: Collection[str] = (), quick: "QuickWay | None" = None) -> Iterator[Record | Unreadable]:
        """Every row from the first.

        Args:
            texts: Columns whose values stay as they are written, whatever they look like.
            quick: Reads lines in its own way, where a line may be a row by itself; those are left out here.

        Raises:
            Surprise: A row is not what the ones before let expect; call `learn` and read again.
        """

    def learn(self, observe: Callable[[Record], None]) -> None:
        """Look at every row, so that the next `records` meets no surprise.

        Args:
            observe: Called with every row that can be read, its texts as they are written.
        """


class Sink(Protocol):
    """Where items go as they are read."""

    def __contains__(self, item_id: object) -> bool:
        """Whether the id is here already; a sink that finds duplicates at its end says no."""

    def add(self, line: int, item_id: str, record: bytes, *, eligible: bool) -> None:
        """Take an item's record; see `service.catalog.item`.

        Raises:
            TooLarge: It takes no more.
        """

    def clear(self) -> None:
        """Forget all items, because the source is read once more from its beginning."""


class LineReader(Protocol):
    """Reads lines that are rows by themselves."""

    def read(self, line: str, number: int, readline: Callable[[int], str]) -> tuple[str, int]:
        """Read as many lines as it can.

        Args:
            line: The next line.
            number: The line's number.
            readline: Of those behind it.

        Returns:
            The first line that it leaves to others, empty at the end of the file, and its number.

        Raises:
            TooLarge: There are more than there may be.
        """


class QuickWay(Protocol):
    """A quicker way to read lines that are rows by themselves, to the same end as the ordinary one."""

    @property
    def count(self) -> int:
        """Lines read so far."""

    def reader(self, delimiter: str, kinds: Sequence[Kind]) -> LineReader:
        """What reads lines.

        Args:
            delimiter: Between cells.
            kinds: What each column holds, by its place.
        """


class LineTrace(Protocol):
    """Notes which line became which row, and leaves out those that are there already; a sink has it."""

    @property
    def kept(self) -> int:
        """Rows that were left out, since they are there already."""

    def begin(self, source: RowSource, columns: Sequence[str]) -> None:
        """Reading begins.

        Raises:
            Unlike: The source has other columns than before.
        """

    def note(self, raw: str, line: int) -> None:
        """The row added last was this line, which has this number; empty for a row that is not known by its line.

        Raises:
            Unlike: Too much is different.
        """

    def add_lines(self, line: int, lines: Sequence[str], item_ids: Sequence[str], records: Sequence[bytes]) -> None:
        """Take the items of lines that follow each other, all of them eligible; duplicates may be among them.

        Args:
            line: The first line's number.
            lines: The lines.
            item_ids: Of each line.
            records: Likewise.
        """

    def give_up(self) -> None:
        """A line says something else in this source than it says by itself.

        Raises:
            Unlike: Lines were left out by what they say.
        """

    def end(self, source: RowSource) -> None:
        """All was read."""


class Unlike(Exception):
    """The source has too little in common with its earlier version to be read by difference."""


class Surprise(Exception):
    """The file is not what its first rows let expect, so all of it must be looked at before it is read."""


class TooLarge(Exception):
    """The source has more rows or bytes than the caller takes."""
