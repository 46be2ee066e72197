"""Batch lists in Redis, compact enough for millions.

Below a prefix, `current` names the active set, `loading` is a hash about the one being loaded, and `sets` holds the
names of all that may still be there. A set is a fixed number of small hashes, its buckets, from user to packed list.
Small hashes take a third of the memory of keys of their own, and a set is removed without looking for its keys. The
items of a set are in hashes `items:N` of 128 each.
"""

import asyncio
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

import redis
from redis.exceptions import OutOfMemoryError, RedisError, WatchError

from service.batch.codes import MAX_NUMBERED, ItemCodes
from service.batch.ports import OTHER_LOAD, SetStatus
from service.batch.tombstone import BUCKET_BYTES, buries, tombstone
from service.errors import BatchError, ConfigurationError
from service.fleet.client import RedisClient
from service.lists.envelope import Envelope, seal
from service.lists.keys import UserKey, UserPrefix
from service.models import ItemList

_HERE: Final = Path(__file__).parent

BUCKETS: Final = 65_536
"""Buckets of a set: one for each value of a key's first two bytes. Redis keeps a hash of up to 128 entries packed, so a
set of up to about 8 million users stays packed."""

ITEMS_IN_A_HASH: Final = 128
"""Items of one hash: as many as Redis keeps packed. `batch_get.lua` has this number, too."""

MAX_LOOK_UPS_AT_ONCE: Final = 8
"""Look-ups of one replica at a time, so that a burst of them leaves connections for flights."""

MAX_LOAD_SECONDS: Final = 86_400
"""Longest time of a load. Sets vanish by themselves this long after their lists are too old to be served."""

_MAX_COMMANDS_AT_ONCE: Final = 1_000
_TIMEOUT_SECONDS: Final = 30.0


