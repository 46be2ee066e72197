import asyncio
import gc
import random
import sys
import tracemalloc
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.lists.envelope import seal
from service.lists.keys import UserKeys
from service.lists.memory import _MAX_GONE, ENTRY_BYTES, BytesBoundedCache, ListMemory, discard_where, list_bytes
from service.models import ItemList, ListRequest
from service.tasks import for_each, stop_task

LISTS = 1_380
"""Just above what a dict grows at, where each entry costs most."""

IDS = 63
"""Different ones in all lists; some 22 lists for each, as of a small catalogue and many users."""


def _cache(max_bytes: int) -> BytesBoundedCache[bytes]:
    return BytesBoundedCache(max_bytes, list_bytes)


def _room_for(entries: int, value: bytes = b"") -> int:
    one = -(-(list_bytes(value) + ENTRY_BYTES) // 16) * 16
    return entries * one


@pytest.fixture(scope="module")
def measured() -> tuple[float, float]:
    """Bytes per list: measured by tracemalloc, and accounted by the cache."""
    source = random.Random(1)
    keys = UserKeys(secret="secret", scope="campaign")
    ids = [str(uuid.UUID(int=source.getrandbits(128))) for _ in range(IDS)]
    lists = ListMemory(2**30)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(LISTS):
        start = number % (IDS - 25)
        ranked = ItemList(tuple(ids[start : start + 25]), f"{number:040d}", 1_700_000_000.0 + number)
        lists.put(keys.of(ListRequest(f"user{number}")), seal(ranked))
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / LISTS, (lists.bytes + lists.numbers.bytes) / LISTS


def test_a_list_of_25_uuids_costs_at_most_275_bytes_all_in(measured: tuple[float, float]) -> None:
    used, _ = measured
    assert used <= 275


@pytest.mark.long
def test_what_the_cache_accounts_is_what_it_costs(measured: tuple[float, float]) -> None:
    used, accounted = measured
    assert accounted == pytest.approx(used, rel=0.15)


def test_lists_and_numbers_are_not_walked_by_the_garbage_collector() -> None:
    lists = ListMemory(10**6)
    lists.put(b"1", seal(ItemList(("a", "b"), "RID", 1.5)))
    assert not gc.is_tracked(lists.kept(b"1"))
    assert not gc.is_tracked(lists._values)
    assert not gc.is_tracked(lists.numbers._number_of)


def test_a_value_takes_what_python_says() -> None:
    for size in (0, 1, 100):
        assert list_bytes(bytes(size)) == sys.getsizeof(bytes(size))


def test_what_was_put_first_goes_first() -> None:
    cache = _cache(_room_for(3))
    for key in (b"1", b"2", b"3", b"4"):
        cache.keep(key, b"")
    assert sorted(cache) == [b"2", b"3", b"4"]


def test_what_was_put_again_gets_another_round() -> None:
    cache = _cache(_room_for(3))
    for key in (b"1", b"2", b"3", b"1", b"4"):
        cache.keep(key, b"")
    assert sorted(cache) == [b"1", b"3", b"4"]
    cache.keep(b"5", b"")
    cache.keep(b"6", b"")
    assert sorted(cache) == [b"1", b"5", b"6"] or sorted(cache) == [b"4", b"5", b"6"]


def test_a_value_that_grows_in_a_full_cache_stays_and_can_be_evicted_later() -> None:
    cache = _cache(_room_for(3))
    for key in (b"1", b"2", b"3"):
        cache.keep(key, b"")
    cache.keep(b"1", bytes(100))
    assert cache.kept(b"1") == bytes(100)
    assert cache.bytes <= _room_for(3)
    assert len(cache) == 2
    for number in range(10, 20):
        cache.keep(b"%d" % number, b"")
    assert b"1" not in cache
    assert len(cache) == 3


def test_a_value_larger_than_the_cache_is_not_kept_and_takes_the_old_one_along() -> None:
    cache = _cache(_room_for(2))
    cache.keep(b"1", b"")
    cache.keep(b"1", bytes(10_000))
    assert cache.kept(b"1") is None
    assert cache.bytes == 0


def test_a_cache_without_room_keeps_nothing() -> None:
    cache = _cache(0)
    cache.keep(b"1", b"")
    assert len(cache) == 0


@pytest.mark.parametrize("entry", [16, 32, 48])
def test_a_cache_takes_as_much_as_fits_to_the_byte(entry: int) -> None:
    value = bytes(entry)
    for spare, fits in [(0, 3), (-1, 2), (15, 3)]:
        cache = _cache(_room_for(3, value) + spare)
        for number in range(3):
            cache.keep(b"%d" % number, value)
        assert len(cache) == fits


def test_a_cleared_cache_knows_nothing_of_before() -> None:
    cache = _cache(_room_for(3))
    for number in range(3):
        cache.keep(b"%d" % number, b"")
    # One has another round, and one is gone.
    cache.keep(b"0", b"")
    cache.discard(b"1")
    cache.clear()
    for key in (b"1", b"0", b"2", b"3"):
        cache.keep(key, b"")
    assert sorted(cache) == [b"0", b"2", b"3"]
    cache.keep(b"4", b"")
    assert sorted(cache) == [b"2", b"3", b"4"]


def test_a_key_that_was_discarded_and_comes_again_has_the_place_it_had_and_another_round() -> None:
    cache = _cache(_room_for(3))
    for key in (b"1", b"2", b"3"):
        cache.keep(key, b"")
    cache.discard(b"1")
    cache.keep(b"1", b"")
    cache.keep(b"4", b"")
    assert sorted(cache) == [b"1", b"3", b"4"]
    # From then on it is as any other.
    for number in range(10, 16):
        for key in (b"%d" % number, b"1"):
            cache.keep(key, b"")
    for _ in range(2):
        for number in range(20, 26):
            cache.keep(b"%d" % number, b"")
        assert sorted(cache) == [b"23", b"24", b"25"]
        cache.keep(b"1", b"")


def test_an_erased_key_that_comes_again_is_the_newest() -> None:
    cache = _cache(_room_for(3))
    for key in (b"1", b"2", b"3"):
        cache.keep(key, b"")
    cache.erase(b"1")
    cache.erase(b"never here")
    cache.keep(b"1", b"")
    cache.keep(b"4", b"")
    cache.keep(b"5", b"")
    assert sorted(cache) == [b"1", b"4", b"5"]


async def test_others_have_their_turn_behind_so_many_entries() -> None:
    done: list[int] = []
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(len(done))
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await for_each(range(7), done.append, at_once=3)
    assert (done, turns) == ([*range(7)], [3, 6])
    await stop_task(task)


async def test_entries_of_somebody_go_and_no_others() -> None:
    cache = _cache(10**6)
    for number in range(30):
        cache.keep(b"%d" % number, b"%d" % (number % 3))
    await discard_where(cache, lambda key, value: value == b"1" and key != b"4")
    assert sorted(cache, key=int) == [b"%d" % number for number in range(30) if number % 3 != 1 or number == 4]


def test_a_cleared_cache_can_be_filled_again() -> None:
    cache = _cache(_room_for(2))
    for _ in range(3):
        for key in (b"1", b"2", b"3"):
            cache.keep(key, b"")
        cache.clear()
        assert cache.bytes == 0


def test_forgetting_users_one_by_one_leaves_nothing_behind() -> None:
    cache = _cache(10**9)
    longest = 0
    cache.keep(b"stays", b"")
    for number in range(3_000):
        cache.keep(b"%d" % number, b"")
        cache.discard(b"%d" % number)
        longest = max(longest, len(cache._queue))
    assert list(cache) == [b"stays"]
    assert cache.bytes == _room_for(1)
    # Those that stay, as many that are gone, and some to spare.
    assert longest == 1 + 1 + _MAX_GONE


_steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "discard", "clear"]),
        st.integers(0, 12),
        st.integers(0, 700),
    ),
    max_size=200,
)


