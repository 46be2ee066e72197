"""Batch lists in one SQLite file, for an embedded replica.

A set is loaded into a file beside it, which takes its name when it is whole. A reader of the old file notices that the
name stands for another one.

Longer than other files: the two sides of the store share its schema and its ways to the file.
"""

import asyncio
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from service.batch.adapters.forgotten_file import FILE_NAME as FORGOTTEN_NAME
from service.batch.adapters.forgotten_file import forgotten_now, keep, keep_apart, noted_in
from service.batch.codes import ItemCodes, made_at, unpack
from service.batch.ports import OTHER_LOAD, SetStatus
from service.errors import BatchError, SharedStateUnavailable
from service.files.private import make_file, make_folder
from service.lists.envelope import Envelope, seal
from service.lists.keys import UserKey, UserPrefix
from service.lists.tombstone import BUCKET_BYTES, buries
from service.models import ItemList

FILE_NAME: Final = "batch-lists.sqlite"

LOADING_NAME: Final = "batch-lists.loading.sqlite"

ABANDONED_SECONDS: Final = 86_400
"""A load that brought nothing for this time is given up: what it brought is removed, as it is in Redis."""

_MAX_BUSY_SECONDS: Final = 5.0
"""Longest wait for another process's transaction; a load's takes a tenth of a second."""

_SCHEMA: Final = """
CREATE TABLE list (place INTEGER PRIMARY KEY, user BLOB NOT NULL, packed BLOB NOT NULL);
CREATE TABLE item (place INTEGER PRIMARY KEY, id TEXT NOT NULL);
CREATE TABLE load (source TEXT NOT NULL, token TEXT NOT NULL, mark BLOB, about BLOB, lists INTEGER);
"""

_Found = TypeVar("_Found")


class SqliteBatchLists:
    """`BatchLists` in a file; the file need not exist.

    A thread of its own reads and deletes, so that a slow disk holds up nobody who needs no list from it.

    Args:
        data_dir: `DATA_DIR`; the same as that of `SqliteBatchSets`.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME
        self._loading = data_dir / LOADING_NAME
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batch-lists")
        self._file: tuple[int, int] | None = None
        self._connection: sqlite3.Connection | None = None
        with suppress(OSError):
            _remove_abandoned(self._loading)

    async def get(self, key: UserKey) -> Envelope | None:
        """See `BatchLists.get`; a set that was switched is noticed here."""
        return await self._in_thread(lambda: self._read(key))

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `BatchLists.forget`."""
        await self._in_thread(lambda: self._delete(user_prefix))

    async def close(self) -> None:
        """Close the file."""
        await self._in_thread(self._close)
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[[], _Found]) -> _Found:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            raise SharedStateUnavailable(f"{self._path.name}: {error}") from error

    def _read(self, key: UserKey) -> Envelope | None:
        connection = self._current()
        if connection is None:
            return None
        row = connection.execute("SELECT packed FROM list WHERE user = ?", (key,)).fetchone()
        item_list = unpack(row[0], lambda places: _items_at(connection, places)) if row else None
        return seal(item_list) if item_list else None

    def _current(self) -> sqlite3.Connection | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._close()
            return None
        # The file that is open keeps its number from being given to another one.
        file = status.st_dev, status.st_ino
        if file != self._file:
            self._close()
            self._connection = _connect(self._path, "ro")
            self._file = file
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._file = None

    def _delete(self, user_prefix: UserPrefix) -> None:
        _remove_abandoned(self._loading)
        if not (self._path.exists() or self._loading.exists()):
            # Where nothing can be written, nothing is loaded later either.
            with suppress(OSError, sqlite3.Error):
                keep_apart(self._path.parent, forgotten_now(user_prefix))
        # First the one being loaded, because it may be switched meanwhile.
        for path in (self._loading, self._path):
            if not path.exists():
                continue
            with closing(_connect(path, "rw")) as connection, _transaction(connection):
                # So that what is deleted is overwritten, too.
                connection.execute("PRAGMA secure_delete=1").fetchall()
                connection.execute(
                    "DELETE FROM list WHERE user >= ? AND user < ?", (user_prefix, user_prefix + b"\xff" * 32)
                )
                keep(connection, forgotten_now(user_prefix))


