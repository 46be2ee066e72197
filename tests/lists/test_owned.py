"""What a replica decides about its keys: who leads, what was answered first, and who waits for an end."""

import pytest

from service.constants import PIN_SECONDS
from service.lists.adapters import owned as owned_module
from service.lists.adapters.owned import Ages, Ended, OwnedKeys
from service.lists.envelope import Envelope, seal
from service.lists.forgetting import ForgottenLately
from service.lists.keys import KEY_BYTES, UserKey, prefix_of
from service.lists.memory import ListMemory
from service.lists.pins import LocalPins
from service.lists.ports import Boarding, Outcome
from service.models import ItemList
from tests.support.clocks import StandingClock

KEY, OTHER_KEY, THIRD_KEY = (UserKey(bytes([number]) * KEY_BYTES) for number in (1, 2, 3))
FRESH = Ages(100.0, 200.0)
BUDGET = Outcome(None, "popular", "budget")
TIMEOUT = Outcome(None, "popular", "timeout")


def made_at(seconds: float) -> Envelope:
    return seal(ItemList(("a", "b"), "RID", seconds))


LIST = made_at(150.0)
LIVE = Outcome(LIST, "personalize")


class Owner:
    """Keys of one replica, and all that they have to do with."""

    def __init__(self) -> None:
        self.clock = StandingClock(1_000.0)
        self.memory = ListMemory(1_000_000)
        self.pins = LocalPins(PIN_SECONDS, self.clock)
        self.lately = ForgottenLately(clock=self.clock, flight_seconds=30.0)
        self.keys = OwnedKeys(self.memory, self.pins, self.lately, self.clock)

    def board(
        self, who: bytes, key: UserKey = KEY, *, lease: float = 10.0, renew: bool = False, gives: bool = True
    ) -> Boarding:
        return self.keys.board(key, FRESH, lease_seconds=lease, renew=renew, who=who, gives=gives)

    def land(self, who: bytes, outcome: Outcome, key: UserKey = KEY, *, led: bool = True) -> Ended:
        return self.keys.land(key, outcome, FRESH, led=led, who=who)


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.mark.parametrize(("made", "holds"), [(99.9, False), (100.0, True), (200.0, True), (200.1, False)])
def test_ages_hold_a_list_that_was_made_between_them(made: float, *, holds: bool) -> None:
    assert FRESH.hold(made_at(made)) is holds
    assert not FRESH.hold(None)


def test_one_leads_until_its_lease_is_over_and_the_others_hear_of_the_end(owner: Owner) -> None:
    assert owner.board(b"one") == Boarding(leader=True)
    owner.clock.now += 4.0
    assert owner.board(b"two") == Boarding(leader=False, lease_seconds=6.0)
    assert owner.board(b"three", gives=False) == Boarding(leader=False, lease_seconds=6.0)
    owner.clock.now += 6.0
    assert owner.board(b"two") == Boarding(leader=True)
    # Who leads asks again, and leads anew.
    owner.clock.now += 1.0
    owner.board(b"four")
    assert owner.board(b"two").leader
    assert owner.land(b"two", LIVE) == Ended(None, None, {b"four": True})
    # The flight has ended.
    assert owner.board(b"one", renew=True).leader


def test_who_led_before_another_one_ends_nothing_and_has_no_followers_left(
    owner: Owner,
) -> None:
    owner.board(b"one")
    owner.board(b"two")
    owner.clock.now += 10.0
    assert owner.board(b"three").leader
    owner.board(b"four", gives=False)
    assert owner.land(b"one", BUDGET).followers == {}
    assert owner.land(b"three", BUDGET).followers == {b"four": False}


def test_an_answer_of_one_that_does_not_lead_is_heard_and_the_flight_goes_on(owner: Owner) -> None:
    owner.board(b"one")
    owner.board(b"two")
    assert owner.land(b"three", BUDGET, led=False).followers == {b"two": True}
    assert owner.board(b"four", gives=False).lease_seconds == 10.0
    assert owner.land(b"one", LIVE).followers == {b"four": False}


def test_a_list_of_now_answers_unless_it_is_to_be_renewed_or_withheld(owner: Owner) -> None:
    owner.land(b"one", LIVE)
    assert owner.board(b"two") == Boarding(leader=False, envelope=LIST)
    assert owner.board(b"two", renew=True) == Boarding(leader=True, envelope=LIST)
    owner.land(b"two", LIVE)
    assert owner.board(b"two", gives=False) == Boarding(leader=True)
    old = made_at(99.0)
    owner.land(b"one", Outcome(old, "personalize"), OTHER_KEY)
    assert owner.board(b"one", OTHER_KEY) == Boarding(leader=True, envelope=old)
    assert owner.board(b"two", OTHER_KEY) == Boarding(leader=False, envelope=old, lease_seconds=10.0)


