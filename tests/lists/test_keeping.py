"""What one replica keeps and agrees on with its store: a fake one, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from service.errors import SharedStateUnavailable
from service.lists.envelope import Envelope, seal
from service.lists.forgetting import ForgottenLately
from service.lists.freshness import Freshness
from service.lists.keys import UserKey
from service.lists.ladder import Ladder, NoPopularList
from service.lists.lists import MIN_LOOK_UP_SECONDS, Lists
from service.lists.memory import ListMemory
from service.lists.pins import LocalPins
from service.lists.ports import ABANDONED, BatchLists, Landed, Outcome, OutcomeSource, SharedLists
from service.models import ItemList
from tests.support.replica import KEYS, key_of
from tests.support.virtual_time import VirtualClock, run_virtual

ANN = key_of("ann")
FRESH, STALE = 900.0, 5_000.0


@dataclass
class Store:
    """Both stores: what is in them, and whether and how fast they answer."""

    shared: Envelope | None = None
    batch: Envelope | None = None
    away: bool = False
    seconds: float = 0.0
    noted: list[tuple[UserKey, bool]] = field(default_factory=list)
    landed: list[tuple[Outcome, bool]] = field(default_factory=list)
    answered: Outcome | None = None
    made: list[float | None] = field(default_factory=list)

    async def _answer(self) -> None:
        await asyncio.sleep(self.seconds)
        if self.away:
            raise SharedStateUnavailable

    async def look(self, key: UserKey) -> Envelope | None:
        assert key == ANN
        await self._answer()
        return self.shared

    async def get(self, key: UserKey) -> Envelope | None:
        assert key == ANN
        await self._answer()
        return self.batch

    def note(self, key: UserKey, *, shared: bool) -> None:
        self.noted.append((key, shared))

    async def land(self, key: UserKey, outcome: Outcome, *, led: bool) -> Landed:
        assert key == ANN
        self.landed.append((outcome, led))
        await self._answer()
        return Landed(self.answered or outcome, 5.0)

    async def made_at(self, keys: list[UserKey]) -> list[float | None]:
        assert len(keys) == len(self.made)
        await self._answer()
        return self.made


@dataclass
class Scene:
    lists: Lists
    store: Store
    clock: VirtualClock
    lately: ForgottenLately

    def made(self, age: float, item: str = "a") -> Envelope:
        """A list of this age."""
        return seal(ItemList((item,), "RID", self.clock.time() - age))


def play(scenario: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        clock, store = VirtualClock(asyncio.get_running_loop()), Store()
        freshness, lately = Freshness(FRESH, STALE), ForgottenLately(clock=clock, flight_seconds=10)
        lists = Lists(
            clock=clock,
            freshness=freshness,
            memory=ListMemory(2**20),
            pins=LocalPins(5.0, clock),
            shared=cast(SharedLists, store),
            batch=cast(BatchLists, store),
            ladder=Ladder(NoPopularList()),
            lately=lately,
        )
        await scenario(Scene(lists, store, clock, lately))

    run_virtual(run())


@pytest.mark.parametrize(
    ("source", "kept", "noted"),
    [
        ("personalize", True, True),
        ("cache", True, False),
        ("stale", True, False),
        ("batch", False, False),
        ("popular", False, False),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_lists_of_a_transaction_are_kept_and_noted_for_the_others(
    source: OutcomeSource, *, kept: bool, noted: bool, shared: bool
) -> None:
    async def scenario(scene: Scene) -> None:
        envelope = scene.made(1.0)
        scene.lists.keep(ANN, Outcome(envelope, source), shared=shared)
        assert scene.lists.kept(ANN) == (envelope if kept else None)
        assert scene.store.noted == ([(ANN, shared)] if noted else [])
        scene.lists.keep(ANN, Outcome(None, source), shared=shared)
        assert scene.lists.kept(ANN) == (envelope if kept else None)

    play(scenario)


def test_of_a_user_forgotten_lately_nothing_is_kept_pinned_or_settled() -> None:
    async def scenario(scene: Scene) -> None:
        scene.lately.add(KEYS.prefix("ann"))
        live, degraded = Outcome(scene.made(1.0), "personalize"), Outcome(scene.made(1.0), "stale", "budget")
        scene.lists.keep(ANN, live)
        scene.lists.pin(ANN, degraded)
        assert (scene.lists.kept(ANN), scene.lists.pinned(ANN)) == (None, None)
        settled = await scene.lists.settle(ANN, live, led=True)
        assert (settled.outcome, settled.shared) == (live, True)
        assert scene.store.landed == [(ABANDONED, True)]
        settled = await scene.lists.settle(ANN, degraded, led=False)
        assert (settled.outcome, settled.shared) == (degraded, False)
        assert len(scene.store.landed) == 1

    play(scenario)


def test_the_first_answer_counts_and_without_the_store_a_replica_decides_for_itself() -> None:
    async def scenario(scene: Scene) -> None:
        live, before = Outcome(scene.made(1.0), "personalize"), Outcome(scene.made(60.0), "stale", "budget")
        scene.store.answered = before
        settled = await scene.lists.settle(ANN, live, led=True)
        assert (settled.outcome, settled.shared) == (before, True)
        assert scene.store.landed == [(live, True)]
        assert scene.lists.pinned(ANN) == before
        await asyncio.sleep(5.0)
        assert scene.lists.pinned(ANN) is None
        scene.store.away = True
        settled = await scene.lists.settle(ANN, live, led=True)
        assert (settled.outcome, settled.shared) == (live, False)
        assert not await scene.lists.abandon(ANN)

    play(scenario)


@pytest.mark.parametrize("left", [0.1, 0.0, -1.0])
@pytest.mark.parametrize("away", [False, True])
def test_a_look_up_takes_no_longer_than_is_left_and_five_milliseconds_in_any_case(left: float, *, away: bool) -> None:
    async def scenario(scene: Scene) -> None:
        scene.store.seconds, scene.store.away = (0.0 if away else 60.0), away
        began = scene.clock.monotonic()
        looked = await scene.lists.look(ANN, "timeout", began + left)
        assert looked == Outcome(None, "popular", "timeout")
        took = scene.clock.monotonic() - began
        # Both stores are looked into.
        most = max(left, MIN_LOOK_UP_SECONDS)
        assert took == pytest.approx(0.0 if away else most + MIN_LOOK_UP_SECONDS)
        assert await scene.lists.everything(ANN, scene.clock.monotonic()) == []

    play(scenario)


@pytest.mark.parametrize(
    ("here", "shared", "batch", "source"),
    [
        (100.0, None, None, "cache"),
        (None, 100.0, None, "cache"),
        (FRESH + 1, 10.0, None, "stale"),
        (FRESH + 1, None, FRESH + 2, "stale"),
        (FRESH + 2, None, FRESH + 1, "batch"),
        (STALE + 1, None, None, "popular"),
        (STALE + 1, FRESH + 1, None, "stale"),
        (None, STALE + 1, 100.0, "batch"),
        (None, None, STALE + 1, "popular"),
    ],
)
def test_the_best_that_is_kept_anywhere_is_found_without_a_transaction(
    here: float | None, shared: float | None, batch: float | None, source: str
) -> None:
    async def scenario(scene: Scene) -> None:
        made = [None if age is None else scene.made(age) for age in (here, shared, batch)]
        if made[0] is not None:
            scene.lists.keep(ANN, Outcome(made[0], "cache"))
        scene.store.shared, scene.store.batch = made[1], made[2]
        looked = await scene.lists.look(ANN, "budget", scene.clock.monotonic() + 1)
        assert (looked.source, looked.degraded_reason) == (source, "budget")
        ages = (here, shared, batch)
        wanted = [
            (where, one)
            for where, one, age in zip(("memory", "shared", "batch"), made, ages, strict=True)
            if age is not None and age < STALE
        ]
        assert await scene.lists.everything(ANN, scene.clock.monotonic() + 1) == wanted

    play(scenario)


def test_a_list_is_wanted_that_is_neither_fresh_nor_young_enough_or_that_nobody_has() -> None:
    async def scenario(scene: Scene) -> None:
        now = scene.clock.time()
        scene.store.made = [now - 10, now - FRESH - 1, now - 2_000, None, now + 60]
        keys = [key_of(str(number)) for number in range(5)]
        assert await scene.lists.wanted(keys, 0.0) == [False, True, True, True, True]
        assert await scene.lists.wanted(keys, 1_500.0) == [False, False, True, True, True]
        assert await scene.lists.wanted(keys, 0.0, only_kept=True) == [False, True, True, False, True]
        scene.store.away = True
        with pytest.raises(SharedStateUnavailable):
            await scene.lists.wanted(keys, 0.0)

    play(scenario)
