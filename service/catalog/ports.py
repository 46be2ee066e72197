"""The catalogue as the rooms above see it: where items come from, what can be shown, and what is blocked."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import IO, Final, Protocol

from service.catalog.item import CatalogRow

REMEMBERED_SECONDS: Final = 30 * 86_400.0
"""How long a column stays known that the source no longer has."""

MAX_KNOWN_COLUMNS: Final = 1_000
"""Columns that are kept for replicas that start later, those seen last."""


class ItemCatalog(Protocol):
    """The items that may be shown; a snapshot, replaced as a whole."""

    @property
    def version(self) -> int:
        """Grows with every change of the catalogue."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the further columns, as the source spells them, and of those that it once had; only grows."""

    @property
    def lost_columns(self) -> Sequence[str]:
        """Those of `columns` that the source no longer has; null in every item."""

    @property
    def is_open(self) -> bool:
        """Whether an item may have a further column that `columns` does not name yet."""

    def __len__(self) -> int:
        """Items that can be shown."""

    def rows(self, item_ids: Sequence[str]) -> list[CatalogRow | None]:
        """One entry for each id, None where the catalogue has no complete item, or has not fetched it yet."""

    def missing(self, item_ids: Iterable[str]) -> list[str]:
        """Those that `rows` could only answer, or answer freshly, after `prefetch`.

        Empty for a catalogue that holds all its items here; such a one does not even iterate over the ids.
        """

    async def prefetch(self, item_ids: Iterable[str], timeout_seconds: float) -> None:
        """Bring missing items here as far as the time allows; never fails."""

    def first_ids(self) -> Iterable[str]:
        """Every id that the operator's exclusion lets through, in the source's own order, made as it is asked for."""

    def all_rows(self) -> Iterator[tuple[str, CatalogRow]]:
        """Every item with its id in the source's own order, made as it is asked for; for people who search.

        Empty where the items are elsewhere. None is kept at hand by it.
        """

    def close(self) -> None:
        """Close what it holds, at the end of the service; a replaced one closes itself behind its last reader."""


@dataclass(frozen=True, slots=True)
class SourceContent:
    """What a source holds at this moment."""

    stream: IO[bytes]
    """The rows as they are stored, packed or not; able to seek."""

    version: str
    """See `CatalogSource.version`."""


class CatalogSource(Protocol):
    """Where catalogues come from."""

    @property
    def label(self) -> str:
        """Names the source in errors and logs."""

    @property
    def loaded_version(self) -> str:
        """What `version` would have said of the content that was loaded last; empty before the first."""

    async def version(self) -> str:
        """Changes whenever the content does.

        Raises:
            CatalogError: The source cannot be looked at.
        """

    async def load(self, version: int, known: Sequence[str] = ()) -> ItemCatalog:
        """A new snapshot; it gives back what it has open when nobody holds it any more.

        Args:
            version: Of the snapshot.
            known: Further columns that the catalogue had before, and keeps.

        Raises:
            CatalogError: There is nothing usable, or the exclusion does not fit its columns.
        """

    def opened(self) -> AbstractAsyncContextManager[SourceContent]:
        """All rows of the source, for as long as the block lasts.

        Raises:
            CatalogError: The source cannot be read.
        """

    async def close(self) -> None:
        """Close connections; snapshots are of no use afterwards."""


class KnownColumns(Protocol):
    """Where the further columns of a catalogue are kept over a restart."""

    async def recall(self) -> Sequence[str]:
        """Those that the source had within `REMEMBERED_SECONDS`.

        Raises:
            SharedStateUnavailable: They cannot be read.
        """

    async def remember(self, columns: Sequence[str]) -> None:
        """Keep columns that the source has now, beside those from before.

        Raises:
            SharedStateUnavailable: They cannot be kept.
        """


class BlockList(Protocol):
    """Items taken out of every answer by an operator."""

    @property
    def version(self) -> int:
        """Grows with every change."""

    def __contains__(self, item_id: object) -> bool: ...

    def ids(self) -> list[str]:
        """All blocked ids, in order."""

    async def block(self, item_id: str) -> None:
        """Take an item out of every answer; it need not be in the catalogue.

        Raises:
            BlockListFull: No room.
            SharedStateUnavailable: The change could not be kept, so it has no effect.
        """

    async def unblock(self, item_id: str) -> None:
        """Let an item be shown again; unknown ids are fine.

        Raises:
            SharedStateUnavailable: The change could not be kept, so it has no effect.
        """
