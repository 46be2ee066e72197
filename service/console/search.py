"""Finding items by id or name, a few at a time between the answers to callers."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from service.catalog.ports import BlockList, ItemCatalog
from service.clock import Clock
from service.console.items import items_of, shown

MAX_FOUND: Final = 20
"""Items of one search."""

SEARCH_SECONDS: Final = 2.0
"""How long a search may take; then it says how far it came."""

_AT_ONCE: Final = 100
"""Items looked at in a turn of the event loop: some tenths of a millisecond."""


@dataclass(slots=True)
class Found:
    """What a search found."""

    items: list[dict[str, Any]] = field(default_factory=list)
    looked_at: int = 0
    complete: bool = True
    """Whether every item was looked at that could have been meant."""


async def search(text: str, catalog: ItemCatalog, blocked: BlockList, clock: Clock) -> Found:
    """The item of this id, then those whose id or name has the text in it, in the catalogue's order.

    A catalogue whose items are elsewhere is only asked for the id.
    """
    found = Found(items=list((await items_of([text], catalog, blocked)).values()))
    wanted, until = text.casefold(), clock.monotonic() + SEARCH_SECONDS
    for item_id, row in catalog.all_rows():
        found.looked_at += 1
        if found.looked_at % _AT_ONCE == 0:
            if clock.monotonic() > until:
                found.complete = False
                return found
            await asyncio.sleep(0)
        if item_id == text:
            continue
        if wanted in item_id.casefold() or wanted in str(orjson.loads(row.fragment)["name"]).casefold():
            if len(found.items) == MAX_FOUND:
                found.complete = False
                return found
            found.items.append(shown(item_id, row, catalog, blocked))
    if not found.looked_at:
        found.complete = bool(found.items)
    return found
