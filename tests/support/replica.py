"""One replica as the wiring builds it, around fakes in virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from service.answers.recommend import Recommendations
from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.budget import Budget
from service.budget.ports import TpsGovernor
from service.catalog.current import CurrentCatalog
from service.lists.adapters.embedded import EmbeddedLists, NoBatchLists
from service.lists.forgetting import Forgetting, ForgottenLately
from service.lists.freshness import Freshness
from service.lists.keys import UserKey, UserKeys
from service.lists.memory import ListMemory
from service.lists.pins import LocalPins
from service.lists.ports import BatchLists, SharedLists
from service.models import Answer, ListRequest, RecommendationQuery
from service.personalize.breaker import Breaker
from service.personalize.flights import Flights
from service.personalize.refresher import Refresher
from service.sends.prewarm.prewarmer import Prewarmer
from service.wiring.campaign import AnsweringReplica, Outside, Stores, Terms, open_answers
from tests.support.fakes import FakeCatalog, FakePersonalize, FakeRecorder, MemoryBlockList
from tests.support.virtual_time import VirtualClock

DEADLINE_SECONDS = 1.5
FRESH_SECONDS = 900.0
STALE_SECONDS = 604_800.0
ITEMS = tuple(f"item{number}" for number in range(200))
KEYS = UserKeys(secret="secret", scope="campaign")


def key_of(user_id: str) -> UserKey:
    """The key of a user's plain list."""
    return KEYS.of(ListRequest(user_id))


@dataclass(frozen=True)
class Replica:
    """Ask it as a route would."""

    clock: VirtualClock
    personalize: FakePersonalize
    catalog: FakeCatalog
    current: CurrentCatalog
    blocked: MemoryBlockList
    local: ListMemory
    governor: TpsGovernor
    recorder: FakeRecorder
    wired: AnsweringReplica

    @property
    def pins(self) -> LocalPins:
        return self.wired.pins

    @property
    def budget(self) -> Budget:
        return self.wired.campaign.budget

    @property
    def breaker(self) -> Breaker:
        return self.wired.campaign.breaker

    @property
    def flights(self) -> Flights:
        return self.wired.campaign.flights

    @property
    def refresher(self) -> Refresher:
        return self.wired.campaign.refresher

    @property
    def recommendations(self) -> Recommendations:
        return self.wired.recommendations

    @property
    def prewarmer(self) -> Prewarmer:
        return self.wired.prewarmer

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
    clock_skew: float = 0.0,
) -> AsyncIterator[Replica]:
    """One replica in virtual time; closing it is part of every test."""
    clock = VirtualClock(asyncio.get_running_loop(), clock_skew)
    if personalize is None:
        personalize = FakePersonalize(clock)
    if personalize.default_items is None:
        personalize.default_items = items_for
    catalog = catalog or FakeCatalog(ITEMS)
    memory = ListMemory(cache_bytes)
    lately = ForgottenLately(clock=clock, flight_seconds=2 * DEADLINE_SECONDS)
    blocked, recorder = MemoryBlockList(), FakeRecorder()
    outside = Outside(
        clock=clock,
        recommender=personalize,
        governor=governor or EmbeddedGovernor(tps, clock=clock),
        stores=Stores(
            memory=memory,
            shared=shared or EmbeddedLists(memory),
            batch=batch or NoBatchLists(),
            lately=lately,
            forgetting=Forgetting(keys=KEYS, lately=lately, flight_seconds=2 * DEADLINE_SECONDS),
        ),
        catalog=CurrentCatalog(catalog),
        blocked=blocked,
        recorder=recorder,
    )
    terms = Terms(
        keys=KEYS,
        freshness=Freshness(fresh_seconds, stale_seconds),
        deadline_seconds=DEADLINE_SECONDS,
        curated=curated,
    )
    async with open_answers(outside, terms) as wired:
        yield Replica(
            clock=clock,
            personalize=personalize,
            catalog=catalog,
            current=outside.catalog,
            blocked=blocked,
            local=memory,
            governor=outside.governor,
            recorder=recorder,
            wired=wired,
        )
