"""Writes the SQLite file of a large catalogue: once, by one process, in one transaction."""

import sqlite3
import sys
from array import array
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Final

import orjson

from service.catalog.adapters.seal import put_seal
from service.catalog.reading.ports import RowSource, Shape
from service.catalog.reading.report import MAX_NAMED_ROWS

PLACE_STEP: Final = 1 << 20
"""Between the places of two lines, so that later versions of the source find room between them."""

WITNESSES: Final = 50
"""First rows that every version of the source has read again: they show which columns are text."""

HASHED_BY: Final = f"{sys.hash_info.algorithm} {sys.hash_info.hash_bits} {sys.byteorder}"
"""How this interpreter hashes a line. The process that writes begins with PYTHONHASHSEED=0."""

_ROWS_A_STATEMENT: Final = 20
"""They take a third less time than each by itself."""

_ROW: Final = "(?, ?, ?, ?)"
_VALUES: Final = 4
_INSERT: Final = f"INSERT INTO item VALUES {_ROW}"  # noqa: S608  # marks only
_INSERT_MANY: Final = f"INSERT INTO item VALUES {', '.join([_ROW] * _ROWS_A_STATEMENT)}"  # noqa: S608  # marks only

MAX_BATCH_ROWS: Final = 2_000
"""Rows that wait to be written together."""

MAX_BATCH_BYTES: Final = 8 << 20
"""Of their items."""

_PAGE_BYTES: Final = 8_192
"""Twice what is usual: half as many calls of the system."""

_SCHEMA: Final = (
    "CREATE TABLE item (line INTEGER PRIMARY KEY, id TEXT NOT NULL, eligible INTEGER NOT NULL, item BLOB NOT NULL)",
    "CREATE TABLE about (about BLOB NOT NULL)",
    "CREATE TABLE trace (hashes BLOB NOT NULL, places BLOB NOT NULL)",
)


