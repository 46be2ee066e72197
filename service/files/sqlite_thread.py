"""One SQLite file that a thread of its own reads and writes."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

from service.errors import SharedStateUnavailable
from service.files.private import make_file, make_folder

_Result = TypeVar("_Result")


class SqliteThread:
    """A file with its schema, made when it is first needed.

    Args:
        path: The file; its name without the suffix names the thread.
        schema: Statements that make what is missing.
        synchronous: FULL: a commit is an fsync, and outlives a crash of the machine. NORMAL: it outlives the process.
    """

    def __init__(self, path: Path, schema: str, *, synchronous: Literal["FULL", "NORMAL"]) -> None:
        self._path = path
        self._schema = schema
        self._synchronous = synchronous
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        self._connection: sqlite3.Connection | None = None

    async def run(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """What some work returns that is done in one transaction.

        Raises:
            SharedStateUnavailable: The file cannot be read or written.
        """

        def in_transaction() -> _Result:
            connection = self._open()
            with connection:
                return work(connection)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, in_transaction)
        except (sqlite3.Error, OSError) as error:
            raise SharedStateUnavailable(f"{self._path.name}: {error}") from error

    async def close(self) -> None:
        """Close the file."""

        def close() -> None:
            if self._connection is not None:
                self._connection.close()

        await asyncio.get_running_loop().run_in_executor(self._thread, close)
        self._thread.shutdown()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            make_folder(self._path.parent)
            make_file(self._path)
            connection = sqlite3.connect(self._path, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.executescript(self._schema)
            self._connection = connection
        return self._connection