def test_the_first_degraded_answer_is_repeated_for_its_time(owner: Owner) -> None:
    assert owner.land(b"one", BUDGET, led=False) == Ended(None, None, {})
    owner.clock.now += 1.0
    ended = owner.land(b"two", TIMEOUT, led=False)
    assert (ended.pin, ended.answered_before) == ((BUDGET, PIN_SECONDS - 1.0), True)
    # A live list is kept beside it.
    assert owner.land(b"two", LIVE).pin == (BUDGET, PIN_SECONDS - 1.0)
    assert owner.board(b"one") == Boarding(leader=False, envelope=LIST, pinned=BUDGET, pinned_seconds=PIN_SECONDS - 1.0)
    assert owner.board(b"one", gives=False) == Boarding(leader=True)
    owner.clock.now += PIN_SECONDS - 1.0
    assert owner.board(b"two") == Boarding(leader=False, envelope=LIST)


@pytest.mark.parametrize(
    ("kept", "is_shown"), [(None, False), (made_at(99.0), False), (LIST, True), (made_at(201.0), False)]
)
def test_a_list_of_now_takes_the_place_of_a_degraded_answer(
    owner: Owner, kept: Envelope | None, *, is_shown: bool
) -> None:
    if kept is not None:
        owner.memory.put(KEY, kept)
    ended = owner.land(b"one", BUDGET)
    assert ended == Ended(None, kept if is_shown else None, {})
    assert ended.answered_before is is_shown
    assert (owner.pins.get(KEY) == BUDGET) is not is_shown


@pytest.mark.parametrize("outcome", [Outcome(LIST, "cache"), Outcome(None, "none"), Outcome(None, "personalize")])
def test_what_is_neither_live_nor_degraded_is_not_kept(owner: Owner, outcome: Outcome) -> None:
    assert owner.land(b"one", outcome) == Ended(None, None, {})
    assert owner.board(b"two") == Boarding(leader=True)


def test_of_a_user_who_was_forgotten_lately_nothing_is_kept(owner: Owner) -> None:
    owner.lately.add(prefix_of(KEY))
    owner.keys.keep(KEY, LIST)
    owner.land(b"one", LIVE)
    owner.land(b"one", BUDGET)
    assert owner.board(b"two") == Boarding(leader=True)


def test_of_two_lists_the_newer_one_is_kept(owner: Owner) -> None:
    newer, twin = made_at(151.0), seal(ItemList(("c",), "RID-2", 151.0))
    for envelope, kept in ((LIST, LIST), (newer, newer), (LIST, newer), (twin, newer)):
        owner.keys.keep(KEY, envelope)
        assert owner.memory.get(KEY) == kept


def test_a_flight_of_before_anybody_asked_has_the_time_that_is_left(owner: Owner) -> None:
    owner.keys.lead(KEY, b"one", 3.0)
    assert owner.board(b"two") == Boarding(leader=False, lease_seconds=3.0)
    # Named once more, it keeps its followers; another one's flight does not get them.
    owner.keys.lead(KEY, b"one", 2.0)
    assert owner.board(b"three") == Boarding(leader=False, lease_seconds=2.0)
    owner.keys.lead(KEY, b"four", 1.0)
    owner.board(b"five")
    assert owner.land(b"four", BUDGET).followers == {b"five": True}


def test_too_many_flights_are_all_led_and_those_that_have_ended_make_room(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owned_module, "MAX_FLIGHTS", 2)
    owner.board(b"one", KEY, lease=0.25)
    assert not owner.board(b"two", KEY).leader
    owner.board(b"one", OTHER_KEY)
    assert owner.board(b"one", THIRD_KEY).leader
    assert owner.board(b"two", THIRD_KEY).leader
    # The first one has ended, which is looked for twice a second.
    owner.clock.now += 0.375
    assert owner.board(b"two", THIRD_KEY).leader
    assert owner.board(b"one", THIRD_KEY).leader
    owner.clock.now += 0.125
    assert owner.board(b"one", THIRD_KEY).leader
    assert not owner.board(b"two", THIRD_KEY).leader
    assert not owner.board(b"two", OTHER_KEY).leader
    # One that ends in this moment has ended.
    owner.clock.now = owner.keys._flights[OTHER_KEY].ends
    assert owner.board(b"one", KEY).leader
    assert not owner.board(b"two", KEY).leader
