"""The records of all resources, in a file that survives the process."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

Record = dict[str, Any]
"""One resource: Amazon's fields under Amazon's names, and ours, which begin with an underscore."""

_FILE: Final = "resources.sqlite3"


class Store:
    """Resources by ARN and transitions by number, kept in memory and written through.

    Args:
        directory: Holds the file; it exists.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._file = sqlite3.connect(directory / _FILE, isolation_level=None, check_same_thread=False)
        # The state is one developer's; a power cut may take its last moments.
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=NORMAL")
        for table in ("resource", "transition"):
            self._file.execute(
                f"CREATE TABLE IF NOT EXISTS {table} (place INTEGER PRIMARY KEY, name TEXT UNIQUE, body BLOB)"
            )
        self._resources = self._read("resource")
        self._transitions = self._read("transition")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

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
