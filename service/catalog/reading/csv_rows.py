"""The rows of a CSV file, whatever its delimiter.

Longer than 300 lines: all ways to a row share where the reader is in the file, and what a wrong quote costs.
"""

import csv
import io
import re
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import IO, Any, Final

from service.catalog.reading.cells import FORMULA_MARK, NOTHING, without_formula
from service.catalog.reading.encoding import UTF_8, encoding_of, is_broken, judge, note_on
from service.catalog.reading.header import Header, mended, read_header
from service.catalog.reading.lines import BUFFER_BYTES, MAX_LINE_CHARACTERS, check_column_count
from service.catalog.reading.packing import HEAD_BYTES
from service.catalog.reading.ports import Kind, LineReader, QuickWay, Record, Shape, Surprise, Unit, Unreadable

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?")
"""A number as a program writes it. With at most 15 digits a float keeps them all."""

_EXCERPT: Final = 200

_ROWS_BEFORE_USUAL: Final = 200
"""Rows that show what the columns hold, before lines are read the quick way, and between looks at that."""

_MAX_TRIED: Final = 2_000
"""Rows, after which a file has mostly usual lines or is read the ordinary way."""


class CsvRows:
    """A CSV file as a `RowSource`.

    Quotes are read as Excel, Google and Python's csv do: only a quote that begins a cell quotes it. A row that cannot
    be read costs itself and no other: where a quote is never closed, reading goes on with the line behind its first.

    A column counts as numbers until a cell shows otherwise. That is mostly its first cell, so one pass is mostly
    enough. Where `records` has given out numbers before, it raises `Surprise`, and the file must be read again.
    """

    unit: Unit = "line"
    is_sparse = False

    def __init__(self, stream: IO[bytes], label: str) -> None:
        """Read the header.

        Args:
            stream: Unpacked; it must be able to seek, and stays open until this is closed.
            label: Names the source in errors.

        Raises:
            CatalogError: It has no header that can be read, or too many columns.
        """
        self._stream = stream
        self._label = label
        stream.seek(0)
        self._open(encoding_of(stream.read(HEAD_BYTES)))
        self.line = self._header.lines
        self.raw = ""
        """The line of the last row; empty if the row has more than one, or shows what its column is."""
        self._numbers: frozenset[int] | None = None
        self._found_numbers: Sequence[int] = ()
        self._known: LineReader | None = None
        self._unproven: set[int] | None = None
        self._usual: LineReader | None = None

    @property
    def shape(self) -> Shape | None:
        """See `RowSource.shape`."""
        numbers = tuple(self._names[place] for place in self._found_numbers)
        return Shape(self._header.delimiter, tuple(self._names), numbers) if self._encoding == UTF_8 else None

    def skip(self, known: LineReader, numbers: Collection[str]) -> None:
        """See `RowSource.skip`."""
        self._known = known
        self._numbers = frozenset(place for place, name in enumerate(self._names) if name and name in numbers)
        self._unproven = {place for place, name in enumerate(self._names) if name and name not in numbers}

    @property
    def names(self) -> Sequence[str]:
        """See `RowSource.names`."""
        return self._names

    @property
    def notes(self) -> Sequence[str]:
        """See `RowSource.notes`."""
        note = note_on(self._encoding, self._stream)
        repeated = ", ".join(self.repeated)
        ignored = f"names {repeated} more than once; only the first of them is read"
        return [*filter(None, [note]), *([ignored] if repeated else [])]

    def close(self) -> None:
        """Leave the stream open."""
        self._text.detach()

    def records(self, *, texts: Collection[str] = (), quick: QuickWay | None = None) -> Iterator[Record | Unreadable]:
        """See `RowSource.records`; a row with more cells than the header cannot be read."""
        if self._known is not None:
            yield from self._differing(texts)
            return
        width = len(self._names)
        candidates = set(range(width)) if self._numbers is None else self._numbers
        numbers = [place for place in candidates if self._names[place] and self._names[place] not in texts]
        seen: set[int] = set()
        is_number, is_filled = _NUMBER.fullmatch, NOTHING.isdisjoint
        for row in self._rows() if quick is None else self._rows_beside(quick, numbers, seen):
            if isinstance(row, Unreadable):
                yield row
                continue
            record: list[Any] = list(map(str.strip, row))
            if not is_filled(record):
                record = [None if cell in NOTHING else cell for cell in record]
            texts_found = False
            for place in numbers:
                cell = record[place]
                if cell is None:
                    continue
                if is_number(cell):
                    record[place] = float(cell) if "." in cell else int(cell)
                    seen.add(place)
                elif place in seen:
                    raise Surprise
                else:
                    texts_found = True
            if texts_found:
                self.raw = ""
                numbers[:] = [place for place in numbers if not isinstance(record[place], str)]
            yield record
        self._found_numbers = numbers

    def _rows_beside(
        self, quick: QuickWay, numbers: Collection[int], seen: Collection[int]
    ) -> Iterator[list[str] | Unreadable]:
        """The rows that the quick way leaves; it begins when rows have shown what the columns hold.

        Args:
            quick: The quick way.
            numbers: Columns that hold numbers as far as is known; `records` keeps them up to date.
            seen: Those in which a number was met.
        """
        known: list[Kind] = []
        for ordinary, row in enumerate(self._rows(), 1):
            if not ordinary % _ROWS_BEFORE_USUAL:
                kinds: list[Kind] = ["text"] * len(self._names)
                for place in numbers:
                    kinds[place] = "number" if place in seen else "empty"
                if ordinary >= _MAX_TRIED and quick.count < ordinary:
                    self._usual = None
                elif kinds != known:
                    self._usual, known = quick.reader(self._header.delimiter, kinds), kinds
            yield row

    def _differing(self, texts: Collection[str]) -> Iterator[Record | Unreadable]:
        """The rows that are not left out; what their columns are was found out in the earlier version.

        Raises:
            Surprise: A column is something else now, or nothing shows any more that it is text.
        """
        numbers = [place for place in self._numbers or () if self._names[place] not in texts]
        unproven = {place for place in self._unproven or () if self._names[place] not in texts}
        is_number = _NUMBER.fullmatch
        for row in self._rows():
            if isinstance(row, Unreadable):
                yield row
                continue
            record: list[Any] = [None if (text := cell.strip()) in NOTHING else text for cell in row]
            for place in numbers:
                cell = record[place]
                if cell is None:
                    continue
                if not is_number(cell):
                    raise Surprise
                record[place] = float(cell) if "." in cell else int(cell)
            proven = [place for place in unproven if record[place] is not None and not is_number(record[place])]
            if proven:
                self.raw = ""
                unproven.difference_update(proven)
            yield record
        if unproven:
            raise Surprise
        self._found_numbers = numbers

    def learn(self, observe: Callable[[Record], None]) -> None:
        """See `RowSource.learn`: which columns are numbers, and which encoding the file has."""
        if self._encoding == UTF_8:
            encoding = judge(self._stream)
            self._text.detach()
            self._open(encoding)
        candidates = {place for place, name in enumerate(self._names) if name}
        is_number = _NUMBER.fullmatch
        for row in self._rows():
            if isinstance(row, Unreadable):
                continue
            record = [None if (text := cell.strip()) in NOTHING else text for cell in row]
            candidates -= {place for place in candidates if (cell := record[place]) is not None and not is_number(cell)}
            observe(record)
        self._numbers = frozenset(candidates)

    def _open(self, encoding: str) -> None:
        self._encoding = encoding
        self._text = self._wrapped(encoding)
        self._header: Header = read_header(self._text, self._label)
        names = self._header.names
        if encoding == UTF_8 and any(map(is_broken, names)):
            self._text.detach()
            judged = judge(self._stream)
            if judged != UTF_8:
                self._open(judged)
                return
            self._text = self._wrapped(encoding)
            names = tuple("" if is_broken(name) else name for name in names)
        check_column_count(names, self._label)
        counts = Counter(filter(None, names))
        self.repeated: Collection[str] = [name for name, count in counts.items() if count > 1]
        firsts = {name: place for place, name in reversed(list(enumerate(names)))}
        self._names = [name if firsts[name] == place else "" for place, name in enumerate(names)]

    def _wrapped(self, encoding: str) -> io.TextIOWrapper:
        text = io.TextIOWrapper(self._stream, encoding=encoding, errors="surrogateescape", newline="")
        # Its own 8 KiB cost a packed file a call of Python for every 25 lines.
        text._CHUNK_SIZE = BUFFER_BYTES  # type: ignore[attr-defined]  # noqa: SLF001  # there is no other way to say it
        return text

    def _rows(self) -> Iterator[list[str] | Unreadable]:
        """Every row, as wide as the header; sets `line`."""
        self._usual = None
        self._text.seek(0)
        for _ in range(self._header.lines):
            self._text.readline(MAX_LINE_CHARACTERS + 1)
        feed = _Feed(self._text.readline, self._known, lambda: self._usual, self._header.lines)
        delimiter, width = self._header.delimiter, len(self._names)
        next_number = self._header.lines + 1
        while True:
            reader = csv.reader(feed.lines(), delimiter=delimiter, strict=True, skipinitialspace=True)
            try:
                for row in reader:
                    if feed.skipped:
                        next_number += feed.skipped
                        feed.skipped = 0
                    self.line = next_number
                    if len(feed.row) == 1 and len(row) == width:
                        next_number += 1
                        self.raw = feed.row.pop()
                        yield list(map(without_formula, row)) if FORMULA_MARK in self.raw else row
                        continue
                    self.raw = ""
                    found = self._odd_row(row, feed)
                    next_number += len(feed.row)
                    feed.row.clear()
                    if found is not None:
                        yield found
            except csv.Error as error:
                next_number += feed.skipped
                feed.skipped = 0
                self.raw = ""
                self.line = next_number
                next_number += 1
                yield self._mended(feed.row[0]) or _unreadable(str(error), feed.row[0])
                feed.give_back()
            else:
                return

    def _odd_row(self, row: list[str], feed: "_Feed") -> list[str] | Unreadable | None:
        """A row that is not as wide as the header, or not of one line; None for a blank line."""
        if feed.too_long:
            text, feed.too_long = feed.too_long, ""
            return Unreadable("too_long", f"longer than {MAX_LINE_CHARACTERS:,} characters", text)
        if not row:
            return None
        found = _fitting(row, len(self._names), feed.row)
        if isinstance(found, Unreadable):
            feed.keep_back()
        return found

    def _mended(self, line: str) -> list[str] | None:
        """The row of a line whose only fault are blanks between a closing quote and the delimiter."""
        width = len(self._names)
        try:
            rows = list(
                csv.reader(
                    [mended(line, self._header.delimiter)],
                    delimiter=self._header.delimiter,
                    strict=True,
                    skipinitialspace=True,
                )
            )
        except csv.Error:
            return None
        fitting = _fitting(rows[0], width, [line]) if len(rows) == 1 else None
        return fitting if isinstance(fitting, list) else None


