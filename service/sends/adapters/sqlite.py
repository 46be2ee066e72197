"""Pins of sends of an embedded replica, in one SQLite file in `DATA_DIR`; a thread of its own reads and writes.

A commit is no fsync: a pin outlives the process, and perhaps not a crash of the machine.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from service.clock import Clock
from service.files.sqlite_thread import SqliteThread
from service.lists.keys import USER_PREFIX_BYTES, UserKey, UserPrefix
from service.sends.adapters.shown_codec import unpack_shown, with_shown
from service.sends.ports import SHOWN_SECONDS, ShownItems

FILE_NAME: Final = "sends.sqlite"

MAX_PINS: Final = 1_000_000
"""About 300 MB on disk; beyond it the oldest go."""

CLEANED_EVERY: Final = 1_000
"""Pins kept between two looks for those that have ended."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS pin (
    user BLOB NOT NULL, digest BLOB NOT NULL, asked INTEGER NOT NULL, packed BLOB NOT NULL, until REAL NOT NULL,
    PRIMARY KEY (user, digest)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pin_until ON pin (until);
CREATE TABLE IF NOT EXISTS shown (user BLOB PRIMARY KEY, packed BLOB NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
"""


class SqliteSendStore:
    """A `SendStore` in a file.

    Args:
        data_dir: `DATA_DIR`.
        clock: Its Unix time tells when a pin ends.
    """

    def __init__(self, data_dir: Path, *, clock: Clock) -> None:
        self._clock = clock
        self._file = SqliteThread(data_dir / FILE_NAME, _SCHEMA, synchronous="NORMAL")
        self._kept = 0

    async def look(self, key: UserKey) -> tuple[bytes | None, Sequence[ShownItems]]:
        """See `SendStore.look`."""
        user, digest = _parts(key)

        def look(connection: sqlite3.Connection) -> tuple[bytes | None, Sequence[ShownItems]]:
            now = self._clock.time()
            pin = connection.execute(
                "SELECT packed FROM pin WHERE user = ? AND digest = ? AND until > ?", (user, digest, now)
            ).fetchone()
            return None if pin is None else pin[0], unpack_shown(_shown(connection, user, now))

        return await self._file.run(look)

    async def keep(
        self,
        key: UserKey,
        packed: bytes,
        *,
        instead_of: int,
        seconds: float,
        shown: ShownItems,
        recommendation_id: str = "",
    ) -> bytes | None:
        """See `SendStore.keep`."""
        del recommendation_id
        user, digest = _parts(key)

        def keep(connection: sqlite3.Connection) -> bytes | None:
            now = self._clock.time()
            pin = connection.execute(
                "SELECT asked, packed FROM pin WHERE user = ? AND digest = ? AND until > ?", (user, digest, now)
            ).fetchone()
            if pin is not None and pin[0] != instead_of:
                other: bytes = pin[1]
                return other
            asked = int.from_bytes(packed[:2], "big")
            connection.execute(
                "INSERT OR REPLACE INTO pin VALUES (?, ?, ?, ?, ?)", (user, digest, asked, packed, now + seconds)
            )
            connection.execute(
                "INSERT OR REPLACE INTO shown VALUES (?, ?, ?)",
                (user, with_shown(_shown(connection, user, now), shown), now + SHOWN_SECONDS),
            )
            self._kept += 1
            if self._kept % CLEANED_EVERY == 1:
                _clean(connection, now)
            return None

        return await self._file.run(keep)

    async def pins_of(self, user_prefix: UserPrefix, recommendation_id: str) -> Sequence[bytes]:
        """See `SendStore.pins_of`; all of the user's, since they are few."""
        del recommendation_id

        def look(connection: sqlite3.Connection) -> list[bytes]:
            rows = connection.execute(
                "SELECT packed FROM pin WHERE user = ? AND until > ?", (user_prefix, self._clock.time())
            )
            return [packed for (packed,) in rows]

        return await self._file.run(look)

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`."""

        def forget(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM pin WHERE user = ?", (user_prefix,))
            connection.execute("DELETE FROM shown WHERE user = ?", (user_prefix,))

        await self._file.run(forget)

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()


def _parts(key: UserKey) -> tuple[bytes, bytes]:
    return key[:USER_PREFIX_BYTES], key[USER_PREFIX_BYTES:]


def _shown(connection: sqlite3.Connection, user: bytes, now: float) -> bytes:
    row = connection.execute("SELECT packed FROM shown WHERE user = ? AND until > ?", (user, now)).fetchone()
    return b"" if row is None else bytes(row[0])


def _clean(connection: sqlite3.Connection, now: float) -> None:
    connection.execute("DELETE FROM pin WHERE until <= ?", (now,))
    connection.execute("DELETE FROM shown WHERE until <= ?", (now,))
    for table, key in (("pin", "user, digest"), ("shown", "user")):
        connection.execute(
            f"DELETE FROM {table} WHERE ({key}) IN"  # noqa: S608  # names of ours
            f" (SELECT {key} FROM {table} ORDER BY until DESC LIMIT -1 OFFSET ?)",
            (MAX_PINS,),
        )
