"""The items that can be shown, as the rooms above see them."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from service.catalog.item import CatalogRow


class ItemCatalog(Protocol):
    """The items that may be shown; a snapshot, replaced as a whole."""

    @property
    def version(self) -> int:
        """Grows with every change of the catalogue."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the further columns, as the source spells them."""

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

    def close(self) -> None:
        """Close what it holds, at the end of the service; one that is replaced closes itself behind its last reader."""


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
            SharedStateUnavailable: It could not be kept, so it is not in force.
        """

    async def unblock(self, item_id: str) -> None:
        """Let an item be shown again; unknown ids are fine.

        Raises:
            SharedStateUnavailable: It could not be kept, so it is not in force.
        """
