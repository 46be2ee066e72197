"""What a replica knows of what users did: what an event changes, and what is looked up when."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from service.errors import SharedStateUnavailable
from service.events import known as known_module
from service.events.known import (
    LEARNT_AT_ONCE,
    LOAD_SECONDS,
    MAX_OF_A_TYPE,
    NEVER,
    SAME_SECONDS,
    KnownEvents,
    OwnDoings,
)
from service.events.ports import EventStore, KnownEvent
from service.lists.keys import UserPrefix
from tests.support.replica import KEYS
from tests.support.virtual_time import EPOCH, VirtualClock, run_virtual

ANN, BOB = KEYS.prefix("ann"), KEYS.prefix("bob")


class Store:
    """What was done, by user; it can be slow, or away."""

    def __init__(self) -> None:
        self.kept: dict[UserPrefix, list[KnownEvent]] = {}
        self.asked: list[UserPrefix] = []
        self.at_once = self.most_at_once = 0
        self.seconds = 0.01
        self.away = False
        self.meanwhile: Callable[[], None] = lambda: None

    async def known(self, user_prefix: UserPrefix) -> list[KnownEvent]:
        self.asked.append(user_prefix)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        found = list(self.kept.get(user_prefix, ()))
        await asyncio.sleep(self.seconds)
        self.at_once -= 1
        self.meanwhile()
        if self.away:
            raise SharedStateUnavailable
        return found


def play(scenario: Callable[[KnownEvents, Store, VirtualClock], Awaitable[None]], *, max_users: int = 100) -> None:
    async def run() -> None:
        clock, store = VirtualClock(asyncio.get_running_loop()), Store()
        known = KnownEvents(cast(EventStore, store), keys=KEYS, clock=clock, max_users=max_users)
        await scenario(known, store, clock)

    run_virtual(run())


def event(item: str, at: float, *, lifts: bool = False, kind: str = "View") -> KnownEvent:
    return KnownEvent(kind, item, EPOCH + 1000.0 + at, lifts=lifts)


def test_events_are_known_by_type_and_item_with_the_latest_time_and_a_refund_undoes_one() -> None:
    async def scenario(known: KnownEvents, store: Store, clock: VirtualClock) -> None:
        store.kept[ANN] = [event("a", -50), event("a", -60), event("b", -40), event("c", -30, kind="Purchase")]
        doings = OwnDoings(known, {"View": 45.0, "Purchase": 0.0}, clock)
        assert doings.by_type("ann") is None
        assert (doings.version("ann"), known.version(ANN)) == (-1, -1)
        assert (doings.items("ann"), doings.interactions("ann"), doings.latest("ann", "view")) == (frozenset(), (), ())
        await doings.load("ann", 1.0)
        assert doings.interactions("ann") == [("a", "View"), ("b", "View"), ("c", "Purchase")]
        assert doings.latest("ann", "vIEW") == ["b", "a"]
        assert doings.items("ann") == {"b"}
        before = known.version(ANN)
        known.heard(ANN, [event("b", -1, lifts=True), event("d", -2), event("e", -2)])
        assert known.version(ANN) == doings.version("ann") == before + 3
        # Of two of one moment, the one that came later.
        assert doings.latest("ann", "view") == ["e", "d", "a"]
        assert len(known) == 1
        assert store.asked == [ANN]
        assert doings.items("") == frozenset()
        # An older one of an item that is known later changes nothing.
        assert doings.by_type("ann") == {
            "View": {"a": event("a", -50).at, "d": event("d", -2).at, "e": event("e", -2).at},
            "Purchase": {"c": event("c", -30).at},
        }

    play(scenario)


def test_an_event_type_without_a_term_hides_nothing_not_even_of_tomorrow() -> None:
    async def scenario(known: KnownEvents, store: Store, clock: VirtualClock) -> None:
        store.kept[ANN] = [event("a", 60), event("b", 60, kind="Purchase"), event("c", -0.2, kind="Cart")]
        doings = OwnDoings(known, {"View": 0.0, "Purchase": 0.5, "Cart": 0.5}, clock)
        await doings.load("ann", 1.0)
        assert doings.items("ann") == {"b", "c"}
        await asyncio.sleep(0.3)
        assert doings.items("ann") == {"b"}

    play(scenario)


def test_of_those_who_are_not_here_the_latest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_module, "MAX_LATELY", 2)

    async def scenario(known: KnownEvents, store: Store, clock: VirtualClock) -> None:
        del store
        some = [KEYS.prefix(f"user{number}") for number in range(3)]
        at = []
        for one in (some[0], some[1], some[0], some[2]):
            await asyncio.sleep(SAME_SECONDS + 1)
            at.append(clock.time())
            known.heard(one, [event("a", -500)])
        await known.learn(some)
        assert [known.changed_at(one) for one in some] == [at[2], NEVER, at[3]]

    play(scenario)


def test_of_a_type_the_latest_hundred_items_are_known() -> None:
    async def scenario(known: KnownEvents, store: Store, clock: VirtualClock) -> None:
        del clock
        store.kept[ANN] = [event(str(number), -number) for number in range(MAX_OF_A_TYPE + 5)]
        await known.load("ann", 1.0)
        found = known.here("ann")
        assert found is not None
        assert set(found.by_type["View"]) == {str(number) for number in range(MAX_OF_A_TYPE)}

    play(scenario)


def test_a_list_changes_with_a_later_event_and_not_with_what_was_known() -> None:
    async def scenario(known: KnownEvents, store: Store, clock: VirtualClock) -> None:
        store.kept[ANN] = [event("a", -50), event("b", 30)]
        assert known.changed_at(ANN) is None
        await known.load("ann", 1.0)
        # None of the future counts as such.
        loaded = clock.time()
        assert known.changed_at(ANN) == pytest.approx(loaded)
        await asyncio.sleep(5)
        for same in (event("a", -50.0), event("a", -49.5), event("a", -70), event("b", -3, lifts=True)):
            known.heard(ANN, [same])
            assert known.changed_at(ANN) == pytest.approx(loaded)
        known.heard(ANN, [event("a", -40)])
        assert known.changed_at(ANN) == clock.time()

    play(scenario)


def test_what_is_heard_of_somebody_who_is_not_here_dates_their_list_when_they_are_loaded() -> None:
    async def scenario(known: KnownEvents, store: Store, clock: VirtualClock) -> None:
        store.kept[ANN] = store.kept[BOB] = [event("a", -500)]
        heard = clock.time()
        known.heard(ANN, [event("a", -500)])
        known.heard(BOB, [event("a", -500, lifts=True)])
        # The same event comes from two sides.
        await asyncio.sleep(SAME_SECONDS)
        known.heard(ANN, [event("a", -500)])
        await known.learn([ANN, BOB, ANN])
        assert known.changed_at(ANN) == heard
        assert known.changed_at(BOB) == EPOCH + 500.0
        assert sorted(store.asked) == sorted([ANN, BOB])
        known.forget_all()
        await asyncio.sleep(1)
        known.heard(ANN, [event("a", -500)])
        await known.learn([ANN])
        assert known.changed_at(ANN) == pytest.approx(clock.time(), abs=0.1)

    play(scenario)


def test_an_answer_waits_a_tenth_of_a_second_and_the_look_up_goes_on() -> None:
    async def scenario(known: KnownEvents, store: Store, clock: VirtualClock) -> None:
        store.seconds = 0.3
        for within, waited in [(0.02, 0.02), (5.0, LOAD_SECONDS), (-1.0, 0.0)]:
            began = clock.monotonic()
            await known.load("ann", within)
            assert clock.monotonic() - began == pytest.approx(waited)
        assert known.here("ann") is None
        await asyncio.sleep(0.3)
        assert known.here("ann") is not None
        assert store.asked == [ANN]
        began = clock.monotonic()
        await known.load("ann", 5.0)
        assert clock.monotonic() == began

    play(scenario)


def test_what_happens_during_a_look_up_makes_it_look_again_but_not_for_ever() -> None:
    async def scenario(known: KnownEvents, store: Store, clock: VirtualClock) -> None:
        del clock
        store.meanwhile = lambda: known.heard(BOB, [])
        await known.load("ann", 1.0)
        assert store.asked == [ANN] * 3
        assert known.here("ann") is not None
        first = known.version(ANN)
        await known.forget_user(ANN)
        assert known.here("ann") is None
        await known.load("ann", 1.0)
        # No answer of before may be taken for one of now.
        assert known.version(ANN) > first

    play(scenario)


def test_many_are_looked_up_a_hundred_at_a_time_and_a_store_that_is_away_says_so() -> None:
    async def scenario(known: KnownEvents, store: Store, clock: VirtualClock) -> None:
        del clock
        some = [KEYS.prefix(f"user{number}") for number in range(2 * LEARNT_AT_ONCE + 1)]
        await known.learn(some)
        assert store.most_at_once == LEARNT_AT_ONCE
        assert len(store.asked) == len(some)
        store.away = True
        await known.learn(some[-50:])
        with pytest.raises(SharedStateUnavailable):
            await known.learn([*some, ANN])
        await known.load("ann", 1.0)
        assert known.here("ann") is None

    play(scenario, max_users=1_000)


def test_who_was_asked_for_longest_ago_is_forgotten_first() -> None:
    async def scenario(known: KnownEvents, store: Store, clock: VirtualClock) -> None:
        del clock, store
        for name in ("ann", "bob"):
            await known.load(name, 1.0)
        assert known.here("ann") is not None
        await known.load("eve", 1.0)
        assert [known.here(name) is not None for name in ("ann", "bob", "eve")] == [True, False, True]
        assert len(known) == 2

    play(scenario, max_users=2)
