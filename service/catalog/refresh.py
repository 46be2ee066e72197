"""Replaces the active catalogue while it is read: by interval, at once when asked, never by a bad version."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

import structlog

from service.catalog.column_memory import ColumnMemory
from service.catalog.curated import look_for
from service.catalog.current import CurrentCatalog
from service.catalog.ports import CatalogSource, ItemCatalog
from service.errors import CatalogError, ConfigurationError

_log = structlog.stdlib.get_logger(__name__)

MAX_INTERVALS_SKIPPED: Final = 16
"""Intervals after which a version that could not be loaded is tried again: 1, 2, 4, and at most this number."""

_IDS_REMEDY: Final = "if only the ids changed, name the column of the old ones, or train Personalize with the new"

ASKS_TO_SHRINK: Final = 2
"""How often an operator asks for a version that has shrunk before it becomes active."""


MAX_IDS_LOOKED_AT: Final = 200
"""Items of the old catalogue that are looked for in the new one; some milliseconds."""

MIN_IDS_LOOKED_AT: Final = 20
"""Of fewer, all may well be others."""


def _ignore(_: object) -> None:
    pass


@dataclass(slots=True)
class _Shrunk:
    """A version that was refused because it lost too many items."""

    version: str
    items: int
    asks: int


@dataclass(slots=True)
class _Failing:
    """A version that could not be loaded, or looked at."""

    version: str | None
    failures: int
    to_skip: int
    """Intervals until it is tried again."""


class ShrinkGuard:
    """Refuses a catalogue that lost many of its items, as half an upload does.

    Two things show that it is meant: an operator who asks for it twice, and a later version of about the same size.

    Args:
        max_shrink: Share of its items that a catalogue may lose at once.
    """

    def __init__(self, max_shrink: float) -> None:
        self._max_shrink = max_shrink
        self._refused: _Shrunk | None = None

    @property
    def refuses(self) -> bool:
        """Whether the newest version is refused for its size."""
        return self._refused is not None

    def clear(self) -> None:
        """A version has become active."""
        self._refused = None

    def check(self, items: int, active: int, version: str, asks: int, label: str) -> None:
        """Refuse a version that has shrunk, unless it is shown to be meant.

        Args:
            items: Of the new version.
            active: Items of the active one.
            version: Names the new one.
            asks: How often an operator has asked for it since the last look.
            label: Names the source.

        Raises:
            CatalogError: It has.
        """
        if not self._is_shrunk(items, active):
            return
        before = self._refused
        if before is not None and before.version == version:
            asks += before.asks
        elif before is not None and not (self._is_shrunk(items, before.items) or self._is_shrunk(before.items, items)):
            return
        if asks >= ASKS_TO_SHRINK:
            return
        self._refused = _Shrunk(version, items, asks)
        raise CatalogError(
            f"{label}: {items:,} items where {active:,} were; CATALOG_MAX_SHRINK={self._max_shrink:g} refuses that;"
            f" if it is meant, send SIGHUP {'twice' if not asks else 'once more'}, or store a new version of this size"
        )

    def look_for_ids(self, snapshot: ItemCatalog, active: ItemCatalog) -> None:
        """Tell of a version that has as many items and hardly one of the ids that Personalize and lists know.

        It is not refused: a shop may change its whole range.
        """
        if self._is_shrunk(len(snapshot), len(active)):
            return
        ids = list(islice(active.first_ids(), MAX_IDS_LOOKED_AT))
        if len(ids) < MIN_IDS_LOOKED_AT or snapshot.missing(ids):
            return
        kept = sum(row is not None for row in snapshot.rows(ids))
        if self._is_shrunk(kept, len(ids)):
            _log.warning("catalog_ids_changed", kept=kept, looked_for=len(ids), remedy=_IDS_REMEDY)

    def _is_shrunk(self, items: int, before: int) -> bool:
        return items < before * (1 - self._max_shrink)


class CatalogRefresher:
    """Makes a new snapshot active when the source has changed; keeps the old one when the new one is bad.

    A reader holds the snapshot that it reads. A replaced snapshot gives back what it has open behind its last reader.
    """

    def __init__(
        self,
        *,
        current: CurrentCatalog,
        source: CatalogSource,
        columns: ColumnMemory,
        interval_seconds: float,
        max_shrink: float = 1.0,
        curated: Sequence[str] = (),
        on_loaded: Callable[[ItemCatalog], None] = _ignore,
        on_looked: Callable[[bool], None] = _ignore,
    ) -> None:
        """Begin nothing yet.

        Args:
            current: The active catalogue.
            source: Where the next one comes from, and the active one came from.
            columns: What the catalogue had before this replica started.
            interval_seconds: Between two looks at the source.
            max_shrink: See `ShrinkGuard`.
            curated: Ids that should be in every catalogue.
            on_loaded: Called with a snapshot that has become active.
            on_looked: Called after a look at the source; True when what it holds now is active.
        """
        self._current = current
        self._source = source
        self._columns = columns
        self._active_version = source.loaded_version
        self._interval_seconds = interval_seconds
        self._guard = ShrinkGuard(max_shrink)
        self._curated = curated
        self._on_loaded = on_loaded
        self._on_looked = on_looked
        self._asked = asyncio.Event()
        self._asks = 0
        self._loading = asyncio.Lock()
        self._worker: asyncio.Task[None] | None = None
        self._failing: _Failing | None = None

    @property
    def refuses_shrunk(self) -> bool:
        """Whether the source's newest version is refused because it lost too many items."""
        return self._guard.refuses

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
        self._asks += 1
        self._asked.set()

    async def refresh(self, *, asks: int) -> bool:
        """Look at the source, and load it if it has changed; one at a time.

        Args:
            asks: How often an operator has asked since the last look. Without, some intervals are skipped for a version
                that has failed.

        Returns:
            Whether another snapshot has become active.
        """
        async with self._loading:
            version: str | None = None
            try:
                version = await self._source.version()
                missing = await self._columns.missing(self._current.snapshot)
                if version == self._active_version and not missing:
                    await self._columns.keep(self._current.snapshot)
                    self._worked()
                    self._on_looked(True)
                    return False
                failing = self._failing
                if not asks and failing is not None and version == failing.version and failing.to_skip > 0:
                    failing.to_skip -= 1
                    return False
                snapshot = await self._loaded(version, asks, missing)
            except ConfigurationError as error:
                self._failed(version, "; ".join(error.problems))
                return False
            # Anything else that a source, a file or a library raises: the old catalogue stays, and this goes on.
            except Exception as error:  # noqa: BLE001  # logged with its traceback, and counted
                _log.exception("catalog_source_failed")
                self._failed(version, f"{type(error).__name__}: {error}")
                return False
            self._current.snapshot = snapshot
            self._active_version = self._source.loaded_version
            self._worked()
        _log.info("catalog_replaced", items=len(snapshot), version=snapshot.version)
        self._on_loaded(snapshot)
        self._on_looked(True)
        return True

    async def _loaded(self, version: str, asks: int, missing: Sequence[str]) -> ItemCatalog:
        active = self._current.snapshot
        snapshot = await self._source.load(active.version + 1, [*active.columns, *missing])
        try:
            self._guard.check(len(snapshot), len(active), version, asks, self._source.label)
            self._guard.look_for_ids(snapshot, active)
            await look_for(self._curated, snapshot)
            await self._columns.keep(snapshot)
        except BaseException:
            snapshot.close()
            raise
        return snapshot

    async def _work(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_seconds):
                    await self._asked.wait()
            self._asked.clear()
            asks, self._asks = self._asks, 0
            await self.refresh(asks=asks)

    def _worked(self) -> None:
        self._failing = None
        self._guard.clear()

    def _failed(self, version: str | None, problem: str) -> None:
        before = self._failing
        failures = before.failures if before is not None and before.version == version else 0
        to_skip = min(2**failures, MAX_INTERVALS_SKIPPED) - 1
        self._failing = _Failing(version, min(failures + 1, MAX_INTERVALS_SKIPPED), to_skip)
        _log.warning("catalog_not_replaced", problem=problem)
        self._on_looked(False)