@given(steps=_steps, entries=st.integers(0, 8))
def test_the_bound_holds_whatever_is_put_and_forgotten(steps: list[tuple[str, int, int]], entries: int) -> None:
    bound = _room_for(entries, bytes(100))
    cache = _cache(bound)
    for what, number, size in steps:
        key = b"%d" % number
        if what == "put":
            cache.keep(key, bytes(size))
            fits = list_bytes(bytes(size)) + ENTRY_BYTES <= bound // 16 * 16
            assert (cache.kept(key) == bytes(size)) == fits
        elif what == "discard":
            cache.discard(key)
            assert cache.kept(key) is None
        elif number == 0:
            cache.clear()
        assert cache.bytes <= bound
        assert cache.bytes == sum(_room_for(1, value) for value in cache.values())
        assert sorted(set(cache._queue)) == sorted(cache._queue)
        assert set(cache) <= set(cache._queue)
        assert cache._put_again <= set(cache)
        assert set(cache._queue) == set(cache) | cache._gone
        assert cache._gone.isdisjoint(cache)


@given(puts=st.lists(st.integers(0, 9), max_size=80), entries=st.integers(1, 6))
def test_eviction_is_first_in_first_out_with_another_round(puts: list[int], entries: int) -> None:
    cache = _cache(_room_for(entries))
    order: list[int] = []
    again: set[int] = set()
    for number in puts:
        cache.keep(b"%d" % number, b"")
        if number in order:
            again.add(number)
            continue
        while len(order) >= entries:
            first = order.pop(0)
            if first in again:
                again.discard(first)
                order.append(first)
            else:
                break
        order.append(number)
        assert {b"%d" % one for one in order} == set(cache)
