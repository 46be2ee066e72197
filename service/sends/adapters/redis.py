"""Pins of sends that all replicas share, in Redis.

The names begin as those of the user's lists do, so that forgetting a user finds them:
`prefix:{user prefix}:send:digest` and `prefix:{user prefix}:shown`. The braces put both into one slot of a cluster, for
one script.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from service.fleet.client import RedisClient
from service.lists.keys import USER_PREFIX_BYTES, UserKey, UserPrefix
from service.sends.adapters.shown_codec import unpack_shown
from service.sends.ports import MAX_ITEMS_OF_A_SEND, MAX_SENDS, SHORT_BYTES, SHOWN_SECONDS, ShownItems

_HERE: Final = Path(__file__).parent


class RedisSendStore:
    """A `SendStore` in Redis; one round trip each way.

    Args:
        client: Open for as long as the store is.
        prefix: That of the lists.
    """

    def __init__(self, client: RedisClient, *, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._pin = client.script(_HERE / "pin.lua")

    async def look(self, key: UserKey) -> tuple[bytes | None, Sequence[ShownItems]]:
        """See `SendStore.look`."""
        names = self._names(key)
        async with self._client.use(*names) as redis, redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.get(name)
            pin, shown = await pipe.execute()
        return pin, unpack_shown(shown or b"")

    async def keep(
        self, key: UserKey, packed: bytes, *, instead_of: int, seconds: float, shown: ShownItems
    ) -> bytes | None:
        """See `SendStore.keep`."""
        names = self._names(key)
        args: list[Any] = [packed, instead_of, max(1, round(seconds * 1000)), shown.send, b"".join(shown.items)]
        args += [round(SHOWN_SECONDS * 1000), MAX_SENDS, SHORT_BYTES, MAX_ITEMS_OF_A_SEND]
        async with self._client.use(*names):
            other: Any = await self._pin(keys=names, args=args)
        return bytes(other) if other else None

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`; the pins go with the user's lists."""
        del user_prefix

    def _names(self, key: UserKey) -> list[str]:
        user = f"{self._prefix}:{{{key[:USER_PREFIX_BYTES].hex()}}}"
        return [f"{user}:send:{key[USER_PREFIX_BYTES:].hex()}", f"{user}:shown"]
