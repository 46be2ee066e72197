"""Builds what takes events in and sends them on; not imported without EVENT_KEYS."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from service.aws.session import AwsSession
from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.adapters.redis import RedisGovernor
from service.budget.budget import Budget
from service.budget.ports import TpsGovernor
from service.clock import Clock, SystemClock
from service.errors import ConfigurationError
from service.events.adapters.personalize import USERS_TPS, PersonalizeEvents, UsersDataset
from service.events.adapters.redis import RedisEventStore
from service.events.adapters.sqlite import SqliteEventStore
from service.events.braze import BrazeTerms
from service.events.intake import Intake
from service.events.known import KnownEvents, OwnDoings
from service.events.outbox import Outbox
from service.events.ports import EventStore, Impressions, LoadNotes
from service.events.services import EventServices
from service.events.traits import UserTraits
from service.fleet.heartbeat import Heartbeat
from service.lists.forgetting import Forgetting
from service.sends.live import DueLists
from service.sends.ports import ListMaker
from service.settings import Settings
from service.tasks import stop_task
from service.telemetry import Telemetry
from service.wiring.names import deployment_of, user_keys
from service.wiring.redis import RedisWay, open_redis

AnyEventStore: TypeAlias = SqliteEventStore | RedisEventStore

HORIZON_SECONDS: Final = 5.0
"""A call may wait so long for its slot; nobody waits for it."""


async def open_events(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    clock: Clock,
    aws: AwsSession,
    way: RedisWay | None,
    forgetting: Forgetting,
    telemetry: Telemetry,
    impressions: Impressions,
) -> EventServices:
    """Everything that has to do with events, for as long as the stack is open."""
    tracking_id, exclude_after = settings.personalize_tracking_id, settings.exclude_after_seconds
    store: EventStore
    if way is None:
        store = sqlite = _sqlite(settings, stack, clock)
        known = KnownEvents(store, keys=user_keys(settings), clock=clock)
        forgetting.add(sqlite)
        following = asyncio.create_task(sqlite.follow(known.forget_all), name="events-follower")
        stack.push_async_callback(stop_task, following)
        if tracking_id is not None:
            await sqlite.release()
    else:
        store = redis = _redis(settings, way, clock)
        known = KnownEvents(store, keys=user_keys(settings), clock=clock)
        redis.listen(known.heard, known.forget_all)
        await stack.enter_async_context(redis)
        forgetting.share(redis)
    forgetting.add(known)
    outbox = None
    if tracking_id is not None:
        taker = PersonalizeEvents(aws, tracking_id, await _users_dataset(settings, stack, clock, way))
        stack.push_async_callback(taker.close)
        await taker.open()
        governor = await _governor(settings, stack, clock, way, what="events", tps=settings.personalize_events_tps)
        budget = Budget(governor, clock)
        stack.callback(budget.close)
        outbox = Outbox(store, taker=taker, budget=budget, clock=clock, recorder=telemetry, impressions=impressions)
        await stack.enter_async_context(outbox)
    return EventServices(
        intake=Intake(store, known=known, recorder=telemetry),
        known=known,
        doings=OwnDoings(known, exclude_after, clock),
        braze=BrazeTerms(settings.event_type_names, settings.event_item_id),
        store=store,
        outbox=outbox,
        traits=UserTraits(store, known=known, recorder=telemetry) if settings.personalize_users_dataset_arn else None,
    )


@dataclass(frozen=True, slots=True)
class EventLoading:
    """What `events load` needs."""

    intake: Intake
    notes: LoadNotes
    terms: BrazeTerms


class _Uncounted:
    """An `EventRecorder` of a process that nobody asks for metrics."""

    def events(self, result: str, count: int) -> None:
        """The report of the command counts."""


async def open_due_lists(
    settings: Settings,
    events: EventServices,
    stack: AsyncExitStack,
    *,
    clock: Clock,
    forgetting: Forgetting,
    makers: Mapping[str, ListMaker],
) -> None:
    """Renew lists that events make due, for as long as the stack is open."""
    due = DueLists(
        [makers[name] for name, terms in settings.placements.items() if terms.kind == "recommendations"],
        keys=user_keys(settings),
        clock=clock,
        fresh_seconds=settings.cache_fresh_seconds,
    )
    forgetting.add(due)
    events.intake.on_accepted = due.add
    stack.push_async_callback(stop_task, asyncio.create_task(due.run(), name="due-lists"))


def known_events(settings: Settings, way: RedisWay, clock: Clock) -> KnownEvents:
    """What the replicas know of users, for a command that looks each of them up once."""
    return KnownEvents(_redis(settings, way, clock), keys=user_keys(settings), clock=clock)


@asynccontextmanager
async def open_event_loading(settings: Settings) -> AsyncIterator[EventLoading]:
    """What takes in the events of files, in the store of the replicas.

    Raises:
        ConfigurationError: There are no events without EVENT_KEYS, or Redis's address cannot work.
        SharedStateUnavailable: Redis does not answer.
    """
    async with open_event_store(settings) as store:
        known = KnownEvents(store, keys=user_keys(settings), clock=SystemClock())
        terms = BrazeTerms(settings.event_type_names, settings.event_item_id)
        yield EventLoading(Intake(store, known=known, recorder=_Uncounted()), store, terms)


@asynccontextmanager
async def open_event_store(settings: Settings) -> AsyncIterator[AnyEventStore]:
    """Where the replicas keep events, for a command.

    Raises:
        ConfigurationError: There are no events without EVENT_KEYS, or Redis's address cannot work.
        SharedStateUnavailable: Redis does not answer.
    """
    if not settings.event_key_list:
        raise ConfigurationError("EVENT_KEYS: is not set, so there are no events")
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        if settings.redis_url:
            yield _redis(settings, await open_redis(settings, clock, stack, serves=False), clock)
        else:
            yield _sqlite(settings, stack, clock)


def _sqlite(settings: Settings, stack: AsyncExitStack, clock: Clock) -> SqliteEventStore:
    store = SqliteEventStore(settings.data_dir, clock=clock, sends_on=settings.personalize_tracking_id is not None)
    stack.push_async_callback(store.close)
    return store


def _redis(settings: Settings, way: RedisWay, clock: Clock) -> RedisEventStore:
    return RedisEventStore(
        way.client,
        prefix=f"pc:{{{deployment_of(settings)}}}",
        replica=way.heartbeat.replica,
        clock=clock,
        sends_on=settings.personalize_tracking_id is not None,
        keep_seconds=max(settings.exclude_after_seconds.values(), default=0.0),
    )


async def _users_dataset(
    settings: Settings, stack: AsyncExitStack, clock: Clock, way: "RedisWay | None"
) -> UsersDataset | None:
    dataset_arn = settings.personalize_users_dataset_arn
    if dataset_arn is None:
        return None
    budget = Budget(await _governor(settings, stack, clock, way, what="users", tps=USERS_TPS), clock)
    stack.callback(budget.close)
    return UsersDataset(dataset_arn, budget, clock.monotonic)


async def _governor(
    settings: Settings, stack: AsyncExitStack, clock: Clock, way: "RedisWay | None", *, what: str, tps: float
) -> TpsGovernor:
    if way is None:
        return EmbeddedGovernor(tps, clock=clock)
    heartbeat = await stack.enter_async_context(
        Heartbeat(
            way.client,
            clock=clock,
            group=f"{deployment_of(settings)}:{what}",
            expected_replicas=settings.expected_replicas,
            # It is no budget of transactions, so a start need not wait for it.
            patient=False,
        )
    )
    return RedisGovernor(
        tps,
        client=way.client,
        heartbeat=heartbeat,
        clock=clock,
        horizon_seconds=HORIZON_SECONDS,
    )
