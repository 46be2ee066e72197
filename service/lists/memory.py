"""Values in this process's memory, bounded by bytes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, ValuesView
from typing import Final, Generic, TypeVar

from service.constants import MAX_LISTS_WITH_VALUES
from service.lists.envelope import Envelope, readable
from service.lists.keys import UserPrefix, prefix_of_values
from service.lists.numbers import (
    MAX_NUMBERS,
    ItemNumbers,
    NumberedList,
    beginning_of,
    envelope_of,
    numbered,
    series_of,
)
from service.tasks import for_each

Value = TypeVar("Value")

ENTRY_BYTES = 110
"""What an entry costs besides its value: its key, a dictionary's entry and a place in the queue. Measured over 22,000
entries with 15-byte keys on CPython 3.11."""

_ENTRIES_AT_ONCE = 5_000
"""Entries looked through before the event loop has its turn; about half a millisecond."""

_RENUMBERED_AT_ONCE = 250
"""Lists that are renumbered before the event loop has its turn; about two milliseconds."""

_NUMBERS_TO_SPARE: Final = 10_000
"""Numbers beyond twice those after the last renumbering, before the next one is worth its time."""

_STEP = 16

# Discarded keys stay in the queue until its front, or until they outnumber the entries by so many.
_MAX_GONE = 1_000


class BytesBoundedCache(Generic[Value]):
    """Evicts what was put first, which is nearest to being stale; an entry put again gets another round.

    A dictionary and a queue of keys. cachetools' caches keep every size too, 50 bytes an entry, and some of them a
    linked list of objects, which takes 100 more and which the garbage collector walks.

    Args:
        max_bytes: Bound of the sum over all entries, their overhead included.
        value_bytes: Memory of one value, always the same for it.
    """

    def __init__(self, max_bytes: int, value_bytes: Callable[[Value], int]) -> None:
        self._max_bytes = max_bytes
        self._value_bytes = value_bytes
        self._values: dict[bytes, Value] = {}
        self._bytes = 0
        # Holds every key of the cache exactly once, and those of `_gone`.
        self._queue: deque[bytes] = deque()
        self._put_again: set[bytes] = set()
        self._gone: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._values)

    def __contains__(self, key: bytes) -> bool:
        return key in self._values

    def values(self) -> ValuesView[Value]:
        """Everything kept."""
        return self._values.values()

    def kept(self, key: bytes) -> Value | None:
        """The value as it is kept; None when there is none."""
        return self._values.get(key)

    def keep(self, key: bytes, value: Value) -> None:
        """Keep a value as it is; one that is larger than the whole cache is not kept."""
        size = self._entry_bytes(value)
        if size > self._max_bytes:
            self.discard(key)
            return
        if key in self._values:
            self._put_again.add(key)
            # Taken out first, so that making room for the new value never evicts the old one by its key.
            self._take_out(key)
        elif key in self._gone:
            self._gone.discard(key)
            self._put_again.add(key)
        else:
            self._make_room(size)
            self._queue.append(key)
            self._put_in(key, value)
            return
        self._make_room(size, sparing=key)
        self._put_in(key, value)

    def discard(self, key: bytes) -> None:
        """Forget a key; unknown keys are fine."""
        if key not in self._values:
            return
        self._take_out(key)
        self._put_again.discard(key)
        self._gone.add(key)
        if len(self._gone) > len(self._values) + _MAX_GONE:
            self._queue = deque(one for one in self._queue if one in self._values)
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
        for key in list(self._values):
            self._take_out(key)
        self._queue.clear()
        self._put_again.clear()
        self._gone.clear()

    def _make_room(self, size: int, sparing: bytes | None = None) -> None:
        while self._bytes + size > self._max_bytes:
            key = self._queue.popleft()
            if key == sparing:
                self._queue.append(key)
            elif key in self._put_again:
                self._put_again.discard(key)
                self._queue.append(key)
            elif key in self._values:
                self._take_out(key)
            else:
                self._gone.discard(key)

    def _put_in(self, key: bytes, value: Value) -> None:
        self._values[key] = value
        self._bytes += self._entry_bytes(value)

    def _take_out(self, key: bytes) -> None:
        """Every way out, eviction included, leads through here."""
        self._bytes -= self._entry_bytes(self._values.pop(key))

    def _entry_bytes(self, value: Value) -> int:
        return -(-(self._value_bytes(value) + ENTRY_BYTES) // _STEP) * _STEP

    @property
    def bytes(self) -> int:
        """Memory in use, as accounted."""
        return self._bytes


def list_bytes(kept: bytes) -> int:
    """Memory of one list as it is kept."""
    return len(kept) + 33


class ListMemory(BytesBoundedCache[bytes]):
    """Lists in memory, as numbers of items; of those that `prefix_of_values` names a user of, the latest few.

    Args:
        max_bytes: Bound of the sum over all lists, their overhead included.
        max_numbers: Items that get a number.
    """

    def __init__(self, max_bytes: int, max_numbers: int = MAX_NUMBERS) -> None:
        super().__init__(max_bytes, list_bytes)
        self.numbers = ItemNumbers(max_numbers=max_numbers)
        """Those that lists get now."""
        self._begins = beginning_of(self.numbers)
        self._former: ItemNumbers | None = None
        self._numbers_then = 0
        # Tuples of bytes, which the collector does not walk. About 140 bytes for each such user, beside `max_bytes`.
        self._with_values: dict[UserPrefix, tuple[bytes, ...]] = {}

    def get(self, key: bytes) -> Envelope | None:
        """The list kept under this key; None when there is none."""
        kept = self._values.get(key)
        return None if kept is None else self._envelope(kept)

    def numbered(self, key: bytes) -> NumberedList | None:
        """The same as numbers; None also where it is not kept as numbers of now."""
        kept = self._values.get(key)
        # The two first bytes say that it is a list of numbers, and of which series.
        return None if kept is None or not kept.startswith(self._begins) else NumberedList(kept)

    def put(self, key: bytes, value: Envelope) -> None:
        """Keep a list."""
        is_list = readable(value) is not None
        self.keep(key, (numbered(value, self.numbers) if is_list else None) or value)
        user_prefix = prefix_of_values(key)
        if user_prefix is not None and key in self._values:
            keys = (*self._with_values.get(user_prefix, ()), key)
            self._with_values[user_prefix] = keys
            if len(keys) > MAX_LISTS_WITH_VALUES:
                self.discard(keys[0])

    def keep_choice(self, key: bytes, with_choice: NumberedList) -> None:
        """Keep a list of numbers that is here with a choice, if there is room without another list going."""
        kept = self._values.get(key)
        if kept is None:
            return
        size = self._bytes - self._entry_bytes(kept) + self._entry_bytes(with_choice)
        if size <= self._max_bytes:
            self._values[key], self._bytes = with_choice, size

    def kept_keys(self) -> Iterable[bytes]:
        """See `Searchable`."""
        return list(self)

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`."""
        await discard_where(self, lambda key, _: key.startswith(user_prefix))

    @property
    def has_idle_numbers(self) -> bool:
        """Whether so many more items have a number than after the last renumbering that another one is due."""
        return len(self.numbers) > 2 * self._numbers_then + _NUMBERS_TO_SPARE

    async def renumber(self) -> None:
        """Give all lists new numbers, so that items that are in none lose theirs; one call at a time.

        The event loop has its turn in between. Meanwhile lists of both series are here.
        """
        former = self._former = self.numbers
        self.numbers = ItemNumbers(former.series + 1, former.max_numbers)
        self._begins = beginning_of(self.numbers)

        def renumber(key: bytes) -> None:
            kept = self._values.get(key)
            if kept is not None and series_of(kept) == former.series:
                envelope = self._envelope(kept)
                self._bytes -= self._entry_bytes(kept)
                self._put_in(key, numbered(envelope, self.numbers) or envelope)

        await for_each(list(self._values), renumber, at_once=_RENUMBERED_AT_ONCE)
        self._former = None
        self._numbers_then = len(self.numbers)

    def _take_out(self, key: bytes) -> None:
        super()._take_out(key)
        user_prefix = prefix_of_values(key)
        if user_prefix is None:
            return
        left = tuple(one for one in self._with_values.pop(user_prefix, ()) if one != key)
        if left:
            self._with_values[user_prefix] = left

    def _envelope(self, kept: bytes) -> Envelope:
        series = series_of(kept)
        if series is None:
            return Envelope(kept)
        former = self._former
        numbers = former if former is not None and series == former.series else self.numbers
        return envelope_of(NumberedList(kept), numbers)


async def discard_where(cache: BytesBoundedCache[Value], belongs: Callable[[bytes, Value], bool]) -> None:
    """Discard the entries of a cache that belong to somebody, without holding up the event loop."""

    def look(key: bytes) -> None:
        value = cache.kept(key)
        if value is not None and belongs(key, value):
            cache.erase(key)

    await for_each(list(cache), look, at_once=_ENTRIES_AT_ONCE)
