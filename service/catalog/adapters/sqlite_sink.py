"""Writes the SQLite file of a large catalogue: once, by one process, in one transaction."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

from service.catalog.adapters.seal import put_seal
from service.catalog.reading.report import MAX_NAMED_ROWS

_MAX_BATCH_ROWS: Final = 2_000
_MAX_BATCH_BYTES: Final = 8 << 20

_SCHEMA: Final = (
    "CREATE TABLE item (line INTEGER PRIMARY KEY, id TEXT NOT NULL, eligible INTEGER NOT NULL, item BLOB NOT NULL)",
    "CREATE TABLE about (about BLOB NOT NULL)",
)


class SqliteSink:
    """Writes a new file; `finish` and `seal` make it ready to be read. A `Sink`."""

    def __init__(self, path: Path) -> None:
        """Open an empty file.

        Raises:
            sqlite3.Error: It cannot be written.
        """
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        # It is read only when it is whole, and not missed after a crash.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-65536"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        for statement in ("BEGIN", *_SCHEMA):
            self._connection.execute(statement)
        self._batch: list[tuple[int, str, bool, bytes]] = []
        self._batch_bytes = 0
        self._all_eligible = True

    def __contains__(self, item_id: object) -> bool:
        return False  # duplicates are found by `finish`, all at once

    def add(self, line: int, item_id: str, record: bytes, *, eligible: bool) -> None:
        """Take an item."""
        self._batch.append((line, item_id, eligible, record))
        self._batch_bytes += len(record)
        self._all_eligible = self._all_eligible and eligible
        if len(self._batch) >= _MAX_BATCH_ROWS or self._batch_bytes >= _MAX_BATCH_BYTES:
            self._flush()

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
        execute("CREATE INDEX item_by_id ON item (id)")
        execute("""
            CREATE TEMP TABLE duplicate AS
            WITH repeated AS (SELECT id FROM item GROUP BY id HAVING count(*) > 1)
            SELECT line, id FROM repeated JOIN item USING (id)
            WHERE line > (SELECT min(line) FROM item AS first WHERE first.id = repeated.id)
        """)
        (count,) = execute("SELECT count(*) FROM duplicate").fetchone()
        first = execute("SELECT id, line FROM duplicate ORDER BY line LIMIT ?", (MAX_NAMED_ROWS,)).fetchall()
        execute("DELETE FROM item WHERE line IN (SELECT line FROM duplicate)")
        if not self._all_eligible:
            execute("CREATE INDEX item_eligible ON item (line, id) WHERE eligible")
        return count, first

    def seal(self, about: Mapping[str, object]) -> None:
        """Write what the file is, which `about_file` reads; close and seal it.

        Raises:
            sqlite3.Error: It cannot be written.
            OSError: Its seal cannot be written.
        """
        self._connection.execute("INSERT INTO about VALUES (?)", (orjson.dumps(about),))
        self._connection.execute("COMMIT")
        self._connection.close()
        put_seal(self._path)

    def close(self) -> None:
        """Give up."""
        self._connection.close()

    def _flush(self) -> None:
        self._connection.executemany("INSERT INTO item VALUES (?, ?, ?, ?)", self._batch)
        self._batch.clear()
        self._batch_bytes = 0