class RedisBatchLists:
    """`BatchLists` of all replicas; a set that is switched is seen by the next look-up of any of them.

    Args:
        client: Open for as long as these lists are.
        prefix: The same as that of `RedisBatchSets`.
    """

    def __init__(self, client: RedisClient, *, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._get = client.script(_HERE / "batch_get.lua")
        self._forget = client.script(_HERE / "batch_forget.lua")
        self._turn = asyncio.Semaphore(MAX_LOOK_UPS_AT_ONCE)

    async def get(self, key: UserKey) -> Envelope | None:
        """See `BatchLists.get`; one round trip."""
        async with self._turn, self._client.use():
            found: Any = await self._get(keys=[self._prefix], args=[_bucket(key), key[2:]])
        if not found:
            return None
        made_at, *ids = found
        return seal(ItemList(tuple(one.decode(errors="replace") for one in ids), "", float(made_at)))

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `BatchLists.forget`."""
        async with self._client.use():
            await self._forget(
                keys=[self._prefix],
                args=[_bucket(user_prefix), user_prefix[2:], tombstone(user_prefix), MAX_LOAD_SECONDS],
            )


class RedisBatchSets:
    """`BatchSets` in Redis, written in pipelined transactions.

    Args:
        url: `REDIS_URL`; may hold a password and is therefore never shown.
        prefix: Replicas that differ in it share nothing.
        keep_seconds: After this time a set is of no use.

    Raises:
        ConfigurationError: The URL is none that the client understands.
    """

    def __init__(self, url: str, *, prefix: str, keep_seconds: float) -> None:
        try:
            self._client = redis.Redis.from_url(
                url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=5, protocol=2, driver_info=None
            )
        except ValueError:
            # The client's own message quotes the URL.
            raise ConfigurationError("REDIS_URL: not a redis://, rediss:// or unix:// address") from None
        self._prefix = prefix
        self._ttl_seconds = int(keep_seconds) + MAX_LOAD_SECONDS
        self._set = ""
        self._token = b""
        self._codes = ItemCodes()
        self._touched: set[str] = set()

    def begin(self, source: str) -> bytes | None:
        """See `BatchSets.begin`."""
        with _translated():
            loading: Any = self._client.hgetall(self._key("loading"))
            self._token = secrets.token_hex(8).encode()
            self._touched.clear()
            if loading.get(b"source") == source.encode():
                self._set = loading[b"set"].decode()
                self._codes = ItemCodes(self._items())
                self._client.hset(self._key("loading"), "token", self._token)
                return bytes(loading[b"mark"]) if b"mark" in loading else None
            self._set = secrets.token_hex(4)
            self._codes = ItemCodes()
            with self._client.pipeline(transaction=True) as pipe:
                pipe.sadd(self._key("sets"), self._set)
                pipe.delete(self._key("loading"))
                pipe.hset(self._key("loading"), mapping={"set": self._set, "source": source, "token": self._token})
                pipe.expire(self._key("loading"), self._ttl_seconds)
                pipe.execute()
            self._remove_others()
        return None

    def write(self, lists: Sequence[tuple[UserKey, ItemList]], progress: bytes) -> None:
        """See `BatchSets.write`; Redis is busy with a thousand lists for some 5 ms."""
        with _translated(), self._ours() as pipe:
            touched: set[str] = set()
            for key, item_list in lists:
                bucket = self._key(self._set, _bucket(key))
                pipe.hset(bucket, key[2:], self._codes.pack(item_list))
                touched.add(bucket)
            for place, item_id in self._codes.take_new():
                items = self._key(self._set, f"items:{place // ITEMS_IN_A_HASH}")
                pipe.hset(items, str(place % ITEMS_IN_A_HASH), item_id)
                touched.add(items)
            for key_name in touched - self._touched:
                pipe.expire(key_name, self._ttl_seconds)
            pipe.hset(self._key("loading"), "mark", progress)
            pipe.execute()
            self._touched |= touched

    def switch(self, description: bytes) -> int:
        """See `BatchSets.switch`."""
        with _translated():
            self._bury_forgotten()
            lists = self._count()
            with self._ours() as pipe:
                pipe.set(self._key("current"), self._set, ex=self._ttl_seconds)
                pipe.set(self._key(self._set, "about"), description, ex=self._ttl_seconds)
                pipe.delete(self._key("loading"))
                pipe.execute()
            self._remove_others()
        return lists

    def status(self) -> SetStatus:
        """See `BatchSets.status`."""
        with _translated():
            current: Any = self._client.get(self._key("current"))
            found: Any = self._client.hmget(self._key("loading"), ["mark", "set"])
            progress = (found[0] or b"") if found[1] else None
            if current is None:
                return SetStatus(None, 0, progress)
            self._set = current.decode()
            description: Any = self._client.get(self._key(self._set, "about"))
            return SetStatus(description, self._count(), progress)

    def drop(self) -> None:
        """See `BatchSets.drop`; the active set goes first, so that no set is served in part."""
        with _translated():
            self._client.delete(self._key("current"), self._key("loading"))
            self._remove_others()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _key(self, *parts: str) -> str:
        return ":".join((self._prefix, *parts))

    @contextmanager
    def _ours(self) -> Iterator[Any]:
        """A transaction that fails if another load has begun since."""
        with self._client.pipeline(transaction=True) as pipe:
            pipe.watch(self._key("loading"))  # type: ignore[no-untyped-call]  # the client's own
            if pipe.hget(self._key("loading"), "token") != self._token:
                raise BatchError(OTHER_LOAD)
            pipe.multi()
            yield pipe

    def _items(self) -> Iterator[str]:
        for number in range(MAX_NUMBERED // ITEMS_IN_A_HASH):
            items: Any = self._client.hgetall(self._key(self._set, f"items:{number}"))
            for place in range(len(items)):
                yield items[b"%d" % place].decode()
            if len(items) < ITEMS_IN_A_HASH:
                return

    def _buckets(self) -> Iterator[list[str]]:
        names = (self._key(self._set, f"{number:x}") for number in range(BUCKETS))
        while some := list(islice(names, _MAX_COMMANDS_AT_ONCE)):
            yield some

    def _count(self) -> int:
        total = 0
        for names in self._buckets():
            with self._client.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hlen(name)
                total += sum(pipe.execute())
        return total

    def _bury_forgotten(self) -> None:
        stones: Any = self._client.smembers(self._key(self._set, "forgotten"))
        for stone in stones:
            bucket = self._key(self._set, _bucket(stone))
            fields: Any = self._client.hkeys(bucket)
            if theirs := [field for field in fields if buries(stone, stone[:BUCKET_BYTES] + field)]:
                self._client.hdel(bucket, *theirs)

    def _remove_others(self) -> None:
        """Remove every set that is neither active nor being loaded; also those of loads that were killed."""
        current: Any = self._client.get(self._key("current"))
        loading: Any = self._client.hget(self._key("loading"), "set")
        names: Any = self._client.smembers(self._key("sets"))
        for name in names - {current, loading}:
            for keys in _chunks(self._keys_of(name.decode())):
                self._client.unlink(*keys)
            self._remove_items(name.decode())
            self._client.srem(self._key("sets"), name)

    def _keys_of(self, name: str) -> Iterator[str]:
        yield from (self._key(name, f"{number:x}") for number in range(BUCKETS))
        yield from (self._key(name, what) for what in ("about", "forgotten"))

    def _remove_items(self, name: str) -> None:
        items = (self._key(name, f"items:{number}") for number in count())
        for keys in _chunks(items):
            if not self._client.unlink(*keys):
                return


def _bucket(key: bytes) -> str:
    return f"{int.from_bytes(key[:2], 'big'):x}"


def _chunks(names: Iterable[str]) -> Iterator[list[str]]:
    names = iter(names)
    while some := list(islice(names, _MAX_COMMANDS_AT_ONCE)):
        yield some


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except WatchError as error:
        raise BatchError(OTHER_LOAD) from error
    except OutOfMemoryError as error:
        raise BatchError("Redis is full; what was loaded stays, the same command goes on once there is room") from error
    except (RedisError, OSError) as error:
        raise BatchError(f"REDIS_URL: Redis failed: {type(error).__name__}") from error
