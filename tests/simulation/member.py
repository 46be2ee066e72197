"""One replica of a world, as production wires it; Redis, Personalize, the catalogue and the clock are the world's."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast
from unittest.mock import patch

from service.answers.ports import NoEvents
from service.catalog.current import CurrentCatalog
from service.events.services import EventServices
from service.models import Answer, ItemList, ListRequest, RecommendationQuery
from service.sends.prewarm.prewarmer import PlacementPrewarmer
from service.settings import Settings
from service.wiring.campaign import AnsweringReplica, Outside, Stores, Terms, open_answers
from service.wiring.events import open_events
from service.wiring.names import freshness
from service.wiring.replica import _open_stores
from service.wiring.shared import SharedState
from tests.simulation.personalize import Personalize
from tests.support.fakes import FakeCatalog
from tests.support.redis_network import ModelClient, RedisServerModel
from tests.support.virtual_time import PROCESS, BlindLoop, VirtualClock


class Counts:
    """Telemetry, as far as a replica without routes has any."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def lists_event(self, event: str) -> None:
        self.counted[event] += 1

    def events(self, result: str, count: int) -> None:
        self.counted[result] += count

    def transaction(self, outcome: str, seconds: float) -> None:
        self.counted[outcome] += 1
        assert seconds >= 0

    def budget_wait(self, seconds: float) -> None:
        assert seconds >= 0


@dataclass
class Recommender:
    """Personalize, as a replica with a clock of its own asks it."""

    personalize: Personalize
    clock: VirtualClock

    async def recommend(self, request: ListRequest, *, timeout_seconds: float) -> ItemList:
        return await self.personalize.recommend(request, timeout_seconds=timeout_seconds, now=self.clock.time)


@dataclass
class Member:
    """A replica, and what it stands on."""

    client: ModelClient
    clock: VirtualClock
    stack: AsyncExitStack
    stores: Stores
    shared: SharedState
    catalog: CurrentCatalog
    wired: AnsweringReplica
    events: EventServices | None
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    """Calls under way."""

    up_since: float = float("inf")
    """Since when it is in touch with Redis."""

    frozen: list[tuple[float, float]] = field(default_factory=list)
    """When its process stood still."""

    @property
    def arm(self) -> Any:  # noqa: ANN401  # an Arm with a campaign
        return next(iter(self.wired.placements)).arms[0]

    @property
    def replica(self) -> bytes:
        """As Redis knows it."""
        assert self.shared.way is not None
        return self.shared.way.heartbeat.replica.encode()

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way that was not asked for by a clock."""
        campaign = self.arm.campaign
        return not (self.tasks or len(campaign.flights) or len(campaign.refresher) or self.stores.forgetting._tasks)

    async def answer(self, query: RecommendationQuery, within: float) -> Answer:
        return await self.wired.placements.of(query).answer(query, self.clock.monotonic() + within)

    @property
    def prewarmer(self) -> PlacementPrewarmer:
        return PlacementPrewarmer(next(iter(self.wired.placements)), self.clock)

    @property
    def is_frozen(self) -> bool:
        """Whether its process stands still."""
        return self._loop.stands_still(self.clock)

    @property
    def _loop(self) -> BlindLoop:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, BlindLoop)
        return loop

    async def freeze(self, seconds: float) -> None:
        """Stand still for so long, as a process whose machine does."""
        began = self.clock.monotonic()
        self._loop.stop_running(self.clock)
        await asyncio.sleep(seconds)
        self._loop.run_again(self.clock)
        self.frozen.append((began, self.clock.monotonic()))
        # What the others have said meanwhile is there to be read.
        self.up_since = max(self.up_since, self.clock.monotonic())

    async def read(self) -> float:
        """Go on in its process, and when: once that reads what comes."""
        PROCESS.set(self.clock)
        if self.is_frozen:
            await asyncio.sleep(0)
        return self.clock.monotonic()

    def stood_still(self, since: float) -> float:
        """For so long."""
        return sum(max(0.0, until - max(since, began)) for began, until in self.frozen)

    def note_change(self, up: bool) -> None:  # noqa: FBT001  # the listener's signature
        self.up_since = self.clock.monotonic() if up else float("inf")

    def can_show(self, item_ids: Sequence[str]) -> bool:
        """Whether its catalogue allows all of these."""
        rows = self.catalog.snapshot.rows(item_ids)
        return all(row is not None and row.eligible for row in rows)


_client_of: ContextVar[Callable[[str], ModelClient]] = ContextVar("client_of")


def with_modelled_redis() -> AbstractContextManager[object]:
    """Members get a client of their server's model while this lasts.

    One for a whole world: of two members that start at once, each with a replacement of its own, the one that is ready
    last would put back that of the other.
    """

    def client_of(url: str, *, slots_seconds: float) -> ModelClient:
        del slots_seconds  # there are no sentinels
        making = _client_of.get()
        return making(url)

    return patch("service.wiring.redis.RedisClient", client_of)


async def open_member(
    server: RedisServerModel, personalize: Personalize, catalog: FakeCatalog, settings: Settings, clock: VirtualClock
) -> Member:
    """A replica that has started."""
    stack = AsyncExitStack()
    made: list[ModelClient] = []

    def client_of(_: str) -> ModelClient:
        made.append(ModelClient(server))
        return made[-1]

    counts: Any = Counts()
    making = _client_of.set(client_of)
    try:
        stores, shared = await _open_stores(settings, clock, counts, stack)
    finally:
        _client_of.reset(making)
    events = None
    if settings.event_key_list:
        events = await open_events(
            settings,
            stack,
            clock=clock,
            aws=cast("Any", None),
            way=shared.way,
            forgetting=stores.forgetting,
            telemetry=counts,
            impressions=cast("Any", None),
        )
    current = CurrentCatalog(catalog)
    outside = Outside(
        clock=clock,
        recommender_of=lambda _: Recommender(personalize, clock),
        governor_of=shared.governor_of,
        stores=stores,
        catalog=current,
        blocked=shared.blocked,
        recorder_of=lambda _: counts,
        own_events=NoEvents() if events is None else events.doings,
    )
    terms = Terms(
        secret=settings.user_key, freshness=freshness(settings), deadline_seconds=settings.request_deadline_seconds
    )
    wired = await stack.enter_async_context(open_answers(outside, terms, settings.placements))
    member = Member(made[0], clock, stack, stores, shared, current, wired, events)
    member.note_change(made[0].up)
    made[0].on_change(member.note_change)
    return member
