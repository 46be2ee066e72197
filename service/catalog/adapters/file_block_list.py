"""Items taken out of every answer, kept in a file of an embedded replica."""

import asyncio
import json
import os
from pathlib import Path

from service.errors import BlockListFull, ConfigurationError, SharedStateUnavailable

MAX_BLOCKED = 100_000
"""Ids in a block list. It is an emergency brake; what is never to be sold belongs out of the catalogue."""


class FileBlockList:
    """One replica's block list; a change is on disk before it is confirmed.

    When the file cannot be written, a change raises `SharedStateUnavailable` and is not made.

    Args:
        path: JSON array of ids; made with its folder at the first change.

    Raises:
        ConfigurationError: The file is there but cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changing = asyncio.Lock()
        self._version = 0
        try:
            self._items = frozenset(map(str, json.loads(path.read_text("utf-8")))) if path.exists() else frozenset()
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(f"DATA_DIR: the block list {path} cannot be read: {error}") from error

    @property
    def version(self) -> int:
        """Grows with every change."""
        return self._version

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def ids(self) -> list[str]:
        """All blocked ids, in order."""
        return sorted(self._items)

    async def block(self, item_id: str) -> None:
        """Take an item out of every answer; it need not be in the catalogue.

        Raises:
            BlockListFull: No room.
            SharedStateUnavailable: It could not be kept.
        """
        async with self._changing:
            check_room(self._items, item_id)
            await self._replace(self._items | {item_id})

    async def unblock(self, item_id: str) -> None:
        """Let an item be shown again; unknown ids are fine.

        Raises:
            SharedStateUnavailable: It could not be kept.
        """
        async with self._changing:
            await self._replace(self._items - {item_id})

    async def _replace(self, items: frozenset[str]) -> None:
        if items == self._items:
            return
        try:
            await asyncio.to_thread(_write, self._path, sorted(items))
        except OSError as error:
            raise SharedStateUnavailable(f"the block list cannot be written: {error.strerror}") from error
        self._items = items
        self._version += 1


def check_room(items: frozenset[str], item_id: str) -> None:
    """Raise when one more id would be too many.

    Raises:
        BlockListFull: No room.
    """
    if item_id not in items and len(items) >= MAX_BLOCKED:
        raise BlockListFull(f"at most {MAX_BLOCKED} items can be blocked")


def _write(path: Path, items: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(items, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
