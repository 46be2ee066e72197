"""One replica as the wiring builds it, around fakes in virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from service.answers.arm import Arm
from service.answers.exclusions import RequestExclusion
from service.answers.placement import Placement
from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.budget import Budget
from service.budget.ports import TpsGovernor
from service.catalog.current import CurrentCatalog
from service.constants import MAX_WAITING_CALLERS
from service.filters import parse_filter
from service.lists import envelope as envelopes
from service.lists.adapters.embedded import EmbeddedLists, NoBatchLists
from service.lists.envelope import Envelope
from service.lists.forgetting import Forgetting, ForgottenLately
from service.lists.freshness import Freshness
from service.lists.keys import UserKey, UserKeys
from service.lists.memory import ListMemory
from service.lists.pins import LocalPins
from service.lists.ports import BatchLists, Liveness, SharedLists
from service.models import Answer, ItemList, ListRequest, RecommendationQuery, Sender
from service.personalize.breaker import Breaker
from service.personalize.campaign import PersonalizeCampaign
from service.personalize.flights import Flights
from service.personalize.refresher import Refresher
from service.sends.prewarm.prewarmer import PlacementPrewarmer
from service.settings.placements import PlacementTerms
from service.wiring.addresses import Address
from service.wiring.campaign import AnsweringReplica, Outside, Stores, Terms, open_answers
from tests.support.fakes import FakeCatalog, FakePersonalize, FakeRecorder, MemoryBlockList
from tests.support.virtual_time import VirtualClock

DEADLINE_SECONDS = 1.5
FRESH_SECONDS = 900.0
STALE_SECONDS = 604_800.0
ITEMS = tuple(f"item{number}" for number in range(200))
SECRET = "secret"
ARN = "arn:aws:personalize:us-east-1:000000000000:campaign/test"
KEYS = UserKeys(secret=SECRET, scope=f"{ARN} ")


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
    recorder: FakeRecorder
    governors: dict[str, TpsGovernor]
    forgetting: Forgetting
    wired: AnsweringReplica

    @property
    def placement(self) -> Placement:
        """The first one."""
        return next(iter(self.wired.placements))

    @property
    def arm(self) -> Arm:
        """The placement's own."""
        return self.placement.arms[0]

    @property
    def pins(self) -> LocalPins:
        return self.wired.pins

    @property
    def campaign(self) -> PersonalizeCampaign:
        campaign = self.arm.campaign
        assert campaign is not None
        return campaign

    @property
    def budget(self) -> Budget:
        return self.campaign.budget

    @property
    def breaker(self) -> Breaker:
        return self.campaign.breaker

    @property
    def flights(self) -> Flights:
        return self.campaign.flights

    @property
    def refresher(self) -> Refresher:
        return self.campaign.refresher

    @property
    def prewarmer(self) -> PlacementPrewarmer:
        return PlacementPrewarmer(self.placement, self.clock)

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
        return await self.answer(query, within)

    async def answer(self, query: RecommendationQuery, within: float = DEADLINE_SECONDS) -> Answer:
        """What a caller of this query gets."""
        return await self.wired.placements.of(query).answer(query, self.clock.monotonic() + within)


def ids_of(answer: Answer) -> list[str]:
    """The item ids of an `array` answer."""
    items: list[dict[str, Any]] = json.loads(answer.body)
    return [item["id"] for item in items]


def read(envelope: Envelope) -> ItemList:
    """All that a list holds."""
    return ItemList(
        tuple(envelopes.item_ids(envelope)),
        envelopes.recommendation_id(envelope),
        envelopes.created_at(envelope),
        envelopes.promoted_ids(envelope),
        envelopes.is_popular(envelope),
    )


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
    placements: Mapping[str, PlacementTerms] | None = None,
    exclusion: str = "",
    max_waiting: int = MAX_WAITING_CALLERS,
    weights: Mapping[Sender, float] | None = None,
    deadline_seconds: float = DEADLINE_SECONDS,
    live: Liveness | None = None,
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
    governors: dict[str, TpsGovernor] = {}
    forgetting = Forgetting(keys=KEYS, lately=lately, flight_seconds=2 * DEADLINE_SECONDS)

    def governor_of(address: Address) -> TpsGovernor:
        return governors.setdefault(address.arn, governor or EmbeddedGovernor(address.tps, clock=clock))

    of_all = shared or EmbeddedLists(memory)
    batch_lists = batch or NoBatchLists()
    outside = Outside(
        clock=clock,
        recommender_of=lambda _: personalize,
        governor_of=governor_of,
        stores=Stores(
            memory=memory,
            shared_of=lambda _: of_all,
            batch_of=lambda _: batch_lists,
            lately=lately,
            forgetting=forgetting,
        ),
        catalog=CurrentCatalog(catalog),
        blocked=blocked,
        recorder_of=lambda _: recorder,
        live=live,
    )
    terms = Terms(
        secret=SECRET,
        freshness=Freshness(fresh_seconds, stale_seconds),
        deadline_seconds=deadline_seconds,
        curated=curated,
        exclusion=RequestExclusion(parse_filter(exclusion)) if exclusion else None,
        max_waiting=max_waiting,
        weights=weights or {},
    )
    async with open_answers(
        outside, terms, placements or {"for-you": PlacementTerms(campaign_arn=ARN, tps=tps)}
    ) as wired:
        yield Replica(
            clock=clock,
            personalize=personalize,
            catalog=catalog,
            current=outside.catalog,
            blocked=blocked,
            local=memory,
            recorder=recorder,
            governors=governors,
            forgetting=forgetting,
            wired=wired,
        )
