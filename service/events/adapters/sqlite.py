"""The events of an embedded replica, in one SQLite file in `DATA_DIR`.

A commit is an fsync (`synchronous=FULL`), so that what was answered 202 outlives a crash of the machine. A thread of
its own reads and writes.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from service.clock import Clock
from service.errors import SharedStateFull, SharedStateUnavailable
from service.events.event import Event, EventProblem
from service.events.known import MAX_OF_A_TYPE
from service.events.ports import CLAIM_SECONDS, MAX_WAITING, SEEN_SECONDS, Backlog, KnownEvent, Waiting
from service.files.sqlite_thread import SqliteThread
from service.lists.keys import UserPrefix

FILE_NAME: Final = "events.sqlite"

FOLLOW_SECONDS: Final = 0.5
"""Between two looks whether another process has written."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_at ON seen (at);
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY, user BLOB NOT NULL, packed BLOB NOT NULL, at REAL NOT NULL,
    due REAL NOT NULL DEFAULT 0, aside TEXT);
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (due) WHERE aside IS NULL;
CREATE TABLE IF NOT EXISTS known (
    user BLOB NOT NULL, type TEXT NOT NULL, item TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (user, type, item)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (url TEXT PRIMARY KEY, note BLOB NOT NULL) WITHOUT ROWID;
"""


class SqliteEventStore:
    """An `EventStore` in a file.

    Args:
        data_dir: `DATA_DIR`.
        clock: Its Unix time dates what is kept.
        sends_on: Whether accepted events wait to be sent on.
        max_waiting: Events that wait at most.
    """

    def __init__(self, data_dir: Path, *, clock: Clock, sends_on: bool, max_waiting: int = MAX_WAITING) -> None:
        self._clock = clock
        self._sends_on = sends_on
        self._max_waiting = max_waiting
        self._file = SqliteThread(data_dir / FILE_NAME, _SCHEMA, synchronous="FULL")

    async def accept(self, events: Sequence[tuple[UserPrefix, Event]]) -> list[bool]:
        """See `EventStore.accept`; one commit."""
        return await self._file.run(lambda connection: self._accept(connection, events)) if events else []

    async def known(self, user_prefix: UserPrefix) -> list[KnownEvent]:
        """See `EventStore.known`."""

        def look(connection: sqlite3.Connection) -> list[KnownEvent]:
            rows = connection.execute("SELECT type, item, at FROM known WHERE user = ? ORDER BY at", (user_prefix,))
            return [KnownEvent(row[0], row[1], row[2]) for row in rows]

        return await self._file.run(look)

    async def release(self) -> None:
        """Let what an earlier process had claimed wait again; for the only process that sends on."""
        await self._file.run(lambda connection: connection.execute("UPDATE outbox SET due = 0"))

    async def claim(self, most: int) -> list[Waiting]:
        """See `EventStore.claim`."""
        return await self._file.run(lambda connection: self._claim(connection, most))

    async def done(self, numbers: Sequence[str]) -> None:
        """See `EventStore.done`."""
        await self._file.run(
            lambda connection: connection.executemany("DELETE FROM outbox WHERE number = ?", [(n,) for n in numbers])
        )

    async def again(self, numbers: Sequence[str], after_seconds: float) -> None:
        """See `EventStore.again`."""
        due = self._clock.time() + after_seconds
        await self._file.run(
            lambda connection: connection.executemany(
                "UPDATE outbox SET due = ? WHERE number = ?", [(due, n) for n in numbers]
            )
        )

    async def aside(self, number: str, problem: str) -> None:
        """See `EventStore.aside`."""
        await self._file.run(
            lambda connection: connection.execute("UPDATE outbox SET aside = ? WHERE number = ?", (problem, number))
        )

    async def backlog(self) -> Backlog:
        """See `EventStore.backlog`."""

        def look(connection: sqlite3.Connection) -> Backlog:
            waiting, oldest = connection.execute("SELECT count(*), min(at) FROM outbox WHERE aside IS NULL").fetchone()
            (aside,) = connection.execute("SELECT count(*) FROM outbox WHERE aside IS NOT NULL").fetchone()
            return Backlog(waiting, oldest, aside)

        return await self._file.run(look)

    async def retry(self) -> int:
        """See `EventStore.retry`."""
        return await self._file.run(
            lambda connection: (
                connection.execute("UPDATE outbox SET aside = NULL, due = 0 WHERE aside IS NOT NULL").rowcount
            )
        )

    async def noted(self, url: str) -> bytes | None:
        """See `LoadNotes.noted`."""

        def look(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute("SELECT note FROM files WHERE url = ?", (url,)).fetchone()
            return None if row is None else bytes(row[0])

        return await self._file.run(look)

    async def note(self, url: str, note: bytes) -> None:
        """See `LoadNotes.note`."""
        await self._file.run(
            lambda connection: connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (url, note))
        )

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`; what waits to be sent on is not sent either."""

        def forget(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM known WHERE user = ?", (user_prefix,))
            connection.execute("DELETE FROM outbox WHERE user = ?", (user_prefix,))

        await self._file.run(forget)

    async def follow(self, on_gap: Callable[[], None]) -> None:
        """Call this whenever another process, such as `events load`, has written; until it is cancelled."""

        def look(connection: sqlite3.Connection) -> int:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

        last: int | None = None
        while True:
            with suppress(SharedStateUnavailable):
                version = await self._file.run(look)
                if version != last and last is not None:
                    on_gap()
                last = version
            await asyncio.sleep(FOLLOW_SECONDS)

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()

    def _accept(self, connection: sqlite3.Connection, events: Sequence[tuple[UserPrefix, Event]]) -> list[bool]:
        if not self._has_room(connection, len(events)):
            raise SharedStateFull(f"{self._max_waiting:,} events wait")
        now = self._clock.time()
        connection.execute("DELETE FROM seen WHERE at < ?", (now - SEEN_SECONDS,))
        new: list[bool] = []
        for user_prefix, event in events:
            inserted = connection.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (event.event_id, now)).rowcount
            new.append(bool(inserted))
            if not inserted:
                continue
            self._know(connection, user_prefix, event)
            if self._sends_on and not event.lifts and not event.known_only:
                connection.execute(
                    "INSERT INTO outbox (user, packed, at) VALUES (?, ?, ?)", (user_prefix, event.packed(), now)
                )
        return new

    def _has_room(self, connection: sqlite3.Connection, count: int) -> bool:
        # The span of the numbers costs nothing to know, and is never less than what waits.
        (span,) = connection.execute("SELECT max(number) - min(number) + 1 FROM outbox").fetchone()
        if (span or 0) + count <= self._max_waiting:
            return True
        (waiting,) = connection.execute("SELECT count(*) FROM outbox").fetchone()
        return int(waiting) + count <= self._max_waiting

    def _know(self, connection: sqlite3.Connection, user_prefix: UserPrefix, event: Event) -> None:
        if not event.item_id:
            return
        key = (user_prefix, event.event_type, event.item_id)
        if event.lifts:
            connection.execute("DELETE FROM known WHERE user = ? AND type = ? AND item = ?", key)
            return
        connection.execute(
            "INSERT INTO known VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
            (*key, event.sent_at),
        )
        connection.execute(
            "DELETE FROM known WHERE user = ? AND type = ? AND item IN (SELECT item FROM known"
            " WHERE user = ? AND type = ? ORDER BY at DESC LIMIT -1 OFFSET ?)",
            (*key[:2], *key[:2], MAX_OF_A_TYPE),
        )

    def _claim(self, connection: sqlite3.Connection, most: int) -> list[Waiting]:
        now = self._clock.time()
        rows = connection.execute(
            "SELECT number, packed FROM outbox WHERE aside IS NULL AND due <= ? ORDER BY number LIMIT ?", (now, most)
        ).fetchall()
        waiting = []
        for number, packed in rows:
            try:
                waiting.append(Waiting(str(number), Event.unpacked(packed)))
            except EventProblem as problem:
                connection.execute("UPDATE outbox SET aside = ? WHERE number = ?", (str(problem), number))
        connection.executemany(
            "UPDATE outbox SET due = ? WHERE number = ?", [(now + CLAIM_SECONDS, number) for number, _ in rows]
        )
        return waiting
