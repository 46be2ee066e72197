"""The real core of one replica around fakes, wired as in `service/wiring/replica.py`."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from service.answers.popular import PopularItems, PopularLists
from service.answers.recommend import Recommendations
from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.ports import TpsGovernor
from service.budget.slot_queue import SlotQueue
from service.catalog.current import CurrentCatalog
from service.constants import PIN_SECONDS
from service.lists.adapters.embedded import EmbeddedLists
from service.lists.keys import UserKeys
from service.lists.ladder import Ladder
from service.lists.memory import BytesBoundedCache, envelope_bytes
from service.lists.pins import LocalPins
from service.lists.ports import BatchLists, SharedLists
from service.models import Answer, RecommendationQuery
from service.personalize.breaker import Breaker
from service.personalize.flights import FlightPolicy, Flights
from service.personalize.list_length import ListLength
from service.personalize.refresher import Refresher
from service.sends.prewarmer import Prewarmer, kept_here_since
from tests.support.fakes import FakeCatalog, FakePersonalize, FakeRecorder, MemoryBlockList
from tests.support.virtual_time import VirtualClock

DEADLINE_SECONDS = 1.5
FRESH_SECONDS = 900.0
STALE_SECONDS = 604_800.0
ITEMS = tuple(f"item{number}" for number in range(200))


@dataclass
class Replica:
    """Ask it as a route would."""

    clock: VirtualClock
    personalize: FakePersonalize
    catalog: FakeCatalog
    current: CurrentCatalog
    blocked: MemoryBlockList
    local: BytesBoundedCache[bytes]
    pins: LocalPins
    governor: TpsGovernor
    slot_queue: SlotQueue
    breaker: Breaker
    flights: Flights
    refresher: Refresher
    recommendations: Recommendations
    recorder: FakeRecorder
    prewarmer: Prewarmer

    async def ask(
        self,
        user_id: str = "user",
        *,
        num_results: int = 10,
        exclude: Sequence[str] = (),
        fields: Sequence[str] = (),
        within: float = DEADLINE_SECONDS,
    ) -> Answer:
        query = RecommendationQuery(
            user_id=user_id, num_results=num_results, exclude=frozenset(exclude), fields=tuple(fields)
        )
        return await self.recommendations.answer(query, self.clock.monotonic() + within)


def ids_of(answer: Answer) -> list[str]:
    """The item ids of an `array` answer."""
    items: list[dict[str, Any]] = json.loads(answer.body)
    return [item["id"] for item in items]


def items_for(user_id: str, count: int) -> list[str]:
    """A list that differs from user to user."""
    start = sum(user_id.encode()) * 7 % len(ITEMS)
    return [ITEMS[(start + 3 * place) % len(ITEMS)] for place in range(min(count, len(ITEMS)))]


@asynccontextmanager
async def open_replica(
    *,
    tps: float = 5.0,
    personalize: FakePersonalize | None = None,
    catalog: FakeCatalog | None = None,
    shared: SharedLists | None = None,
    governor: TpsGovernor | None = None,
    curated: Sequence[str] = (),
    cache_bytes: int = 2**24,
    batch: BatchLists | None = None,
    fresh_seconds: float = FRESH_SECONDS,
    stale_seconds: float = STALE_SECONDS,
) -> AsyncIterator[Replica]:
    """One replica in virtual time; closing it is part of every test."""
    clock = VirtualClock(asyncio.get_running_loop())
    if personalize is None:
        personalize = FakePersonalize(clock)
    if personalize.default_items is None:
        personalize.default_items = items_for
    catalog = catalog or FakeCatalog(ITEMS)
    current = CurrentCatalog(catalog)
    recorder = FakeRecorder()
    governor = governor or EmbeddedGovernor(tps, clock=clock)
    local = BytesBoundedCache[bytes](cache_bytes, envelope_bytes)
    slot_queue = SlotQueue(governor, clock)
    popular = PopularItems(curated)
    ladder = Ladder(PopularLists(popular, current, clock).envelope)
    refresher = Refresher(slot_queue=slot_queue, clock=clock)
    breaker = Breaker(clock)
    pins = LocalPins(PIN_SECONDS, clock)
    flights = Flights(
        policy=FlightPolicy(
            fresh_seconds=fresh_seconds, stale_seconds=stale_seconds, transaction_seconds=DEADLINE_SECONDS
        ),
        clock=clock,
        recommender=personalize,
        slot_queue=slot_queue,
        governor=governor,
        breaker=breaker,
        local=local,
        shared=shared or EmbeddedLists(),
        recorder=recorder,
        step_down=ladder.step_down,
        on_list=lambda ranked: popular.learn(ranked.item_ids),
        on_stale=refresher.add,
        on_degraded=pins.put,
        batch=batch,
    )
    blocked = MemoryBlockList()
    keys, length = UserKeys(secret="secret", scope="campaign"), ListLength(clock)
    recommendations = Recommendations(
        clock=clock,
        keys=keys,
        catalog=current,
        blocked=blocked,
        local=local,
        pins=pins,
        flights=flights,
        ladder=ladder,
        popular=popular,
        length=length,
        recorder=recorder,
        values_change_lists=False,
    )
    refresher.start(flights)
    try:
        yield Replica(
            clock,
            personalize,
            catalog,
            current,
            blocked,
            local,
            pins,
            governor,
            slot_queue,
            breaker,
            flights,
            refresher,
            recommendations,
            recorder,
            Prewarmer(
                clock=clock,
                keys=keys,
                flights=flights,
                slot_queue=slot_queue,
                governor=governor,
                length=length,
                kept_since=kept_here_since(local),
            ),
        )
    finally:
        await refresher.close()
        await flights.close(3.0)
        slot_queue.close()
