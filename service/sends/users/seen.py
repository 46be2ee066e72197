"""Which users were there already."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

from service.sends.users.findings import UsersFileError

_KIB: Final = 32 * 1024
_DIGEST_BYTES: Final = 12
"""Two of ten million users share theirs with a chance of one in 10^15."""


class SeenUsers:
    """Digests in a file that SQLite makes, bounds in memory, and deletes.

    Raises:
        UsersFileError: There is no room for it.
    """

    def __init__(self) -> None:
        with _readable_errors():
            self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            for statement in (
                "PRAGMA journal_mode=OFF",
                f"PRAGMA cache_size=-{_KIB}",
                "CREATE TABLE seen (user BLOB PRIMARY KEY) WITHOUT ROWID",
                "BEGIN",
            ):
                self._db.execute(statement)

    def add(self, user: str) -> bool:
        """Whether the user is new.

        Raises:
            UsersFileError: There is no more room.
        """
        digest = blake2b(user.encode(), digest_size=_DIGEST_BYTES).digest()
        with _readable_errors():
            return self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (digest,)).rowcount == 1

    def close(self) -> None:
        """Delete the file."""
        self._db.close()


@contextmanager
def _readable_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise UsersFileError(f"no room for a temporary file, set TMPDIR: {error}") from error
