"""Pins of sends that all replicas share, in Redis.

The names begin as those of the user's lists do, so that forgetting a user finds them:
`prefix:{user prefix}:send:digest`, `prefix:{user prefix}:shown` and `prefix:{user prefix}:under:digest`. The braces put
them into one slot of a cluster, for one script.
"""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from service.fleet.client import RedisClient
from service.lists.keys import USER_PREFIX_BYTES, UserKey, UserPrefix
from service.sends.adapters.shown_codec import unpack_shown
from service.sends.ports import (
    DIGEST_BYTES,
    MAX_ITEMS_OF_A_SEND,
    MAX_PINS_OF_A_LIST,
    MAX_SENDS,
    SHORT_BYTES,
    SHOWN_SECONDS,
    ShownItems,
)

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
        self._pin = client.script(_HERE / "pin.lua", bytes | None)

    async def look(self, key: UserKey) -> tuple[bytes | None, Sequence[ShownItems]]:
        """See `SendStore.look`."""
        names = [self._pin_name(key), f"{self._user(key)}:shown"]
        async with self._client.use(*names) as redis, redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.get(name)
            pin, shown = await pipe.execute()
        return pin, unpack_shown(shown or b"")

    async def keep(
        self,
        key: UserKey,
        packed: bytes,
        *,
        instead_of: int,
        seconds: float,
        shown: ShownItems,
        recommendation_id: str = "",
    ) -> bytes | None:
        """See `SendStore.keep`."""
        user = self._user(key)
        names = [self._pin_name(key), f"{user}:shown", _under(user, recommendation_id)]
        args: list[Any] = [packed, instead_of, max(1, round(seconds * 1000)), shown.send, b"".join(shown.items)]
        args += [round(SHOWN_SECONDS * 1000), MAX_SENDS, SHORT_BYTES, MAX_ITEMS_OF_A_SEND]
        args += [key[USER_PREFIX_BYTES:] if recommendation_id else b"", MAX_PINS_OF_A_LIST]
        async with self._client.use(*names):
            other: Any = await self._pin(keys=names, args=args)
        return bytes(other) if other else None

    async def pins_of(self, user_prefix: UserPrefix, recommendation_id: str) -> Sequence[bytes]:
        """See `SendStore.pins_of`; two round trips, one where there are none."""
        user = self._user(user_prefix)
        name = _under(user, recommendation_id)
        async with self._client.use(name) as redis:
            digests: Any = await redis.get(name)
        if not digests:
            return []
        names = [f"{user}:send:{digests[at : at + DIGEST_BYTES].hex()}" for at in range(0, len(digests), DIGEST_BYTES)]
        async with self._client.use(name) as redis, redis.pipeline(transaction=False) as pipe:
            for one in names:
                pipe.get(one)
            found: Any = await pipe.execute()
        return [pin for pin in found if pin is not None]

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`; the pins go with the user's lists."""
        del user_prefix

    def _user(self, key: bytes) -> str:
        return f"{self._prefix}:{{{key[:USER_PREFIX_BYTES].hex()}}}"

    def _pin_name(self, key: UserKey) -> str:
        return f"{self._user(key)}:send:{key[USER_PREFIX_BYTES:].hex()}"


def _under(user: str, recommendation_id: str) -> str:
    """Which pins have this list."""
    digest = blake2b(recommendation_id.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES)
    return f"{user}:under:{digest.hexdigest()}"
