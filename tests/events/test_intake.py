"""What becomes of the events of a body, and for how long a store that is away is waited for. The time is virtual."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from service.errors import SharedStateFull, SharedStateUnavailable, SharedStateUnsafe
from service.events.braze import Ignored
from service.events.event import Event, EventProblem
from service.events.intake import Intake
from service.events.known import KnownEvents
from service.events.ports import EventStore
from service.lists.keys import UserPrefix
from tests.support.replica import KEYS
from tests.support.virtual_time import VirtualClock, run_virtual


class Store:
    """Knows some ids already; is away for a time, or fails in another way."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.accepted: list[tuple[UserPrefix, Event]] = []
        self.asked: list[float] = []
        self.away_until = 0.0
        self.error: Exception | None = None

    async def accept(self, events: Sequence[tuple[UserPrefix, Event]]) -> list[bool]:
        now = asyncio.get_running_loop().time()
        self.asked.append(now)
        if self.error is not None:
            raise self.error
        if now < self.away_until:
            raise SharedStateUnavailable
        new = [event.event_id not in self.seen for _, event in events]
        self.accepted += events
        self.seen |= {event.event_id for _, event in events}
        return new

    async def known(self, user_prefix: UserPrefix) -> list[object]:
        del user_prefix
        return []


class Scene:
    def __init__(self) -> None:
        self.store = Store()
        clock = VirtualClock(asyncio.get_running_loop())
        self.known = KnownEvents(cast(EventStore, self.store), keys=KEYS, clock=clock)
        self.counted: dict[str, int] = {}
        self.active: list[str] = []
        self.intake = Intake(cast(EventStore, self.store), known=self.known, recorder=self)
        self.intake.on_accepted = self.active.append

    def events(self, result: str, count: int) -> None:
        assert result not in self.counted
        self.counted[result] = count


def event(name: str, *, user: str = "ann", lifts: bool = False, known_only: bool = False) -> Event:
    return Event("View", user, "s", 1.7e9, name, name, lifts=lifts, known_only=known_only)


def test_each_event_is_counted_as_what_it_is_and_a_new_one_makes_its_user_active() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.known.load("ann", 1.0)
        scene.store.seen.add("twice")
        report = await scene.intake.take(
            [
                event("a"),
                EventProblem("is odd"),
                Ignored(),
                event("twice", user="eve"),
                event("b", user="bob", known_only=True),
                event("c", lifts=True),
                EventProblem("is odd too"),
                event("d", user=""),
            ]
        )
        assert (report.accepted, report.duplicate, report.ignored, report.known_only) == (4, 1, 1, 1)
        assert report.rejected == [{"index": 1, "problem": "is odd"}, {"index": 6, "problem": "is odd too"}]
        assert scene.counted == {"accepted": 4, "duplicate": 1, "ignored": 1, "rejected": 2}
        # What undoes something makes nobody active; of somebody who is not known the session stands for the user.
        assert scene.active == ["ann", "bob", "s"]
        assert [prefix for prefix, _ in scene.store.accepted] == [
            KEYS.prefix(one) for one in ("ann", "eve", "bob", "ann", "s")
        ]
        here = scene.known.here("ann")
        assert here is not None
        assert here.by_type == {"View": {"a": 1.7e9}}
        scene.counted.clear()
        empty = await scene.intake.take([])
        assert (empty.accepted, scene.counted) == (0, {})

    run_virtual(scenario())


def test_a_store_that_is_away_is_asked_ten_times_a_second_for_25_seconds() -> None:
    """Longer than Redis takes to be found again, and shorter than Braze's patience."""

    async def scenario() -> None:
        scene = Scene()
        loop = asyncio.get_running_loop()
        began = loop.time()
        scene.store.away_until = began + 24.95
        assert (await scene.intake.take([event("a")])).accepted == 1
        assert loop.time() - began == pytest.approx(25.0, abs=0.01)
        assert len(scene.store.asked) == pytest.approx(251, abs=1)
        began = loop.time()
        scene.store.away_until = began + 100
        with pytest.raises(SharedStateUnavailable):
            await scene.intake.take([event("b")])
        assert loop.time() - began == pytest.approx(25.0, abs=0.11)

    run_virtual(scenario())


@pytest.mark.parametrize("error", [SharedStateFull("full"), SharedStateUnsafe("drops events")])
def test_a_store_that_is_full_or_unsafe_is_not_waited_for(error: Exception) -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.store.error = error
        with pytest.raises(type(error)):
            await scene.intake.take([event("a")])
        assert len(scene.store.asked) == 1
        assert scene.active == []

    run_virtual(scenario())
