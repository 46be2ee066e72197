"""Items taken out of every answer, shared by all replicas."""

from collections.abc import Callable
from typing import Final, Self

from service.catalog.block_list import MAX_BLOCKED_ITEMS, check_room
from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.fleet.client import RedisClient
from service.fleet.ledger import Keeping, Ledger

UNBLOCKED_SECONDS: Final = 7 * 86_400.0
"""How long it is known that an item was unblocked, so that no replica's copy blocks it again."""


class RedisBlockList:
    """A ledger in Redis, and its copy in every replica.

    When Redis is down, the copies stay active and a change raises `SharedStateUnavailable`. When Redis has lost its
    memory, or some of it, the replicas put back what they know: an item once blocked must not return by accident.

    Args:
        client: Open for as long as this list is.
        key: The ledger's, with a hash tag.
        clock: For the ledger.
        others: How many other replicas are alive, which could know of a block.
    """

    def __init__(self, client: RedisClient, *, key: str, clock: Clock, others: Callable[[], int]) -> None:
        self._items: frozenset[str] = frozenset()
        self._version = 0
        self._ledger = Ledger(
            client,
            key,
            clock=clock,
            keeping=Keeping(entry_seconds=None, removal_seconds=UNBLOCKED_SECONDS, most=MAX_BLOCKED_ITEMS),
            others=others,
            on_change=self._on_change,
        )

    async def __aenter__(self) -> Self:
        """Learn what is blocked, also from replicas that know more than Redis; succeeds without Redis too."""
        await self._ledger.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop to look; before the client is closed."""
        await self._ledger.__aexit__()

    @property
    def version(self) -> int:
        """Grows with every change seen by this replica."""
        return self._version

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def ids(self) -> list[str]:
        """All blocked ids, in order."""
        return sorted(self._items)

    async def block(self, item_id: str) -> None:
        """Take an item out of every answer of every replica, within a second; here at once.

        Raises:
            BlockListFull: No room.
            SharedStateUnavailable: Redis did not take it.
        """
        await self._ledger.look()
        check_room(self._items, item_id)
        await self._ledger.add(_name(item_id))
        if item_id not in self._items:
            raise SharedStateUnavailable("Redis did not keep it")

    async def unblock(self, item_id: str) -> None:
        """Let an item be shown again; unknown ids are fine.

        Raises:
            SharedStateUnavailable: Redis did not take it.
        """
        await self._ledger.remove(_name(item_id))

    def _on_change(self) -> None:
        items = frozenset(name.decode("utf-8", "surrogatepass") for name in self._ledger.entries)
        if items != self._items:
            self._items = items
            self._version += 1


def _name(item_id: str) -> bytes:
    return item_id.encode("utf-8", "surrogatepass")
