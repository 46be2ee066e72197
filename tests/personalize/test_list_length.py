"""How long a list to fetch: what is asked for, and what is dropped, decide."""

import pytest

from service.personalize.list_length import ListLength
from tests.support.clocks import StandingClock


@pytest.mark.parametrize(
    ("asked", "fetched"), [(1, 25), (25, 25), (26, 26), (100, 100), (499, 499), (500, 500), (501, 500), (5_000, 500)]
)
def test_as_many_as_are_asked_for_but_no_fewer_than_25_and_no_more_than_500(asked: int, fetched: int) -> None:
    assert ListLength(StandingClock()).to_fetch(asked) == fetched


def test_the_largest_question_is_reckoned_with_for_one_to_two_times_as_long() -> None:
    clock = StandingClock()
    length = ListLength(clock)
    length.observe(asked=80, examined=80, kept=80)
    fetched = []
    for seconds in (0.0, 1.0, 900.0, 900.5, 1800.5):
        clock.now = seconds
        length.observe(asked=40, examined=40, kept=40)
        fetched.append(length.to_fetch(10))
    clock.now += 1.0
    length.observe(asked=30, examined=30, kept=30)
    assert [*fetched, length.to_fetch(10)] == [80, 80, 80, 80, 80, 40]


def test_of_lists_of_which_a_share_is_dropped_more_is_fetched() -> None:
    length = ListLength(StandingClock())
    for _ in range(1_000):
        length.observe(asked=40, examined=100, kept=50)
    # Half is dropped; a fifth more, because no list is like the last.
    assert length.to_fetch(40) == 96
    for _ in range(1_000):
        length.observe(asked=40, examined=100, kept=1)
    assert length.to_fetch(20) == 500
    # Nothing looked at says nothing.
    length.observe(asked=40, examined=0, kept=0)
    for _ in range(1_000):
        length.observe(asked=40, examined=100, kept=100)
    assert length.to_fetch(40) <= 41


def test_one_answer_moves_the_share_a_little() -> None:
    length = ListLength(StandingClock())
    length.observe(asked=100, examined=100, kept=80)
    # Too little to fetch more for no two lists are alike.
    assert length.to_fetch(100) == 101
    length.observe(asked=100, examined=100, kept=50)
    assert length.to_fetch(100) == 122
