"""Replaces the active catalogue while it is read: by interval, at once when asked, never by a bad version."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from service.catalog.current import CurrentCatalog
from service.catalog.ports import CatalogSource, ItemCatalog
from service.errors import ConfigurationError

_log = structlog.stdlib.get_logger(__name__)

MAX_INTERVALS_SKIPPED: Final = 16
"""Intervals after which a version that could not be loaded is tried again: 1, 2, 4, and at most this number."""


def _ignore(_: object) -> None:
    pass


class CatalogRefresher:
    """Makes a new snapshot active when the source has changed; keeps the old one when the new one is bad.

    A reader holds the snapshot that it reads. A replaced snapshot gives back what it has open behind its last reader.
    """

    def __init__(
        self,
        *,
        current: CurrentCatalog,
        source: CatalogSource,
        interval_seconds: float,
        on_loaded: Callable[[ItemCatalog], None] = _ignore,
        on_looked: Callable[[bool], None] = _ignore,
    ) -> None:
        """Begin nothing yet.

        Args:
            current: The active catalogue.
            source: Where the next one comes from.
            interval_seconds: Between two looks at the source.
            on_loaded: Called with a snapshot that has become active.
            on_looked: Called after a look at the source; True when what it holds now is active.
        """
        self._current = current
        self._source = source
        self._interval_seconds = interval_seconds
        self._on_loaded = on_loaded
        self._on_looked = on_looked
        self._asked = asyncio.Event()
        self._loading = asyncio.Lock()
        self._worker: asyncio.Task[None] | None = None
        self._bad_version: str | None = None
        self._failures = 0
        self._to_skip = 0

    def start(self) -> None:
        """Begin to look; `close` ends it."""
        self._worker = asyncio.create_task(self._work(), name="catalog-refresher")

    async def close(self) -> None:
        """Give up a load that is under way, with all that it has made so far."""
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker

    def refresh_now(self) -> None:
        """Look at once, and try again what failed before; what a signal handler calls."""
        self._asked.set()

    async def refresh(self, *, patiently: bool = False) -> bool:
        """Look at the source, and load it if it has changed; one at a time.

        Args:
            patiently: Skip some intervals for a version that has failed.

        Returns:
            Whether another snapshot has become active.
        """
        async with self._loading:
            version: str | None = None
            try:
                version = await self._source.version()
                if version == self._source.loaded_version:
                    self._worked()
                    self._on_looked(True)
                    return False
                if patiently and version == self._bad_version and self._to_skip > 0:
                    self._to_skip -= 1
                    return False
                snapshot = await self._source.load(self._current.snapshot.version + 1)
            except ConfigurationError as error:
                self._failed(version, "; ".join(error.problems))
                return False
            # Anything else that a source, a file or a library raises: the old catalogue stays, and this goes on.
            except Exception as error:  # noqa: BLE001  # logged with its traceback, and counted
                _log.exception("catalog_source_failed")
                self._failed(version, f"{type(error).__name__}: {error}")
                return False
            self._current.snapshot = snapshot
            self._worked()
        _log.info("catalog_replaced", items=len(snapshot), version=snapshot.version)
        self._on_loaded(snapshot)
        self._on_looked(True)
        return True

    async def _work(self) -> None:
        while True:
            patiently = False
            try:
                async with asyncio.timeout(self._interval_seconds):
                    await self._asked.wait()
            except TimeoutError:
                patiently = True
            self._asked.clear()
            await self.refresh(patiently=patiently)

    def _worked(self) -> None:
        self._bad_version = None
        self._failures = self._to_skip = 0

    def _failed(self, version: str | None, problem: str) -> None:
        if version != self._bad_version:
            self._worked()
        self._bad_version = version
        self._to_skip = min(2**self._failures, MAX_INTERVALS_SKIPPED) - 1
        self._failures = min(self._failures + 1, MAX_INTERVALS_SKIPPED)
        _log.warning("catalog_not_replaced", problem=problem)
        self._on_looked(False)
