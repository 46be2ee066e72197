"""What a replica notes beside its lists: items that were asked for, and answers to repeat."""

import pytest

from service.lists import asked
from service.lists.asked import LATELY_SECONDS, AskedItems
from service.lists.pins import LocalPins
from service.lists.ports import Outcome
from tests.support.clocks import StandingClock
from tests.support.replica import KEYS, key_of

FIRST, SECOND = Outcome(None, "popular", "budget"), Outcome(None, "popular", "timeout")


def test_of_too_many_items_the_one_that_was_asked_for_longest_ago_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "MAX_ASKED_ITEMS", 3)
    clock = StandingClock()
    items = AskedItems(clock)
    for clock.now, item_id in enumerate("abcad"):
        items.note(item_id)
    assert items.lately() == ["d", "a", "c"]
    began = clock.time() - 4
    assert items.take_unshared() == {"a": began + 3, "c": began + 2, "d": began + 4}
    assert items.take_unshared() == {}


def test_items_are_of_lately_for_a_week() -> None:
    clock = StandingClock()
    items = AskedItems(clock)
    items.note("a")
    for clock.now, lately in [(LATELY_SECONDS, ["a"]), (LATELY_SECONDS + 0.1, [])]:
        assert items.lately() == lately


def test_what_could_not_be_shared_is_shared_later_with_the_latest_time_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "MAX_ASKED_ITEMS", 2)
    clock = StandingClock()
    items = AskedItems(clock)
    items.note("a")
    items.note("b")
    taken = items.take_unshared()
    clock.now = 5.0
    items.note("b")
    items.note("c")
    items.put_back(taken)
    # Of an item that has gone nothing is shared.
    assert items.take_unshared() == {"b": clock.time(), "c": clock.time()}


def test_the_first_answer_of_a_moment_is_repeated_until_its_time_is_over() -> None:
    clock = StandingClock()
    pins = LocalPins(5.0, clock)
    ann = key_of("ann")
    assert pins.get(ann) is None
    pins.put(ann, FIRST)
    clock.now = 4.9
    pins.put(ann, SECOND)
    assert pins.get(ann) == FIRST
    clock.now = 5.0
    assert pins.get(ann) is None
    pins.put(ann, SECOND)
    assert pins.get(ann) == SECOND
    assert pins.get(key_of("bob")) is None


@pytest.mark.parametrize(("seconds", "lasts"), [(2.0, 2.0), (5.0, 5.0), (60.0, 5.0)])
def test_what_began_elsewhere_lasts_as_long_as_is_left_and_no_longer_than_any(seconds: float, lasts: float) -> None:
    clock = StandingClock()
    pins = LocalPins(5.0, clock)
    pins.put(key_of("bob"), FIRST, 0.5)
    pins.put(key_of("ann"), FIRST, seconds)
    for clock.now, is_there in [(lasts - 0.1, True), (lasts, False)]:
        assert (pins.get(key_of("ann")) is not None) == is_there


async def test_of_a_forgotten_user_and_of_pins_that_have_lapsed_nothing_is_left() -> None:
    clock = StandingClock()
    pins = LocalPins(5.0, clock)
    for name in ("ann", "bob", "eve"):
        pins.put(key_of(name), FIRST)
        clock.now += 2.0
    # The first has lapsed.
    assert set(pins.kept_keys()) == {key_of("bob"), key_of("eve")}
    await pins.forget_user(KEYS.prefix("bob"))
    assert pins.get(key_of("bob")) is None
    assert pins.get(key_of("eve")) == FIRST
    assert list(pins.kept_keys()) == [key_of("eve")]
    pins.clear()
    assert list(pins.kept_keys()) == []
