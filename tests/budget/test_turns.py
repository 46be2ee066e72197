"""Turns of senders, by themselves: each has its share of any number of turns."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.budget.turns import Turns
from service.models import Sender

WEIGHTS = {"large": 3.0, "usual": 1.0, "small": 0.5}


def turns_of(**waiting: int) -> Turns[str]:
    turns = Turns[str](WEIGHTS.__getitem__)
    for name, count in waiting.items():
        for number in range(count):
            turns.add(f"{name} {number}", Sender(name))
    return turns


def taken(turns: Turns[str], count: int) -> Counter[str]:
    return Counter(str(turns.next()).partition(" ")[0] for _ in range(count))


@pytest.mark.parametrize("count", [3, 9, 18, 45, 90])
def test_everyone_has_a_share_of_the_turns_by_weight(count: int) -> None:
    got = taken(turns_of(large=100, usual=100, small=100), count)
    for name, weight in WEIGHTS.items():
        assert abs(got[name] - count * weight / sum(WEIGHTS.values())) <= 1


def test_who_comes_later_has_no_turns_of_before() -> None:
    turns = turns_of(usual=100)
    assert taken(turns, 40) == {"usual": 40}
    for number in range(100):
        turns.add(f"large {number}", Sender("large"))
    got = taken(turns, 40)
    assert abs(got["large"] - 30) <= 1


def test_who_was_served_and_comes_again_at_once_waits_for_its_turn() -> None:
    turns = turns_of(usual=20, small=1)
    order = []
    for number in range(12):
        one = str(turns.next())
        order.append(one.partition(" ")[0])
        if one.startswith("small"):
            turns.add(f"small again {number}", Sender("small"))
    assert order.count("small") == 4


def test_the_longest_queue_for_its_weight_gives_its_latest_place_away() -> None:
    turns = turns_of(large=4, usual=2, small=2)
    assert not turns.would_be_last(Sender("large"))
    assert not turns.would_be_last(Sender("usual"))
    assert turns.would_be_last(Sender("small"))
    assert [turns.last() for _ in range(4)] == ["small 1", "usual 1", "small 0", "large 3"]
    assert len(turns) == 4
    # One more of a queue as long as any is the one that would go.
    assert turns.would_be_last(Sender("usual"))
    assert not turns_of(large=3, usual=2).would_be_last(Sender("large"))
    assert turns_of().would_be_last(Sender("usual"))
    assert turns_of(large=3).would_be_last(Sender("usual"))
    assert not turns_of(large=4).would_be_last(Sender("usual"))


@given(st.lists(st.tuples(st.sampled_from("arlnx"), st.sampled_from(["large", "usual"])), max_size=40))
def test_it_counts_those_who_wait_and_gives_each_away_once(steps: list[tuple[str, str]]) -> None:
    turns, waiting, number = turns_of(), list[tuple[str, str]](), 0
    for step, name in steps:
        if step == "a":
            number += 1
            turns.add(str(number), Sender(name))
            waiting.append((str(number), name))
        elif step == "r" and waiting:
            waiter, of = waiting[0]
            other = "usual" if of == "large" else "large"
            assert not turns.remove(waiter, Sender(other))
            assert turns.remove(waiter, Sender(of))
            del waiting[0]
        elif step == "x":
            gone = turns.remove_all(lambda one: int(one) % 3 == 0)
            assert sorted(gone) == sorted(one for one, _ in waiting if int(one) % 3 == 0)
            waiting = [(one, of) for one, of in waiting if int(one) % 3]
        elif step in "ln":
            one = turns.last() if step == "l" else turns.next()
            assert (one is None) == (not waiting)
            waiting = [(other, of) for other, of in waiting if other != one]
        assert len(turns) == len(waiting)
