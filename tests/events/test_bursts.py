"""A burst of events leaves every other caller its turn: nothing of it happens all at once."""

import asyncio
from collections.abc import Sequence
from typing import cast

from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.budget import Budget
from service.clock import SystemClock
from service.errors import SharedStateUnavailable
from service.events.event import Event, events_of
from service.events.intake import EVENTS_OF_A_TURN, MAX_KEEPING, Intake
from service.events.known import KnownEvents
from service.events.outbox import MAX_ASKING, MAX_CALLS, Outbox
from service.events.ports import EventStore, Waiting
from service.lists.keys import UserKeys, UserPrefix
from tests.support.waiting import until


class Uncounted:
    def events(self, result: str, count: int) -> None:
        pass


class Store:
    """What these tests need of an `EventStore`; it can be away, and counts who asks at a time."""

    def __init__(self, waiting: Sequence[Waiting] = ()) -> None:
        self.away = False
        self.asking = self.most_asking = 0
        self.waiting = list(waiting)
        self.claimed: dict[str, Waiting] = {}
        self.sent: list[str] = []

    async def accept(self, events: Sequence[tuple[UserPrefix, Event]]) -> list[bool]:
        self.asking += 1
        self.most_asking = max(self.most_asking, self.asking)
        try:
            await asyncio.sleep(0)
            if self.away:
                raise SharedStateUnavailable
        finally:
            self.asking -= 1
        return [True] * len(events)

    async def claim(self, most: int) -> list[Waiting]:
        claimed, self.waiting = self.waiting[:most], self.waiting[most:]
        self.claimed |= {one.number: one for one in claimed}
        return claimed

    async def again(self, numbers: Sequence[str], _: float) -> None:
        # On a busy machine a slot may be lost.
        self.waiting += [self.claimed[number] for number in numbers]

    async def done(self, numbers: Sequence[str]) -> None:
        self.sent += numbers


class Taker:
    """An `EventTaker` that holds its answers back; it counts the calls that it has at a time."""

    def __init__(self) -> None:
        self.calls = self.most_calls = 0
        self.answers = asyncio.Event()

    async def put(self, *_: object) -> None:
        self.calls += 1
        self.most_calls = max(self.most_calls, self.calls)
        await self.answers.wait()
        self.calls -= 1


class WatchedBudget(Budget):
    """It counts who asks at a time."""

    def __init__(self, tps: float, clock: SystemClock) -> None:
        super().__init__(EmbeddedGovernor(tps, clock=clock), clock)
        self.asking = self.most_asking = 0

    async def acquire(self, *args: object, **kwargs: object) -> float:
        self.asking += 1
        self.most_asking = max(self.most_asking, self.asking)
        try:
            return await super().acquire(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they come
        finally:
            self.asking -= 1


def intake(store: Store) -> Intake:
    kept = cast(EventStore, store)
    known = KnownEvents(kept, keys=UserKeys(secret="", scope="a campaign"), clock=SystemClock())
    return Intake(kept, known=known, recorder=Uncounted())


async def test_a_large_body_is_read_in_turns() -> None:
    listed = [{"eventType": "View", "itemId": f"item{number}"} for number in range(500)]
    turns, over = 0, False

    async def others() -> None:
        nonlocal turns
        while not over:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    report = await intake(Store()).take(events_of({"userId": "ann", "eventList": listed}, 1_800_000_000.0))
    over = True
    await beside

    assert report.accepted == 500
    assert turns >= 2 * (500 // EVENTS_OF_A_TURN)


async def test_bodies_that_waited_for_the_store_go_on_a_few_at_a_time() -> None:
    store = Store()
    store.away = True
    taking = intake(store)
    bodies = [
        asyncio.create_task(taking.take(events_of({"userId": "ann", "eventList": [{"eventType": "View"}]}, 1e9)))
        for _ in range(100)
    ]
    await until(lambda: store.most_asking > 0)
    store.away = False
    reports = await asyncio.gather(*bodies)

    assert [report.accepted for report in reports] == [1] * 100
    assert store.most_asking <= MAX_KEEPING


async def test_a_claim_of_many_sessions_asks_for_few_slots_at_a_time_and_keeps_few_calls_open() -> None:
    clock = SystemClock()
    store = Store([Waiting(str(n), Event("View", f"user{n}", "s", 1e9, f"e{n}")) for n in range(200)])
    taker, budget = Taker(), WatchedBudget(1e6, clock)
    async with Outbox(cast(EventStore, store), taker=taker, budget=budget, clock=clock, recorder=Uncounted()):
        await until(lambda: taker.calls == MAX_CALLS)
        taker.answers.set()
        await until(lambda: len(store.sent) == 200)
    budget.close()

    assert sorted(store.sent, key=int) == [str(number) for number in range(200)]
    assert taker.most_calls == MAX_CALLS
    assert budget.most_asking <= MAX_ASKING
