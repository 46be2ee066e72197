"""A list with choices is the list that it was, and goes with all that was chosen of it."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.lists.choices import MAX_CHOICES, MAX_CHOSEN, TAGS_EACH, choice_in, with_choice
from service.lists.envelope import seal
from service.lists.memory import ListMemory
from service.lists.numbers import FEW, ItemNumbers, NumberedList, envelope_of, first_numbers, numbered
from service.models import ItemList

RANKED = ItemList(("a", "b", "c"), "RID", 1.5, frozenset({"b"}))


def _kept(numbers: ItemNumbers) -> NumberedList:
    kept = numbered(seal(RANKED), numbers)
    assert kept is not None
    return kept


@cache
def _many() -> ItemNumbers:
    """So many that further ones take four bytes."""
    numbers = ItemNumbers()
    numbers.of([f"x{number}" for number in range(65_540)])
    return numbers


@given(
    choices=st.lists(
        st.tuples(st.integers(0, 5), st.lists(st.integers(0, 200_000), max_size=140)), min_size=1, max_size=12
    ),
    wide=st.booleans(),
)
def test_a_list_with_choices_is_the_same_list_and_the_latest_choices_are_found(
    choices: list[tuple[int, list[int]]], *, wide: bool
) -> None:
    numbers = _many() if wide else ItemNumbers()
    before = kept = _kept(numbers)
    latest: dict[int, tuple[int, ...]] = {}
    for chooser, shown in choices:
        kept = with_choice(kept, chooser * TAGS_EACH, shown, lambda _: False)
        latest.pop(chooser, None)
        latest[chooser] = tuple(shown)

    assert first_numbers(kept, 9) == first_numbers(before, 9)
    assert envelope_of(kept, numbers) == seal(RANKED)
    for chooser, shown_last in latest.items():
        assert choice_in(kept, {chooser * TAGS_EACH: chooser}) == (chooser, shown_last)
    assert choice_in(kept, {99: "another's"}) is None


def test_the_choices_that_were_made_first_make_room() -> None:
    kept = _kept(ItemNumbers())
    for chooser in range(MAX_CHOICES + 1):
        kept = with_choice(kept, chooser * TAGS_EACH, [0], lambda _: True)

    found = [choice_in(kept, {chooser * TAGS_EACH: True}) is not None for chooser in range(MAX_CHOICES + 1)]
    assert found == [False] + [True] * MAX_CHOICES


def test_of_one_chooser_only_choices_that_live_stay() -> None:
    kept = _kept(ItemNumbers())
    for tag in range(3):
        kept = with_choice(kept, tag, [tag], lambda tag: tag == 0)

    assert [choice_in(kept, {tag: True}) for tag in range(3)] == [(True, (0,)), None, (True, (2,))]


@pytest.mark.parametrize("size", [0, 1, FEW - 1, FEW, FEW + 1, MAX_CHOSEN])
@pytest.mark.parametrize("first", [0, 65_500])
def test_choices_of_any_length_come_back_and_one_that_is_too_large_is_not_kept(size: int, first: int) -> None:
    kept, shown = _kept(ItemNumbers()), range(first, first + size)
    with_two = with_choice(with_choice(kept, 1, shown, lambda _: True), 2, shown[:2], lambda _: True)
    for tag, expected in [(1, shown), (2, shown[:2])]:
        assert choice_in(with_two, {tag: "known"}) == ("known", tuple(expected))
    assert with_choice(kept, 1, range(MAX_CHOSEN + 1), lambda _: True) == kept


def test_a_choice_goes_with_its_list_and_counts() -> None:
    memory = ListMemory(10**6)
    memory.put(b"key", seal(RANKED))
    kept = memory.numbered(b"key")
    assert kept is not None
    with_one = with_choice(kept, 1, range(20), lambda _: True)

    memory.keep_choice(b"key", with_one)
    memory.keep_choice(b"of nobody", with_one)

    assert memory.numbered(b"key") == with_one
    assert memory.get(b"key") == seal(RANKED)
    assert memory.bytes == memory._entry_bytes(with_one)
    assert list(memory) == [b"key"]
    memory.erase(b"key")
    assert memory.bytes == 0
    memory.put(b"key", seal(RANKED))
    assert memory.numbered(b"key") == kept


@pytest.mark.parametrize(("spare", "is_kept"), [(0, True), (-16, False)])
def test_no_list_goes_for_a_choice(spare: int, *, is_kept: bool) -> None:
    kept = _kept(ItemNumbers())
    chosen = with_choice(kept, 1, range(100), lambda _: True)
    sizes = ListMemory(0)
    memory = ListMemory(sizes._entry_bytes(kept) + sizes._entry_bytes(chosen) + spare)
    for key in (b"1", b"2"):
        memory.put(key, seal(RANKED))

    memory.keep_choice(b"2", chosen)

    assert memory.numbered(b"2") == (chosen if is_kept else kept)
    assert memory.numbered(b"1") == kept


async def test_renumbered_lists_lose_their_choices() -> None:
    memory = ListMemory(10**6)
    memory.put(b"key", seal(RANKED))
    kept = memory.numbered(b"key")
    assert kept is not None
    memory.keep_choice(b"key", with_choice(kept, 1, [2, 0], lambda _: True))

    await memory.renumber()

    renumbered = memory.numbered(b"key")
    assert renumbered is not None
    assert choice_in(renumbered, {1: True}) is None
    assert memory.get(b"key") == seal(RANKED)
    assert memory.bytes == memory._entry_bytes(renumbered)


def test_a_choice_of_ten_items_takes_28_bytes_and_each_further_one_26() -> None:
    kept = _kept(ItemNumbers())
    one = with_choice(kept, 1, range(10), lambda _: True)
    two = with_choice(one, 2, range(10), lambda _: True)

    assert (len(one) - len(kept), len(two) - len(one)) == (28, 26)
