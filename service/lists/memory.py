"""Values in this process's memory, bounded by bytes."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from cachetools import Cache

from service.constants import MAX_LISTS_WITH_VALUES
from service.lists.envelope import Envelope
from service.lists.keys import UserPrefix, prefix_of_values

Value = TypeVar("Value")

ENTRY_BYTES = 190
"""What an entry costs besides its value: its key, two dictionary entries and a place in the queue. Measured
over 100,000 entries with 15-byte keys on CPython 3.11."""

_ENTRIES_AT_ONCE = 5_000
"""Entries looked through before the event loop has its turn; about half a millisecond."""

_STEP = 16
# One shared int object for each size: a new one per entry would cost 32 bytes.
_SIZES = tuple(range(0, 64 * 1024, _STEP))

# Discarded keys stay in the queue until its front, or until they outnumber the entries by so many.
_MAX_GONE = 1_000


class BytesBoundedCache(Cache[bytes, Value], Generic[Value]):
    """Evicts what was put first, which is nearest to being stale; an entry put again gets another round.

    cachetools' own policies keep a linked list of objects, which takes 100 bytes more per entry, and which
    the garbage collector walks.
    """

    def __init__(self, max_bytes: int, value_bytes: Callable[[Value], int]) -> None:
        """Begin empty.

        Args:
            max_bytes: Bound of the sum over all entries, their overhead included.
            value_bytes: Memory of one value.
        """
        self._value_bytes = value_bytes
        # Holds every key of the cache exactly once, and those of `_gone`.
        self._queue: deque[bytes] = deque()
        self._put_again: set[bytes] = set()
        self._gone: set[bytes] = set()
        self._putting: bytes | None = None
        super().__init__(max_bytes, getsizeof=self._entry_bytes)

    def put(self, key: bytes, value: Value) -> None:
        """Keep a value; one that is larger than the whole cache is not kept."""
        if self._entry_bytes(value) > self.maxsize:
            self.discard(key)
            return
        if key in self:
            self._put_again.add(key)
            # Taken out first, so that making room for the new value never evicts the old one by its key.
            del self[key]
        elif key in self._gone:
            self._gone.discard(key)
            self._put_again.add(key)
        else:
            self[key] = value
            self._queue.append(key)
            return
        self._putting = key
        try:
            self[key] = value
        finally:
            self._putting = None

    def discard(self, key: bytes) -> None:
        """Forget a key; unknown keys are fine."""
        if key not in self:
            return
        del self[key]
        self._put_again.discard(key)
        self._gone.add(key)
        if len(self._gone) > len(self) + _MAX_GONE:
            self._queue = deque(one for one in self._queue if one in self)
            self._gone.clear()

    def erase(self, key: bytes) -> None:
        """Forget a key that is here, its place in the queue included; takes as long as the queue is."""
        self.discard(key)
        # Otherwise none is left in the queue: it was made anew.
        if key in self._gone:
            self._gone.discard(key)
            self._queue.remove(key)

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self._queue.clear()
        self._put_again.clear()
        self._gone.clear()

    def popitem(self) -> tuple[bytes, Value]:
        """Remove the entry that was put first.

        Raises:
            KeyError: The cache is empty.
        """
        while len(self):
            key = self._queue.popleft()
            if key == self._putting:
                self._queue.append(key)
            elif key in self._put_again:
                self._put_again.discard(key)
                self._queue.append(key)
            elif key not in self:
                self._gone.discard(key)
            else:
                return key, self.pop(key)
        raise KeyError("the cache is empty")

    @property
    def bytes(self) -> int:
        """Memory in use, as accounted."""
        return int(self.currsize)

    def _entry_bytes(self, value: Value) -> int:
        size = self._value_bytes(value) + ENTRY_BYTES
        index = (size + _STEP - 1) // _STEP
        return _SIZES[index] if index < len(_SIZES) else size


def envelope_bytes(envelope: bytes) -> int:
    """Memory of one envelope."""
    return len(envelope) + 33


class ListMemory(BytesBoundedCache[Envelope]):
    """Lists in memory; of those that `prefix_of_values` names a user of, the user keeps the latest few.

    Args:
        max_bytes: Bound of the sum over all lists, their overhead included.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, envelope_bytes)
        # Tuples of bytes, which the collector does not walk. About 140 bytes for each such user, beside `max_bytes`.
        self._with_values: dict[UserPrefix, tuple[bytes, ...]] = {}

    def put(self, key: bytes, value: Envelope) -> None:
        """Keep a list."""
        super().put(key, value)
        user_prefix = prefix_of_values(key)
        if user_prefix is not None and key in self:
            keys = (*self._with_values.get(user_prefix, ()), key)
            self._with_values[user_prefix] = keys
            if len(keys) > MAX_LISTS_WITH_VALUES:
                self.discard(keys[0])

    def __delitem__(self, key: bytes) -> None:
        """Every way out, eviction included, leads through here."""
        super().__delitem__(key)
        user_prefix = prefix_of_values(key)
        if user_prefix is None:
            return
        left = tuple(one for one in self._with_values.pop(user_prefix, ()) if one != key)
        if left:
            self._with_values[user_prefix] = left

    def kept_keys(self) -> Iterable[bytes]:
        """See `Searchable`."""
        return list(self)

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`."""
        await discard_where(self, lambda key, _: key.startswith(user_prefix))


async def discard_where(cache: BytesBoundedCache[Value], belongs: Callable[[bytes, Value], bool]) -> None:
    """Discard the entries of a cache that belong to somebody, without holding up the event loop."""
    for number, key in enumerate(list(cache)):
        if number % _ENTRIES_AT_ONCE == _ENTRIES_AT_ONCE - 1:
            await asyncio.sleep(0)
        value = cache.get(key)
        if value is not None and belongs(key, value):
            cache.erase(key)