class SqliteBatchSets:
    """`BatchSets` in a file.

    Args:
        data_dir: `DATA_DIR`; made when it is not there.

    Raises:
        BatchError: It cannot be made.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME
        self._loading = data_dir / LOADING_NAME
        with self._translated():
            make_folder(data_dir)
        self._connection: sqlite3.Connection | None = None
        self._token = ""
        self._codes = ItemCodes()

    def begin(self, source: str) -> bytes | None:
        """See `BatchSets.begin`."""
        self.close()
        self._token = secrets.token_hex(8)
        with self._translated():
            if self._loading.exists():
                connection = self._open()
                found = connection.execute("SELECT source, mark FROM load").fetchone()
                if found is not None and found[0] == source:
                    connection.execute("UPDATE load SET token = ?", (self._token,))
                    ids = connection.execute("SELECT id FROM item ORDER BY place")
                    self._codes = ItemCodes(item_id for (item_id,) in ids)
                    return None if found[1] is None else bytes(found[1])
                self.close()
            forgotten = noted_in(self._loading)
            self._remove_loading()
            if forgotten:
                keep_apart(self._path.parent, forgotten)
            connection = self._open()
            self._codes = ItemCodes()
            with _transaction(connection):
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute("INSERT INTO load (source, token) VALUES (?, ?)", (source, self._token))
        return None

    def write(self, lists: Sequence[tuple[UserKey, ItemList]], progress: bytes) -> None:
        """See `BatchSets.write`."""
        with self._translated(), self._ours() as connection:
            rows = [(key, self._codes.pack(item_list)) for key, item_list in lists]
            connection.executemany("INSERT INTO list (user, packed) VALUES (?, ?)", rows)
            connection.executemany("INSERT INTO item VALUES (?, ?)", self._codes.take_new())
            connection.execute("UPDATE load SET mark = ?", (progress,))

    def switch(self, description: bytes) -> int:
        """See `BatchSets.switch`."""
        with self._translated():
            apart = self._path.parent / FORGOTTEN_NAME
            # The loading file's own are the latest.
            forgotten = dict([*noted_in(apart), *noted_in(self._path), *noted_in(self._loading)]).items()
            with self._ours() as connection:
                connection.execute("CREATE INDEX IF NOT EXISTS list_by_user ON list (user)")
                # The last list of a user is kept; to look for later ones needs the index.
                connection.execute("""
                    DELETE FROM list WHERE EXISTS (
                        SELECT 1 FROM list AS later WHERE later.user = list.user AND later.place > list.place)
                """)
                for stone, at in forgotten:
                    _bury(connection, stone, at)
                keep(connection, forgotten)
                (lists,) = connection.execute("SELECT count(*) FROM list").fetchone()
                connection.execute("UPDATE load SET about = ?, lists = ?", (description, lists))
            self.close()
            with self._loading.open("rb") as file:
                os.fsync(file.fileno())
            self._loading.replace(self._path)
            apart.unlink(missing_ok=True)
            self._remove_loading()
        return int(lists)

    def status(self) -> SetStatus:
        """See `BatchSets.status`."""
        with self._translated():
            description, lists, progress = None, 0, None
            if self._path.exists():
                with closing(_connect(self._path, "ro")) as connection:
                    description, lists = connection.execute(
                        "SELECT about, (SELECT count(*) FROM list) FROM load"
                    ).fetchone()
            if self._loading.exists():
                with closing(_connect(self._loading, "ro")) as connection:
                    (progress,) = connection.execute("SELECT coalesce(mark, x'') FROM load").fetchone()
            return SetStatus(description, lists, progress)

    def drop(self) -> None:
        """See `BatchSets.drop`."""
        with self._translated():
            forgotten = [*noted_in(self._path), *noted_in(self._loading)]
            self._path.unlink(missing_ok=True)
            self._remove_loading()
            if forgotten:
                keep_apart(self._path.parent, forgotten)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        make_file(self._loading)
        connection = _connect(self._loading, "rw")
        # A killed process loses nothing that was written; after a power cut the load is begun anew.
        for pragma in ("journal_mode=TRUNCATE", "synchronous=OFF", "cache_size=-16384", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        self._connection = connection
        return connection

    @contextmanager
    def _ours(self) -> Iterator[sqlite3.Connection]:
        """A transaction that fails if another load has begun since."""
        if self._connection is None:
            raise BatchError("nothing is being loaded")
        with _transaction(self._connection):
            # By name: the file that is open here may have been removed.
            if (
                not self._loading.exists()
                or not self._connection.execute("SELECT 1 FROM load WHERE token = ?", (self._token,)).fetchone()
            ):
                raise BatchError(OTHER_LOAD)
            yield self._connection

    def _remove_loading(self) -> None:
        _remove(self._loading)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise BatchError(f"DATA_DIR {self._path.parent}: {error}") from error


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path.resolve()))}?mode={mode}", uri=True, isolation_level=None, timeout=_MAX_BUSY_SECONDS
    )


def _remove(loading: Path) -> None:
    for suffix in ("", "-journal"):
        Path(f"{loading}{suffix}").unlink(missing_ok=True)


def _remove_abandoned(loading: Path) -> None:
    if loading.exists() and time.time() - loading.stat().st_mtime > ABANDONED_SECONDS:
        _remove(loading)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _items_at(connection: sqlite3.Connection, places: Sequence[int]) -> Mapping[int, str]:
    marks = ",".join("?" * len(places))
    query = f"SELECT place, id FROM item WHERE place IN ({marks})"  # noqa: S608  # marks only
    return dict(connection.execute(query, places).fetchall())


def _bury(connection: sqlite3.Connection, stone: bytes, at: float) -> None:
    """Leave out a user's lists of files that were made before the user was forgotten."""
    bucket = stone[:BUCKET_BYTES]
    found = connection.execute(
        "SELECT user, packed FROM list WHERE user >= ? AND user < ?", (bucket, bucket + b"\xff" * 32)
    )
    theirs = [(key,) for key, packed in found.fetchall() if buries(stone, key) and made_at(packed) <= at]
    connection.executemany("DELETE FROM list WHERE user = ?", theirs)
