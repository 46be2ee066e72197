"""The records of all resources, in a file that survives the process."""

import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import orjson

from service.local_personalize.errors import LocalPersonalizeError

Record = dict[str, Any]
"""One resource: Amazon's fields under Amazon's names, and ours, which begin with an underscore."""

_FILE: Final = "resources.sqlite3"
_LOCK: Final = "lock"


def _taken(path: Path) -> IO[bytes]:
    """The lock of a directory; it ends with the process, however that ends.

    Raises:
        LocalPersonalizeError: Another process has it, or it cannot be written.
    """
    try:
        file = path.open("wb")
    except OSError as error:
        raise LocalPersonalizeError(f"{path} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise LocalPersonalizeError(f"{path.parent} is in use by another local Personalize") from error
    return file


class Store:
    """Resources by ARN and transitions by number, kept in memory and written through.

    Args:
        directory: Holds the file; it exists.

    Raises:
        LocalPersonalizeError: The directory cannot be used, or another process uses it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = _taken(directory / _LOCK)
        self._file = sqlite3.connect(directory / _FILE, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except sqlite3.Error as error:
            self.close()
            raise LocalPersonalizeError(f"{directory / _FILE} is no state of a local Personalize: {error}") from error
        self._resources = self._read("resource")
        self._transitions = self._read("transition")

    def _prepare(self) -> None:
        # The state is one developer's; a power cut may take its last moments.
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=NORMAL")
        for table in ("resource", "transition"):
            self._file.execute(
                f"CREATE TABLE IF NOT EXISTS {table} (place INTEGER PRIMARY KEY, name TEXT UNIQUE, body BLOB)"
            )

    def close(self) -> None:
        """Close the file, and let another process have the directory."""
        self._file.close()
        self._lock.close()

    def get(self, arn: str) -> Record | None:
        """The resource of this ARN."""
        return self._resources.get(arn)

    def of(self, noun: str, **fields: object) -> Iterator[Record]:
        """All resources of a kind with these values, the oldest first."""
        wanted = {"_noun": noun, **fields}
        for record in list(self._resources.values()):
            if all(record.get(name) == value for name, value in wanted.items()):
                yield record

    def save(self, arn: str, record: Record) -> None:
        """Add the resource, or write down what changed in it."""
        self._resources[arn] = record
        self._write("resource", arn, record)

    def remove(self, arn: str) -> None:
        """Take the resource away."""
        self._resources.pop(arn, None)
        self._file.execute("DELETE FROM resource WHERE name = ?", (arn,))

    def transitions(self) -> list[tuple[str, Record]]:
        """All that is going on, by name."""
        return list(self._transitions.items())

    def save_transition(self, name: str, transition: Record) -> None:
        """Add it, or write down how far it is."""
        self._transitions[name] = transition
        self._write("transition", name, transition)

    def remove_transition(self, name: str) -> None:
        """It is over."""
        self._transitions.pop(name, None)
        self._file.execute("DELETE FROM transition WHERE name = ?", (name,))

    def _read(self, table: str) -> dict[str, Record]:
        rows = self._file.execute(f"SELECT name, body FROM {table} ORDER BY place")  # noqa: S608  # our own two names
        return {name: orjson.loads(body) for name, body in rows}

    def _write(self, table: str, name: str, body: Record) -> None:
        self._file.execute(
            f"INSERT INTO {table} (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body",  # noqa: S608  # our own two names
            (name, orjson.dumps(body)),
        )
