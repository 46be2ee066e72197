"""The items that an operator wants first are brought here, and those that cannot be shown are named."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import cast

from structlog.testing import capture_logs

from service.catalog.curated import FETCH_SECONDS, MAX_NAMED_ITEMS, look_for, unknown_of
from service.catalog.item import CatalogRow
from service.catalog.ports import ItemCatalog

IDS = [f"i{number}" for number in range(10)]


class Elsewhere:
    """Has items only once they were fetched, and not all of them."""

    def __init__(self, *ids: str) -> None:
        self.ids = ids
        self.here: set[str] = set()
        self.waits: list[float] = []

    async def prefetch(self, item_ids: Iterable[str], timeout_seconds: float) -> None:
        self.here.update(item_ids)
        self.waits.append(timeout_seconds)

    def rows(self, item_ids: Sequence[str]) -> list[CatalogRow | None]:
        return [CatalogRow(b"{}", b"[]") if one in self.here and one in self.ids else None for one in item_ids]


def looked(catalog: Elsewhere) -> list[tuple[int, list[str]]]:
    with capture_logs() as logs:
        asyncio.run(look_for(IDS, cast(ItemCatalog, catalog)))
    assert catalog.waits == [FETCH_SECONDS]
    return [(log["count"], log["first"]) for log in logs]


def test_items_that_are_elsewhere_are_brought_here_before_anything_is_said_of_them() -> None:
    """C6."""
    assert looked(Elsewhere(*IDS)) == []
    assert looked(Elsewhere(*IDS[1:])) == [(1, IDS[:1])]
    assert looked(Elsewhere(*IDS[8:])) == [(8, IDS[:MAX_NAMED_ITEMS])]
    assert unknown_of(IDS, cast(ItemCatalog, Elsewhere(*IDS))) == IDS
