"""Further columns that the catalogue has had, for replicas that start later: a template may ask for them."""

from collections.abc import Sequence
from typing import Final

import structlog

from service.catalog.ports import ItemCatalog, KnownColumns
from service.clock import Clock
from service.errors import SharedStateUnavailable

_log = structlog.stdlib.get_logger(__name__)

KEEP_SECONDS: Final = 86_400.0
"""After so long what the catalogue still has is kept anew, so that it counts as seen."""


class ColumnMemory:
    """Knows what the catalogue had before this replica started, and keeps what it has for the next one.

    While the store cannot be read, nothing is known from before; each look at the catalogue's source tries again.

    Args:
        store: Where they are kept.
        clock: For when they were kept last.
    """

    def __init__(self, store: KnownColumns, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._recalled = False
        self._late: Sequence[str] = ()
        self._kept: frozenset[str] = frozenset()
        self._kept_at = float("-inf")
        self._logged = False

    async def recall(self) -> Sequence[str]:
        """Columns from before, for the first catalogue; none if the store cannot be read."""
        try:
            found = await self._store.recall()
        except SharedStateUnavailable as error:
            self._failed(error)
            return ()
        self._recalled = True
        return found

    async def missing(self, catalog: ItemCatalog) -> Sequence[str]:
        """Columns from before that could not be read at the start, until a catalogue with them is kept."""
        if not self._recalled and not catalog.is_open:
            known = set(catalog.columns)
            self._late = [name for name in await self.recall() if name not in known]
        return self._late

    async def keep(self, catalog: ItemCatalog) -> None:
        """Keep the columns that the catalogue's source has now; does nothing where that was done lately."""
        self._late = ()
        if catalog.is_open:
            return
        lost = set(catalog.lost_columns)
        there = frozenset(name for name in catalog.columns if name not in lost)
        now = self._clock.monotonic()
        if there <= self._kept and now - self._kept_at < KEEP_SECONDS:
            return
        try:
            await self._store.remember(sorted(there))
        except SharedStateUnavailable as error:
            self._failed(error)
            return
        self._kept, self._kept_at, self._logged = there, now, False

    def _failed(self, error: SharedStateUnavailable) -> None:
        if not self._logged:
            self._logged = True
            _log.warning("catalog_columns_not_kept", problem=str(error))
