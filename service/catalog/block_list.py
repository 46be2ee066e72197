"""The rule of a block list, wherever it is kept."""

from collections.abc import Set as AbstractSet
from typing import Final

from service.errors import BlockListFull

MAX_BLOCKED_ITEMS: Final = 100_000
"""Ids in a block list. It is an emergency brake; an item that is never to be sold belongs out of the catalogue."""


def check_room(items: AbstractSet[str], item_id: str) -> None:
    """Refuse one id too many.

    Raises:
        BlockListFull: No room.
    """
    if item_id not in items and len(items) >= MAX_BLOCKED_ITEMS:
        raise BlockListFull(f"at most {MAX_BLOCKED_ITEMS} items can be blocked")
