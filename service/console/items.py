"""Items as a page shows them."""

from collections.abc import Iterable
from typing import Any, Final

import orjson

from service.catalog.item import CatalogRow
from service.catalog.ports import BlockList, ItemCatalog

FETCH_SECONDS: Final = 1.0
"""How long a catalogue elsewhere may take to bring items here."""


async def items_of(item_ids: Iterable[str], catalog: ItemCatalog, blocked: BlockList) -> dict[str, dict[str, Any]]:
    """Every value of each item by its id, and whether it is blocked or excluded; absent if the catalogue has none."""
    ids = list(dict.fromkeys(item_ids))
    missing = catalog.missing(ids)
    if missing:
        await catalog.prefetch(missing, FETCH_SECONDS)
    rows = zip(ids, catalog.rows(ids), strict=True)
    return {item_id: shown(item_id, row, catalog, blocked) for item_id, row in rows if row is not None}


def shown(item_id: str, row: CatalogRow, catalog: ItemCatalog, blocked: BlockList) -> dict[str, Any]:
    """An item's five columns, the further ones beside them, and what keeps it from answers."""
    further = dict(zip(catalog.columns, orjson.loads(row.extras), strict=False))
    return {
        # A further column may have the name of one of the five, where that one is made of others.
        **orjson.loads(row.fragment),
        "further": {name: value for name, value in further.items() if value is not None},
        "blocked": item_id in blocked,
        "excluded": not row.eligible,
    }
