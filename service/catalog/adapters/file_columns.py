"""Columns that the catalogue has had, in a file of an embedded replica."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import orjson

from service.catalog.ports import MAX_KNOWN_COLUMNS, REMEMBERED_SECONDS
from service.errors import SharedStateUnavailable
from service.files.private import replace_file


class FileColumns:
    """Implements `KnownColumns` by a JSON object: column to the Unix time when the source last had it.

    Args:
        path: Made with its folder when the first columns are kept.
        now: Unix time.
    """

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._path = path
        self._now = now

    async def recall(self) -> Sequence[str]:
        """See `KnownColumns.recall`."""
        return [*await asyncio.to_thread(self._read)]

    async def remember(self, columns: Sequence[str]) -> None:
        """See `KnownColumns.remember`."""
        await asyncio.to_thread(self._write, columns)

    def _read(self) -> Mapping[str, float]:
        try:
            seen = orjson.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise SharedStateUnavailable(f"{self._path}: cannot be read: {error}") from error
        if not isinstance(seen, dict) or not all(isinstance(time, int | float) for time in seen.values()):
            raise SharedStateUnavailable(f"{self._path}: is no object of columns and times")
        oldest = self._now() - REMEMBERED_SECONDS
        return {name: time for name, time in seen.items() if time > oldest}

    def _write(self, columns: Sequence[str]) -> None:
        try:
            before = self._read()
        except SharedStateUnavailable:
            before = {}  # what cannot be read is written anew
        seen = {**before, **dict.fromkeys(columns, self._now())}
        newest = sorted(seen.items(), key=lambda pair: pair[1])[-MAX_KNOWN_COLUMNS:]
        try:
            replace_file(self._path, orjson.dumps(dict(newest)))
        except OSError as error:
            raise SharedStateUnavailable(f"{self._path}: cannot be written: {error.strerror or error}") from error
