"""Lists as numbers of items: what is kept is what was put, whatever happens to the numbers."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from service.lists.envelope import Envelope, seal
from service.lists.memory import ListMemory
from service.lists.numbers import GivenItems, ItemNumbers, NumberedList, envelope_of, first_numbers, numbered
from service.lists.renumbering import Renumbering
from service.models import ItemList

IDS = [*(f"item{number}" for number in range(8)), "ä", "", "0f0e0d0c-0b0a-0908-0706-050403020100"]

lists = st.builds(
    ItemList,
    st.lists(st.sampled_from(IDS), max_size=14).map(tuple),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.floats(0, 2e9),
    st.frozensets(st.sampled_from(IDS), max_size=3),
    st.booleans(),
).filter(lambda one: not one.promoted or bool(one.promoted & {*one.item_ids}))


@given(ranked=lists)
def test_a_list_comes_back_as_it_was(ranked: ItemList) -> None:
    memory = ListMemory(10**6)
    envelope = seal(ranked)
    memory.put(b"key", envelope)
    assert memory.get(b"key") == envelope
    kept = memory.numbered(b"key")
    assert (kept is None) == (len({*ranked.item_ids}) < len(ranked.item_ids))
    if kept is not None:
        ids = [memory.numbers.ids[number] for number in first_numbers(kept, 5)]
        assert ids == list(ranked.item_ids[:5])


def test_numbers_beyond_two_bytes_take_four() -> None:
    numbers = ItemNumbers()
    numbers.of([f"item{number}" for number in range(70_000)])
    for first in (0, 65_530, 65_536):
        envelope = seal(ItemList(tuple(f"item{number}" for number in range(first, first + 10)), "RID", 1.0))
        kept = numbered(envelope, numbers)
        assert kept is not None
        assert envelope_of(kept, numbers) == envelope
        assert first_numbers(kept, 500) == tuple(range(first, first + 10))


def test_a_list_with_an_item_for_which_there_is_no_number_is_kept_all_the_same() -> None:
    memory = ListMemory(10**6, max_numbers=3)
    first, second = (seal(ItemList(ids, "RID", 1.0)) for ids in (("a", "b", "c"), ("c", "d")))
    memory.put(b"first", first)
    memory.put(b"second", second)
    assert memory.numbered(b"first") is not None
    assert memory.numbered(b"second") is None
    assert memory.get(b"second") == second
    assert len(memory.numbers) == 3


def test_what_no_version_can_read_is_kept_as_it_is() -> None:
    memory = ListMemory(10**6)
    memory.put(b"key", Envelope(b"\xfa of a future version"))
    assert memory.get(b"key") == b"\xfa of a future version"
    assert memory.numbered(b"key") is None


async def test_renumbered_lists_are_the_same_and_items_of_no_list_lose_their_numbers() -> None:
    memory = ListMemory(10**7)
    envelopes = {
        b"%d" % number: seal(ItemList(tuple(f"item{number + place}" for place in range(10)), "RID", 1.0))
        for number in range(1_500)
    }
    for key, envelope in envelopes.items():
        memory.put(key, envelope)
    for number in range(1_000):
        memory.discard(b"%d" % number)
        del envelopes[b"%d" % number]
    before, accounted = len(memory.numbers), memory.bytes

    renumbering = asyncio.create_task(memory.renumber())
    await asyncio.sleep(0)
    # In the middle of it a list comes, one goes, and all can be read.
    late = seal(ItemList(("item1499", "new"), "RID", 2.0))
    memory.put(b"late", late)
    memory.discard(b"1400")
    del envelopes[b"1400"]
    assert {key: memory.get(key) for key in envelopes} == envelopes
    assert not renumbering.done()
    await renumbering

    assert {key: memory.get(key) for key in envelopes} == envelopes
    assert memory.get(b"late") == late
    assert all(memory.numbered(key) is not None for key in memory)
    assert len(memory.numbers) < before / 2
    assert memory.bytes < accounted + 100
    assert memory.bytes == sum(memory._entry_bytes(kept) for kept in memory.values())


async def test_renumbering_is_due_when_most_numbers_are_idle_and_not_again_until_they_have_doubled() -> None:
    memory = ListMemory(10**7)
    due = [memory.has_idle_numbers]
    memory.numbers.of([f"gone{number}" for number in range(10_000)])
    due.append(memory.has_idle_numbers)
    memory.numbers.of(["gone"])
    due.append(memory.has_idle_numbers)
    memory.put(b"key", seal(ItemList(("a", "b"), "RID", 1.0)))
    await memory.renumber()
    assert len(memory.numbers) == 2
    assert [*due, memory.has_idle_numbers] == [False, False, True, False]
    for number, is_due in [(2 * 2 + 10_000, False), (2 * 2 + 10_001, True)]:
        memory.numbers.of([f"new{one}" for one in range(number - 2)])
        assert memory.has_idle_numbers == is_due
    kept = memory.numbered(b"key")
    assert kept is not None
    assert NumberedList(kept)[1] == 1


@given(puts=st.lists(st.tuples(st.integers(0, 5), lists), max_size=30))
def test_what_is_accounted_is_what_is_there(puts: list[tuple[int, ItemList]]) -> None:
    memory = ListMemory(2_000)
    for key, ranked in puts:
        memory.put(b"%d" % key, seal(ranked))
        assert memory.bytes == sum(memory._entry_bytes(kept) for kept in memory.values()) <= 2_000


async def test_renumbering_runs_once_at_a_time_where_it_is_due_and_can_be_left() -> None:
    memory = ListMemory(10**7)
    for number in range(1_000):
        memory.put(b"%d" % number, seal(ItemList((f"item{number}",), "RID", 1.0)))
    renumbering = Renumbering(memory)
    renumbering.look()
    assert memory.numbers.series == 0

    memory.numbers.of([f"gone{number}" for number in range(10_000)])
    renumbering.look()
    await asyncio.sleep(0)
    renumbering.look()
    await asyncio.sleep(0)
    assert memory.numbers.series == 1
    await renumbering.close()
    assert [task for task in asyncio.all_tasks() if task.get_name() == "renumbering"] == []
    assert [memory.get(b"%d" % number) is not None for number in range(1_000)] == [True] * 1_000


def test_given_items_have_the_numbers_of_a_series_and_a_list_may_be_all_of_them() -> None:
    items, numbers = GivenItems(("a", "b", "c")), ItemNumbers(max_numbers=4)
    found = items.numbers(numbers)
    assert found is not None
    assert found is items.numbers(numbers)
    assert found.order == tuple(numbers.of(["a", "b", "c"]) or ())
    one, two, three = found.order
    others = numbers.of(["d"]) or []
    assert found.are_all_of([three, one, two])
    assert not found.are_all_of([one, two])
    assert not found.are_all_of([one, two, *others])
    assert not found.are_all_of([one, two, three, *others])
