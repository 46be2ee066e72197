"""Items taken out of every answer, kept in a file of an embedded replica."""

import asyncio
from pathlib import Path

import orjson

from service.catalog.block_list import check_room
from service.errors import ConfigurationError, SharedStateUnavailable
from service.files.private import replace_file


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
            self._items = _read(path) if path.exists() else frozenset()
        except (OSError, ValueError) as error:
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
            await asyncio.to_thread(replace_file, self._path, orjson.dumps(sorted(items)))
        except OSError as error:
            raise SharedStateUnavailable(f"the block list cannot be written: {error.strerror}") from error
        self._items = items
        self._version += 1


def _read(path: Path) -> frozenset[str]:
    items = orjson.loads(path.read_bytes())
    # Whole numbers, too: an operator may have written the file.
    if not isinstance(items, list) or not all(type(item) in (str, int) for item in items):
        raise ValueError("must be a list of ids, each in quotes")  # for the caller it is bad content
    return frozenset(map(str, items))
