"""What was put into the items dataset, in a file: a digest of each item, written after each call that succeeded."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Final

from service.errors import BatchError
from service.files.private import make_file, make_folder

_DIGEST_BYTES: Final = 16

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS pushed (item TEXT PRIMARY KEY, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE TEMP TABLE wanted (number INTEGER PRIMARY KEY, item TEXT NOT NULL, properties TEXT NOT NULL);
CREATE TEMP TABLE there (number INTEGER PRIMARY KEY, item TEXT UNIQUE NOT NULL, record BLOB NOT NULL);
"""


class PushedItems:
    """The items of one dataset, and those that a run has yet to put; a catalogue's `Sink`.

    Args:
        data_dir: `DATA_DIR`.
        dataset_arn: Names the file.

    Raises:
        BatchError: The file cannot be opened.
    """

    def __init__(self, data_dir: Path, dataset_arn: str) -> None:
        name = blake2b(dataset_arn.encode(), digest_size=8).hexdigest()
        self._path = data_dir / f"pushed-{name}.sqlite"
        with self._readable_errors():
            make_folder(data_dir)
            make_file(self._path)
            self._db = sqlite3.connect(self._path, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)

    def __contains__(self, item_id: object) -> bool:
        """Whether the catalogue has named the item in this run."""
        with self._readable_errors():
            return self._db.execute("SELECT 1 FROM there WHERE item = ?", (item_id,)).fetchone() is not None

    def add(self, line: int, item_id: str, record: bytes, *, eligible: bool) -> None:
        """Take an item of the catalogue, also one that the operator's exclusion hides for now; see `Sink`."""
        del line, eligible
        with self._readable_errors():
            self._db.execute("INSERT INTO there (item, record) VALUES (?, ?)", (item_id, record))

    def clear(self) -> None:
        """Begin anew with the catalogue; see `Sink`."""
        with self._readable_errors():
            self._db.execute("DELETE FROM there")

    def records(self) -> Iterator[tuple[str, bytes]]:
        """The catalogue's items in its order."""
        last = 0
        while True:
            with self._readable_errors():
                rows = self._db.execute(
                    "SELECT number, item, record FROM there WHERE number > ? ORDER BY number LIMIT 1000", (last,)
                ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            for _, item, record in rows:
                yield item, record

    def want(self, item_id: str, properties: str, *, anew: bool) -> bool:
        """Whether an item has to be put; it is noted then."""
        with self._readable_errors():
            row = self._db.execute("SELECT digest FROM pushed WHERE item = ?", (item_id,)).fetchone()
            if row is not None and row[0] == _digest(properties) and not anew:
                return False
            self._db.execute("INSERT INTO wanted (item, properties) VALUES (?, ?)", (item_id, properties))
            return True

    def is_new(self, item_id: str) -> bool:
        """Whether the item was never put."""
        with self._readable_errors():
            return self._db.execute("SELECT 1 FROM pushed WHERE item = ?", (item_id,)).fetchone() is None

    def portions(self, size: int) -> Iterator[list[tuple[str, str]]]:
        """Items to put and their properties, in the catalogue's order."""
        last = 0
        while True:
            with self._readable_errors():
                rows = self._db.execute(
                    "SELECT number, item, properties FROM wanted WHERE number > ? ORDER BY number LIMIT ?", (last, size)
                ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield [(item, properties) for _, item, properties in rows]

    def put(self, items: Sequence[tuple[str, str]]) -> None:
        """These were put; safe when this returns."""
        with self._readable_errors():
            self._db.executemany(
                "INSERT OR REPLACE INTO pushed VALUES (?, ?)",
                [(item_id, _digest(properties)) for item_id, properties in items],
            )
            self._db.commit()

    def gone(self) -> int:
        """Items that were put once and are no longer in the catalogue."""
        with self._readable_errors():
            (count,) = self._db.execute(
                "SELECT count(*) FROM pushed WHERE item NOT IN (SELECT item FROM there)"
            ).fetchone()
        return int(count)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise BatchError(f"{self._path}: cannot be used: {error}") from error


def _digest(properties: str) -> bytes:
    return blake2b(properties.encode(), digest_size=_DIGEST_BYTES).digest()
