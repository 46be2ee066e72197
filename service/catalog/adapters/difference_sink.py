"""Writes the SQLite file of a catalogue as a changed copy of an earlier one: only what differs is read and written."""

import os
from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson

from service.catalog.adapters.seal import SEAL_BYTES, seal_of
from service.catalog.adapters.sqlite_sink import HASHED_BY, PLACE_STEP, SqliteSink
from service.catalog.reading.lines import MAX_LINE_CHARACTERS, READ_BYTES
from service.catalog.reading.ports import RowSource, Unlike

MAX_CHANGED: Final = 0.3
"""Share of the rows that may differ; reading all is quicker then."""

MAX_GENERATIONS: Final = 50
"""Differences upon differences: their rows lie about in the file."""

_NEAR: Final = 64
"""Lines further on, among which a known one is looked for first."""

MIN_CHANGED: Final = 1_000
"""Rows that may differ, however few there are."""


class DifferenceSink(SqliteSink):
    """A `Sink` and `LineTrace` that begins with the rows of an earlier file.

    It goes through the lines of both versions side by side. A line that is known from the earlier one keeps its row and
    its place; rows that were passed over meanwhile are gone. What is read between two known lines gets places between
    theirs.
    """

    def __init__(self, path: Path, base: int) -> None:
        """Copy the earlier file.

        Args:
            path: The empty file to write.
            base: An open descriptor of the earlier one.

        Raises:
            Unlike: The earlier one is not whole, or its lines are not known.
            sqlite3.Error: It cannot be written.
            OSError: It cannot be read or written.
        """
        _copy(base, path)
        self._open(path)
        execute = self._connection.execute
        execute("BEGIN")
        about: Mapping[str, Any] = orjson.loads(execute("SELECT about FROM about").fetchone()[0])
        traces = execute("SELECT hashes, places FROM trace").fetchone()
        known = about.get("lines")
        if not known or not traces or known["hashed_by"] != HASHED_BY or known["generation"] >= MAX_GENERATIONS:
            self._connection.close()
            raise Unlike
        self._generation = known["generation"] + 1
        self._before = known["shape"]
        self._columns = about["columns"]
        self._all_eligible = execute("SELECT 1 FROM sqlite_schema WHERE name = 'item_eligible'").fetchone() is None
        self._old_hashes, self._old_places = array("q", traces[0]), array("q", traces[1])
        self._index: dict[int, int] | None = None
        self._next = 0
        self._misses = 0
        self._lines = array("q")
        self._pending: list[tuple[int, str, bool, bytes, int]] = []
        self._gone: list[int] = []
        self._passed_over = 0
        self._added = 0
        for table in ("about", "trace"):
            execute(f"DELETE FROM {table}")  # noqa: S608  # constants

    def begin(self, source: RowSource, columns: Sequence[str]) -> None:
        """See `LineTrace`."""
        shape = source.shape
        same = shape is not None and [shape.delimiter, list(shape.names)] == [
            self._before["delimiter"],
            self._before["names"],
        ]
        if not same or list(columns) != self._columns:
            raise Unlike
        source.skip(self, self._before["numbers"])

    def add(self, line: int, item_id: str, record: bytes, *, eligible: bool) -> None:
        """Take an item that was read."""
        self._pending.append((line, item_id, eligible, record, 0))

    def note(self, raw: str, line: int) -> None:
        """See `LineTrace`."""
        del line
        if raw:
            *row, _ = self._pending[-1]
            self._pending[-1] = (*row, hash(raw))  # type: ignore[assignment]  # a row and a hash
        self._added += 1
        self._check_likeness()

    def give_up(self) -> None:
        """See `LineTrace`."""
        raise Unlike

    def end(self, source: RowSource) -> None:
        """See `LineTrace`."""
        self._pass_over(len(self._old_places))
        self._place(self._last_place() + (len(self._pending) + 1) * PLACE_STEP)
        super().end(source)

    def clear(self) -> None:
        """Nothing is read twice by difference."""
        raise Unlike

    def _flush(self) -> None:
        # First, since a new row may have the place of one that is gone.
        self._connection.executemany("DELETE FROM item WHERE line = ?", ((place,) for place in self._gone))
        self._gone.clear()
        super()._flush()

    def read(self, line: str, number: int, readline: Callable[[int], str]) -> tuple[str, int]:
        """Leave out lines that are known; a `LineReader`."""
        old, end = self._old_hashes, len(self._old_hashes)
        while line:
            begin = place = self._next
            while line and place < end and old[place] == hash(line):
                place += 1
                line = readline(MAX_LINE_CHARACTERS + 1)
            if place > begin:
                self._keep(place, number)
                number += place - begin
            if line and not self._is_further_on(line):
                break
        return line, number

    def _keep(self, end: int, line: int) -> None:
        """The rows up to here are as they were, in lines from this one on."""
        begin = self._next
        if self._pending:
            self._place(self._old_places[begin])
        self._hashes += self._old_hashes[begin:end]
        self._places += self._old_places[begin:end]
        self._lines.extend(range(line, line + end - begin))
        self._misses = 0
        self._next = end
        self.kept += end - begin

    def _is_further_on(self, line: str) -> bool:
        """Whether the earlier version has a line further on; what stands before is then passed over."""
        found = self._found(hash(line))
        if found is None or found < self._next:
            self._misses += 1
            return False
        self._pass_over(found)
        return True

    def _found(self, hashed: int) -> int | None:
        """Where the earlier version has a line; None if it has it not, or not near enough."""
        if not hashed:
            return None
        if self._misses < _NEAR:
            try:
                return self._old_hashes.index(hashed, self._next, self._next + _NEAR)
            except ValueError:
                return None
        if self._index is None:
            self._index = {known: number for number, known in enumerate(self._old_hashes) if known}
        return self._index.get(hashed)

    def _pass_over(self, end: int) -> None:
        """The rows up to here are gone."""
        self._gone += self._old_places[self._next : end]
        self._passed_over += end - self._next
        self._next = end
        self._check_likeness()

    def _check_likeness(self) -> None:
        if max(self._passed_over, self._added) > max(MIN_CHANGED, MAX_CHANGED * len(self._old_places)):
            raise Unlike

    def _last_place(self) -> int:
        return self._places[-1] if self._places else 0

    def _place(self, end: int) -> None:
        """Give the rows that were read places before this one."""
        begin = self._last_place()
        step = (end - begin) // (len(self._pending) + 1)
        if not step:
            raise Unlike
        for number, (line, item_id, eligible, record, hashed) in enumerate(self._pending, 1):
            place = begin + number * step
            self._put(place, item_id, record, eligible=eligible)
            self._hashes.append(hashed)
            self._places.append(place)
            self._lines.append(line)
        self._pending.clear()

    def _line_at(self, place: int) -> int:
        return self._lines[bisect_left(self._places, place)]


def _copy(base: int, path: Path) -> None:
    """Copy an earlier file without its seal, which is checked on the way.

    Raises:
        Unlike: It is not whole.
    """
    size = os.fstat(base).st_size - SEAL_BYTES
    if size <= 0:
        raise Unlike
    digest = sha256()
    place = 0
    with path.open("wb") as file:
        while chunk := os.pread(base, min(READ_BYTES, size - place), place):
            digest.update(chunk)
            file.write(chunk)
            place += len(chunk)
    if os.pread(base, SEAL_BYTES, size) != seal_of(digest.digest()):
        raise Unlike
