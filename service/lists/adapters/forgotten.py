"""Users forgotten lately, known to every replica, also to one that was cut off when it happened."""

from collections.abc import Callable, Collection
from typing import Final, Self

from service.clock import Clock
from service.fleet.client import RedisClient
from service.fleet.ledger import Keeping, Ledger
from service.lists.keys import UserPrefix
from service.lists.tombstone import Tombstones, tombstone

MAX_FORGOTTEN_USERS: Final = 50_000
"""Tombstones that are kept, about 3 MB of Redis and 10 MB of a replica. A replica that missed more than these while it
was cut off drops its lists."""


class RedisForgotten:
    """A ledger of tombstones in Redis, kept for as long as a list may be served.

    Args:
        client: Open for as long as this is.
        key: The ledger's, with a hash tag.
        clock: For the ledger.
        stale_seconds: How long a list may be served.
        on_forgotten: Called with the tombstones that are new here; must not raise.
        on_gap: Called when there were more than can be known; must not raise.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        key: str,
        clock: Clock,
        stale_seconds: float,
        on_forgotten: Callable[[Collection[bytes]], None],
        on_gap: Callable[[], None],
    ) -> None:
        self._on_forgotten = on_forgotten
        self._applied: dict[bytes, int] = {}
        self._ledger = Ledger(
            client,
            key,
            clock=clock,
            keeping=Keeping(entry_seconds=stale_seconds, removal_seconds=stale_seconds, most=MAX_FORGOTTEN_USERS),
            on_change=self._on_change,
            on_gap=on_gap,
        )

    async def __aenter__(self) -> Self:
        """Learn who was forgotten; succeeds without Redis too."""
        await self._ledger.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop to look; before the client is closed."""
        await self._ledger.__aexit__()

    async def look(self) -> None:
        """Learn who was forgotten meanwhile.

        Raises:
            SharedStateUnavailable: Redis did not answer.
        """
        await self._ledger.look()

    def test(self) -> Callable[[bytes], bool]:
        """Says of a key whether its user was forgotten, as far as is known now."""
        return Tombstones(list(self._ledger.entries)).bury

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`: every replica that knows of the user will forget them, however late they hear it."""
        await self._ledger.add(tombstone(user_prefix))

    def _on_change(self) -> None:
        entries = self._ledger.entries
        new = [stone for stone, stamp in entries.items() if self._applied.get(stone) != stamp]
        self._applied = dict(entries)
        if new:
            self._on_forgotten(new)
