"""The items that an operator wants to be shown first: whether the catalogue has them."""

from collections.abc import Sequence
from typing import Final

import structlog

from service.catalog.ports import ItemCatalog

_log = structlog.stdlib.get_logger(__name__)

FETCH_SECONDS: Final = 5.0
"""For bringing them here from a catalogue that is elsewhere; later they come with the first request."""

MAX_NAMED_ITEMS: Final = 5


async def look_for(curated: Sequence[str], catalog: ItemCatalog) -> None:
    """Bring the curated items here, and log which of them cannot be shown; never fails.

    Args:
        curated: Their ids.
        catalog: A snapshot.
    """
    await catalog.prefetch(curated, FETCH_SECONDS)
    unknown = unknown_of(curated, catalog)
    if unknown:
        _log.warning("popular_items_unknown", count=len(unknown), first=unknown[:MAX_NAMED_ITEMS])


def unknown_of(curated: Sequence[str], catalog: ItemCatalog) -> list[str]:
    """Those that the catalogue has no complete item for, or not yet."""
    return [item_id for item_id, row in zip(curated, catalog.rows(curated), strict=True) if row is None]