class _Feed:
    """The lines of a file, as csv.reader is fed with them: those of the row under way are kept, and can be read again.

    Args:
        readline: Of the file.
        known: What reads lines that are left out, if there are any.
        usual: What reads lines that are rows by themselves, if there is anything.
        number: Of the last line before.
    """

    def __init__(
        self,
        readline: Callable[[int], str],
        known: LineReader | None,
        usual: Callable[[], LineReader | None],
        number: int,
    ) -> None:
        self._readline = readline
        self._known = known
        self._usual = usual
        self._number = number
        self.skipped = 0
        """Lines that were left out before the row under way."""
        self._again: deque[str] = deque()
        self.row: list[str] = []
        self.too_long = ""
        """The beginning of a line that is longer than one can be, in whose place a blank one was given."""

    def lines(self) -> Iterator[str]:
        """Every line to the end."""
        readline, again, row, known = self._readline, self._again, self.row, self._known
        while line := again.popleft() if again else readline(MAX_LINE_CHARACTERS + 1):
            self._number += 1
            reader = None if row else known or (None if again else self._usual())
            if reader is not None:
                line, number = reader.read(line, self._number, self._next_line if again else readline)
                self.skipped += number - self._number
                self._number = number
                if not line:
                    return
            if len(line) > MAX_LINE_CHARACTERS:
                self.too_long = line[:_EXCERPT]
                while line and line[-1] not in "\r\n":
                    line = readline(MAX_LINE_CHARACTERS + 1)
                line = "\n"
            row.append(line)
            yield line

    def _next_line(self, characters: int) -> str:
        return self._again.popleft() if self._again else self._readline(characters)

    def keep_back(self) -> None:
        """Leave of the row its first line only; the others come again."""
        self._number -= len(self.row) - 1
        self._again.extendleft(reversed(self.row[1:]))
        del self.row[1:]

    def give_back(self) -> None:
        """End the row with its first line; the others come again."""
        self.keep_back()
        self.row.clear()
        self.too_long = ""


def _fitting(row: list[str], width: int, lines: Sequence[str]) -> list[str] | Unreadable:
    """The row as wide as the header; a short one over several lines is one whose quote was not closed."""
    if any(FORMULA_MARK in line for line in lines):
        row = list(map(without_formula, row))
    if len(row) == width:
        return row
    if len(row) < width and len(lines) == 1:
        return row + [""] * (width - len(row))
    if len(row) > width and not any(cell.strip() for cell in row[width:]):
        return row[:width]
    if len(lines) > 1:
        return _unreadable("a quote is not closed", lines[0])
    return _unreadable(f"{len(row)} cells where the header has {width}", lines[0])


def _unreadable(problem: str, line: str) -> Unreadable:
    return Unreadable("malformed", problem, line.rstrip("\r\n")[:_EXCERPT])
