"""Users forgotten by an embedded replica, remembered on disk for loads that begin later.

They stand in the files of the batch lists, which replace each other, or in a file of their own while there are none.
"""

import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from service.lists.keys import UserPrefix
from service.lists.tombstone import tombstone

FILE_NAME: Final = "batch-forgotten.sqlite"

KEEP_SECONDS: Final = 366 * 86_400
"""Longest that a list may be served: the bound of CACHE_STALE_SECONDS, and a day."""

_BUSY_SECONDS: Final = 5.0

_TABLE: Final = "CREATE TABLE IF NOT EXISTS forgotten_users (stone BLOB PRIMARY KEY, at REAL NOT NULL)"

Forgotten = Sequence[tuple[bytes, float]]
"""Tombstones, each with the Unix time of the request to forget."""


def forgotten_now(user_prefix: UserPrefix) -> Forgotten:
    """The tombstone of a user who is forgotten in this moment."""
    return [(tombstone(user_prefix), time.time())]


def keep(connection: sqlite3.Connection, forgotten: Iterable[tuple[bytes, float]]) -> None:
    """Remember all of these in this file; the caller's transaction."""
    connection.execute(_TABLE)
    connection.executemany("INSERT OR REPLACE INTO forgotten_users VALUES (?, ?)", forgotten)
    connection.execute("DELETE FROM forgotten_users WHERE at < ?", (time.time() - KEEP_SECONDS,))


def noted_in(path: Path) -> Forgotten:
    """Those that a file remembers; none if it is not there."""
    if not path.exists():
        return []
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'forgotten_users'").fetchone():
            return []
        found: Forgotten = connection.execute("SELECT stone, at FROM forgotten_users").fetchall()
    return found


def keep_apart(data_dir: Path, forgotten: Iterable[tuple[bytes, float]]) -> None:
    """Remember all of these in the file of its own.

    Raises:
        OSError, sqlite3.Error: The folder cannot be written.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / FILE_NAME
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as connection, connection:
        keep(connection, forgotten)