class SqliteSink:
    """Writes a new file; `finish` and `seal` make it ready to be read. A `Sink`."""

    kept = 0
    """See `LineTrace`; a new file keeps nothing."""

    def __init__(self, path: Path) -> None:
        """Open an empty file.

        Raises:
            sqlite3.Error: It cannot be written.
        """
        self._open(path)
        for statement in ("BEGIN", *_SCHEMA):
            self._connection.execute(statement)

    def _open(self, path: Path) -> None:
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        # It is read only when it is whole, and not missed after a crash.
        memory = (f"page_size={_PAGE_BYTES}", "cache_size=-65536")
        for pragma in (*memory, "journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        self._batch: list[int | str | bytes] = []
        """Place, id, 1 where it is eligible, and record of one row after another."""
        self._batch_bytes = 0
        self._all_eligible = True
        self._hashes = array("q")
        self._places = array("q")
        self._shape: Shape | None = None
        self._by_lines = True
        self._generation = 0

    def __contains__(self, item_id: object) -> bool:
        return False  # duplicates are found by `finish`, all at once

    def add(self, line: int, item_id: str, record: bytes, *, eligible: bool) -> None:
        """Take an item."""
        self._put(line * PLACE_STEP, item_id, record, eligible=eligible)

    def _put(self, place: int, item_id: str, record: bytes, *, eligible: bool) -> None:
        # SQLite's module asks for an adapter of every bool.
        self._batch += (place, item_id, int(eligible), record)
        self._batch_bytes += len(record)
        self._all_eligible = self._all_eligible and eligible
        self._flush_much()

    def begin(self, source: RowSource, columns: Sequence[str]) -> None:
        """See `LineTrace`."""

    def note(self, raw: str, line: int) -> None:
        """See `LineTrace`."""
        self._hashes.append(hash(raw) if raw and len(self._hashes) >= WITNESSES else 0)
        self._places.append(line * PLACE_STEP)

    def add_lines(self, line: int, lines: Sequence[str], item_ids: Sequence[str], records: Sequence[bytes]) -> None:
        """See `LineTrace`."""
        places = range(line * PLACE_STEP, (line + len(lines)) * PLACE_STEP, PLACE_STEP)
        self._batch += chain.from_iterable(zip(places, item_ids, repeat(1), records, strict=False))
        self._batch_bytes += sum(map(len, records))
        self._flush_much()
        witnesses = min(max(0, WITNESSES - len(self._hashes)), len(lines))
        self._hashes.extend([0] * witnesses)
        self._hashes.extend(map(hash, lines[witnesses:]))
        self._places.extend(places)

    def give_up(self) -> None:
        """See `LineTrace`."""
        self._by_lines = False

    def end(self, source: RowSource) -> None:
        """See `LineTrace`."""
        self._shape = source.shape if self._by_lines else None

    def clear(self) -> None:
        """Forget all."""
        self._batch.clear()
        self._all_eligible = True
        self._connection.execute("DELETE FROM item")

    def finish(self) -> tuple[int, list[tuple[str, int]]]:
        """Take out all but the first of the same id.

        Returns:
            How many were taken out, and the first few of them as id and line.
        """
        self._flush()
        execute = self._connection.execute
        execute("CREATE INDEX IF NOT EXISTS item_by_id ON item (id)")
        execute("""
            CREATE TEMP TABLE duplicate AS
            WITH repeated AS (SELECT id FROM item GROUP BY id HAVING count(*) > 1)
            SELECT line, id FROM repeated JOIN item USING (id)
            WHERE line > (SELECT min(line) FROM item AS first WHERE first.id = repeated.id)
        """)
        (count,) = execute("SELECT count(*) FROM duplicate").fetchone()
        first = execute("SELECT id, line FROM duplicate ORDER BY line LIMIT ?", (MAX_NAMED_ROWS,)).fetchall()
        named = [(item_id, self._line_at(place)) for item_id, place in first]
        if count:
            self._forget({place for (place,) in execute("SELECT line FROM duplicate")})
        execute("DELETE FROM item WHERE line IN (SELECT line FROM duplicate)")
        if not self._all_eligible:
            execute("CREATE INDEX IF NOT EXISTS item_eligible ON item (line, id) WHERE eligible")
        return count, named

    def seal(self, about: Mapping[str, object]) -> None:
        """Write what the file is, which `about_file` reads; close and seal it.

        Raises:
            sqlite3.Error: It cannot be written.
            OSError: Its seal cannot be written.
        """
        if self._shape is not None:
            trace = (self._hashes.tobytes(), self._places.tobytes())
            self._connection.execute("INSERT INTO trace VALUES (?, ?)", trace)
            shape = {"shape": self._shape, "hashed_by": HASHED_BY, "generation": self._generation}
            about = {**about, "lines": shape}
        self._connection.execute("INSERT INTO about VALUES (?)", (orjson.dumps(about),))
        self._connection.execute("COMMIT")
        self._connection.close()
        put_seal(self._path)

    def close(self) -> None:
        """Give up."""
        self._connection.close()

    def _flush_much(self) -> None:
        if len(self._batch) >= _VALUES * MAX_BATCH_ROWS or self._batch_bytes >= MAX_BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        batch, many = self._batch, _VALUES * _ROWS_A_STATEMENT
        rest = len(batch) - len(batch) % many
        self._connection.executemany(_INSERT_MANY, (batch[place : place + many] for place in range(0, rest, many)))
        self._connection.executemany(
            _INSERT, (batch[place : place + _VALUES] for place in range(rest, len(batch), _VALUES))
        )
        batch.clear()
        self._batch_bytes = 0

    def _line_at(self, place: int) -> int:
        return place // PLACE_STEP

    def _forget(self, places: set[int]) -> None:
        """Note nothing of rows that were taken out."""
        left = [number for number, place in enumerate(self._places) if place not in places]
        self._hashes = array("q", [self._hashes[number] for number in left])
        self._places = array("q", [self._places[number] for number in left])
