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
from typing import Any, Final, TypeVar

from redis.exceptions import OutOfMemoryError, WatchError

from service.batch.codes import MAX_NUMBERED, ItemCodes, made_at
from service.batch.ports import OTHER_LOAD, SetStatus
from service.errors import BatchError
from service.fleet.address import RedisAddress
from service.fleet.blocking import BlockingWay, words_of
from service.fleet.causes import FAILURES, Refusal
from service.fleet.client import RedisClient
from service.lists.envelope import Envelope, seal
from service.lists.keys import UserKey, UserPrefix
from service.lists.tombstone import BUCKET_BYTES, buries
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
_MICROSECONDS: Final = 1_000_000

_One = TypeVar("_One")


class RedisBatchLists:
    """`BatchLists` of all replicas; a set that is switched is seen by the next look-up of any of them.

    Args:
        client: Open for as long as these lists are.
        prefix: The same as that of `RedisBatchSets`.
    """

    def __init__(self, client: RedisClient, *, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._get = client.script(_HERE / "batch_get.lua", list | None)
        self._forget = client.script(_HERE / "batch_forget.lua", int)
        self._turn = asyncio.Semaphore(MAX_LOOK_UPS_AT_ONCE)

    async def get(self, key: UserKey) -> Envelope | None:
        """See `BatchLists.get`; one round trip."""
        async with self._turn, self._client.use(self._prefix):
            found: Any = await self._get(keys=[self._prefix], args=[_bucket(key), key[2:]])
        if not found:
            return None
        made_at, *ids = found
        return seal(ItemList(tuple(one.decode(errors="replace") for one in ids), "", float(made_at)))

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `BatchLists.forget`."""
        async with self._client.use(self._prefix):
            await self._forget(keys=[self._prefix], args=[_bucket(user_prefix), user_prefix[BUCKET_BYTES:]])


class RedisBatchSets:
    """`BatchSets` in Redis, written in pipelined transactions.

    Args:
        url: `REDIS_URL`; may hold a password and is therefore never shown.
        prefix: Replicas that differ in it share nothing. It has a hash tag, so that a cluster keeps all in one slot.
        forgotten_key: The replicas' ledger of users who were forgotten.
        keep_seconds: After this time a set is of no use.

    Raises:
        BatchError: Redis cannot be used.
        ConfigurationError: The URL names no Redis.
    """

    def __init__(self, url: str, *, prefix: str, forgotten_key: str, keep_seconds: float) -> None:
        self._address = RedisAddress.parse(url)
        with self._translated():
            self._client = BlockingWay(self._address).server_of(prefix)
        self._prefix = prefix
        self._forgotten_key = forgotten_key
        self._ttl_seconds = int(keep_seconds) + MAX_LOAD_SECONDS
        self._set = ""
        self._token = b""
        self._codes = ItemCodes()
        self._touched: set[str] = set()

    def begin(self, source: str) -> bytes | None:
        """See `BatchSets.begin`."""
        with self._translated():
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
        with self._translated(), self._ours() as pipe:
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
        with self._translated():
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
        with self._translated():
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
        with self._translated():
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

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except WatchError as error:
            raise BatchError(OTHER_LOAD) from error
        except OutOfMemoryError as error:
            raise BatchError(
                "Redis is full; what was loaded stays, the same command goes on once there is room"
            ) from error
        except (Refusal, *FAILURES) as error:
            raise BatchError(f"REDIS_URL: {words_of(error, self._address)}") from error

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
        """Leave out the lists of users who were forgotten after their file was made, also long before this load."""
        stones: Any = self._client.zrange(self._forgotten_key, 0, -1, withscores=True)
        for some in _chunks(stones):
            with self._client.pipeline(transaction=False) as pipe:
                for stone, _ in some:
                    pipe.hgetall(self._key(self._set, _bucket(stone)))
                buckets = pipe.execute()
            for (stone, stamp), lists in zip(some, buckets, strict=True):
                theirs = [
                    field
                    for field, packed in lists.items()
                    if buries(stone, stone[:BUCKET_BYTES] + field) and made_at(packed) <= stamp / _MICROSECONDS
                ]
                if theirs:
                    self._client.hdel(self._key(self._set, _bucket(stone)), *theirs)

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
        yield self._key(name, "about")

    def _remove_items(self, name: str) -> None:
        items = (self._key(name, f"items:{number}") for number in count())
        for keys in _chunks(items):
            if not self._client.unlink(*keys):
                return


def _bucket(key: bytes) -> str:
    return f"{int.from_bytes(key[:2], 'big'):x}"


def _chunks(all_of_them: Iterable[_One]) -> Iterator[list[_One]]:
    rest = iter(all_of_them)
    while some := list(islice(rest, _MAX_COMMANDS_AT_ONCE)):
        yield some
