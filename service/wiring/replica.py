"""Builds everything once, in order, and closes it in reverse; the only module that knows every class."""

import gc
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import Cache

from service.answers.exclusions import RequestExclusion
from service.answers.popular import PopularItems, PopularLists
from service.answers.recommend import Recommendations
from service.api.auth import Gate
from service.api.lifecycle import Services
from service.api.limits import BoundedFlights
from service.batch.adapters.redis import RedisBatchLists, RedisBatchSets
from service.batch.adapters.sqlite import SqliteBatchLists, SqliteBatchSets
from service.batch.ports import BatchSets
from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.adapters.redis import RedisGovernor
from service.budget.ports import TpsGovernor
from service.budget.slot_queue import SlotQueue
from service.catalog.adapters.file_block_list import FileBlockList
from service.catalog.adapters.redis_block_list import RedisBlockList
from service.catalog.adapters.source import open_source
from service.catalog.current import CurrentCatalog
from service.catalog.item import ITEM_COLUMNS
from service.catalog.ports import BlockList, ItemCatalog
from service.catalog.refresh import CatalogRefresher
from service.clock import Clock, SystemClock
from service.constants import PIN_SECONDS, SPENT_SHARE
from service.errors import ConfigurationError
from service.filters import FilterError, compile_item_exclusion, parse_filter
from service.fleet.client import RedisClient
from service.fleet.heartbeat import Heartbeat
from service.lists.adapters.embedded import EmbeddedLists
from service.lists.adapters.redis import RedisLists
from service.lists.forgetting import (
    ForgettableLists,
    Forgetting,
    PinsUnlessForgotten,
    SharedUnlessForgotten,
    UserStems,
    prefix_of_values,
)
from service.lists.ladder import Ladder
from service.lists.memory import BytesBoundedCache, envelope_bytes
from service.lists.pins import LocalPins
from service.lists.ports import BatchLists, ListsEvent, ListsRecorder, SharedLists
from service.personalize.breaker import Breaker
from service.personalize.flights import FlightPolicy, Flights
from service.personalize.list_length import ListLength
from service.personalize.ports import Recommender
from service.personalize.refresher import ForgettableRefresher
from service.personalize.sdk.client import open_personalize
from service.sends.ports import ListMaker
from service.sends.prewarmer import Prewarmer, kept_here_since
from service.settings import Settings
from service.telemetry import Telemetry

if TYPE_CHECKING:  # an extra, which may not be installed
    from service.tracing import Tracing

_log = logging.getLogger(__name__)

MEMO_SHARE = 0.25
"""Of CACHE_MAX_MB, for rendered answers; the lists they are rendered from take the rest."""

CLOSING_SECONDS = 3.0
"""Transactions under way at shutdown are waited for this long, so that their lists are kept."""

CALLS_IN_FLIGHT_PER_TPS = 2
"""Connections to Personalize for each transaction per second: a call that takes the whole deadline holds its own."""


@dataclass(slots=True)
class Overrides:
    """What tests put in the place of the outside, and what is there only at times."""

    clock: Clock | None = None
    recommender: Recommender | None = None
    tracing: "Tracing | None" = None


@asynccontextmanager
async def open_services(  # noqa: PLR0915  # wiring is a list, and reads best as one
    settings: Settings, overrides: Overrides | None = None
) -> AsyncIterator[Services]:
    """Everything that answers, ready to answer.

    Raises:
        ConfigurationError: The catalogue or Redis's address cannot work. Redis or Personalize being down is no error.
    """
    overrides = overrides or Overrides()
    clock = overrides.clock or SystemClock()
    async with AsyncExitStack() as stack:
        telemetry = Telemetry(access_log_sample=settings.access_log_sample)
        source = open_source(
            settings.catalog_url,
            column_mapping=settings.column_mapping,
            exclusion_filter=settings.exclusion_filter,
            data_dir=settings.data_dir,
            monotonic=clock.monotonic,
        )
        stack.push_async_callback(source.close)
        catalog = CurrentCatalog(await source.load(1))
        # Not left to the collector, which never looks at what was there at the start.
        stack.callback(lambda: catalog.snapshot.close())  # noqa: PLW0108  # the last one, not the first
        recommender = overrides.recommender
        if recommender is None:
            recommender = await stack.enter_async_context(_personalize(settings, clock))
        keys = user_keys(settings)
        forgetting = Forgetting(keys=keys, clock=clock, flight_seconds=2 * settings.request_deadline_seconds)
        stack.push_async_callback(forgetting.close)
        local = ForgettableLists(int(settings.cache_max_mb * 2**20 * (1 - MEMO_SHARE)), forgetting)
        shared, governor, block_list, batch, redis_up = await _shared_state(
            settings, clock, stack, forgetting, telemetry
        )
        slot_queue = SlotQueue(governor, clock)
        stack.callback(slot_queue.close)
        if overrides.tracing is not None:
            overrides.tracing.watch(recommender, recommend="personalize transaction")
            overrides.tracing.watch(slot_queue, acquire="budget wait")
            if settings.redis_url:
                overrides.tracing.watch(shared, board="redis board", land="redis land")
                overrides.tracing.watch(governor, reserve="redis reserve")
        answered = LocalPins(PIN_SECONDS, clock)
        forgetting.also(answered.forget_user)
        pins = PinsUnlessForgotten(answered, forgetting)
        popular = PopularItems(settings.popular_ids)
        popular_lists = PopularLists(popular, catalog, clock)
        ladder = Ladder(popular_lists.envelope)
        refresher = ForgettableRefresher(slot_queue=slot_queue, clock=clock)
        forgetting.also(refresher.forget_user)
        breaker = Breaker(clock)
        flights = BoundedFlights(
            policy=_flight_policy(settings),
            clock=clock,
            recommender=recommender,
            slot_queue=slot_queue,
            governor=governor,
            breaker=breaker,
            local=local,
            shared=SharedUnlessForgotten(shared, forgetting),
            recorder=telemetry,
            step_down=ladder.step_down,
            on_degraded=pins.put,
            on_list=lambda ranked: popular.learn(ranked.item_ids),
            on_stale=forgetting.guard(refresher.add),
            batch=batch,
        )
        stack.push_async_callback(flights.close, CLOSING_SECONDS)
        refresher.start(flights)
        stack.push_async_callback(refresher.close)
        length = ListLength(clock)
        recommendations = Recommendations(
            clock=clock,
            keys=keys,
            catalog=catalog,
            blocked=block_list,
            exclusion=_request_exclusion(settings, catalog.snapshot),
            local=local,
            pins=pins,
            flights=flights,
            ladder=ladder,
            popular=popular,
            length=length,
            recorder=telemetry,
            values_change_lists=settings.personalize_filter_arn is not None,
        )
        if overrides.tracing is not None:
            overrides.tracing.watch(recommendations, _render="render")
        loaded_at = telemetry.stored_gauge("catalog_loaded_timestamp_seconds", "When the catalogue came into force.")
        loaded_at.set(clock.time())
        catalog_failures = telemetry.stored_gauge(
            "catalog_refresh_failing", "1 while the source's newest version cannot be used."
        )

        def catalog_loaded(_: ItemCatalog) -> None:
            loaded_at.set(clock.time())

        catalog_refresher = CatalogRefresher(
            current=catalog,
            source=source,
            interval_seconds=settings.catalog_refresh_seconds,
            on_loaded=catalog_loaded,
            on_looked=lambda in_force: catalog_failures.set(not in_force),
        )
        catalog_refresher.start()
        stack.push_async_callback(catalog_refresher.close)
        services = Services(
            clock=clock,
            gate=Gate(
                api_keys=settings.api_key_list,
                basic=settings.basic_auth_list,
                admin_keys=settings.admin_key_list,
                anonymous=settings.allow_anonymous and not settings.api_key_list and not settings.basic_auth_list,
            ),
            recommendations=recommendations,
            block_list=block_list,
            look_at_catalog=catalog_refresher.refresh_now,
            telemetry=telemetry,
            deadline_seconds=settings.request_deadline_seconds,
            memo_bytes=int(settings.cache_max_mb * 2**20 * MEMO_SHARE),
            forgetting=forgetting,
            prewarmer=Prewarmer(
                clock=clock,
                keys=keys,
                flights=flights,
                slot_queue=slot_queue,
                governor=governor,
                length=length,
                kept_since=shared.kept_since if isinstance(shared, RedisLists) else kept_here_since(local),
            ),
            metrics_access=settings.metrics_access,
            docs_access=settings.docs_access,
        )
        telemetry.gauge("personalize_budget_tps", "Rate in use; at most PERSONALIZE_TPS.", lambda: governor.tps_in_use)
        telemetry.gauge("personalize_breaker_state", "0 closed, 1 half-open, 2 open.", lambda: breaker.state)
        telemetry.gauge("flights_open", "Users whose list is being fetched.", lambda: len(flights))
        telemetry.gauge("refresh_queue", "Stale lists that wait for a free slot.", lambda: len(refresher))
        telemetry.gauge("cache_entries", "Lists in memory.", lambda: len(local))
        telemetry.gauge("redis_up", "1 when Redis answers or none is configured.", redis_up)
        telemetry.gauge("catalog_items", "Items that can be shown.", lambda: len(catalog.snapshot))
        services.caches.append(local)
        forgetting.also(local.forget_user)
        telemetry.gauge("cache_bytes", "Memory of lists and rendered answers.", lambda: _bytes(services.caches))
        _calm_the_collector()
        yield services


@asynccontextmanager
async def open_list_maker(settings: Settings, overrides: Overrides | None = None) -> AsyncIterator[ListMaker]:
    """Makes lists ahead in the budget and for the store that the replicas share; answers nobody and is no replica.

    Raises:
        ConfigurationError: Redis's address cannot work, or there is none.
    """
    if not settings.redis_url:
        raise ConfigurationError("REDIS_URL: is not set, so the budget is the replica's; name it with --service URL")
    overrides = overrides or Overrides()
    clock = overrides.clock or SystemClock()
    async with AsyncExitStack() as stack:
        recommender = overrides.recommender
        if recommender is None:
            recommender = await stack.enter_async_context(_personalize(settings, clock))
        client = await stack.enter_async_context(RedisClient(settings.redis_url.get_secret_value()))
        heartbeat = await stack.enter_async_context(_heartbeat(settings, client, clock, serves=False))
        governor = _redis_governor(settings, client, heartbeat, clock)
        slot_queue = SlotQueue(governor, clock)
        stack.callback(slot_queue.close)
        room = _RoomForLists(slot_queue)
        lists = _redis_lists(settings, client, heartbeat, clock, recorder=room)

        async def kept_since(keys: Sequence[bytes], since: float) -> list[bool]:
            if room.full:
                raise ConfigurationError("REDIS_URL: no room for more lists; run it again when Redis has more memory")
            return await lists.kept_since(keys, since)

        flights = Flights(
            policy=_flight_policy(settings),
            clock=clock,
            recommender=recommender,
            slot_queue=slot_queue,
            governor=governor,
            breaker=Breaker(clock),
            local=BytesBoundedCache[bytes](0, envelope_bytes),
            shared=lists,
            recorder=Telemetry(access_log_sample=0),
            step_down=Ladder(lambda: None).step_down,
            on_degraded=lambda *_: None,
            on_list=lambda _: None,
            on_stale=lambda *_: None,
        )
        stack.push_async_callback(flights.close, CLOSING_SECONDS)
        yield Prewarmer(
            clock=clock,
            keys=user_keys(settings),
            flights=flights,
            slot_queue=slot_queue,
            governor=governor,
            length=ListLength(clock),
            kept_since=kept_since,
        )


class _RoomForLists:
    """A `ListsRecorder` that ends a prewarm when Redis has no room: its lists would be kept nowhere."""

    def __init__(self, slot_queue: SlotQueue) -> None:
        self.full = False
        self._slot_queue = slot_queue

    def lists_event(self, event: ListsEvent) -> None:
        """Spend no further transaction once Redis is full."""
        if event == "full":
            self.full = True
            self._slot_queue.close()


@contextmanager
def open_batch_sets(settings: Settings) -> Iterator[BatchSets]:
    """Where the replicas look for lists that a batch made.

    Raises:
        BatchError: DATA_DIR cannot be written.
        ConfigurationError: Redis's address cannot work.
    """
    sets: BatchSets
    if settings.redis_url:
        sets = RedisBatchSets(
            settings.redis_url.get_secret_value(),
            prefix=_batch_prefix(settings),
            keep_seconds=settings.cache_stale_seconds,
        )
    else:
        sets = SqliteBatchSets(settings.data_dir)
    try:
        yield sets
    finally:
        sets.close()


def user_keys(settings: Settings) -> UserStems:
    """Makes the keys under which the replicas keep users' lists."""
    return UserStems(secret=settings.user_key, scope=f"{settings.arn} {settings.personalize_filter_arn or ''}")


def _batch_prefix(settings: Settings) -> str:
    return f"pc:{_group(settings)}:batch"


def _flight_policy(settings: Settings) -> FlightPolicy:
    return FlightPolicy(
        fresh_seconds=settings.cache_fresh_seconds,
        stale_seconds=settings.cache_stale_seconds,
        transaction_seconds=settings.request_deadline_seconds,
    )


def _redis_lists(
    settings: Settings,
    client: RedisClient,
    heartbeat: Heartbeat,
    clock: Clock,
    *,
    recorder: ListsRecorder,
    on_forget: Callable[[bytes], None] = lambda _: None,
) -> RedisLists:
    return RedisLists(
        client,
        heartbeat,
        clock=clock,
        fresh_seconds=settings.cache_fresh_seconds,
        stale_seconds=settings.cache_stale_seconds,
        prefix=f"pc:{_group(settings)}",
        on_forget=on_forget,
        recorder=recorder,
        prefix_of_values=prefix_of_values,
    )


def _heartbeat(settings: Settings, client: RedisClient, clock: Clock, *, serves: bool = True) -> Heartbeat:
    return Heartbeat(
        client,
        clock=clock,
        expected_replicas=settings.expected_replicas,
        group=_group(settings),
        serves=serves,
    )


def _redis_governor(settings: Settings, client: RedisClient, heartbeat: Heartbeat, clock: Clock) -> RedisGovernor:
    return RedisGovernor(
        settings.personalize_tps * SPENT_SHARE,
        client=client,
        heartbeat=heartbeat,
        clock=clock,
        horizon_seconds=settings.request_deadline_seconds,
    )


def _personalize(settings: Settings, clock: Clock) -> AbstractAsyncContextManager[Recommender]:
    return open_personalize(
        campaign_arn=settings.personalize_campaign_arn,
        recommender_arn=settings.personalize_recommender_arn,
        filter_arn=settings.personalize_filter_arn,
        clock=clock,
        read_timeout_seconds=settings.request_deadline_seconds,
        max_pool_connections=max(10, int(CALLS_IN_FLIGHT_PER_TPS * settings.personalize_tps)),
    )


async def _shared_state(
    settings: Settings, clock: Clock, stack: AsyncExitStack, forgetting: Forgetting, recorder: ListsRecorder
) -> tuple[SharedLists, TpsGovernor, BlockList, BatchLists, Callable[[], float]]:
    if not settings.redis_url:
        alone = EmbeddedGovernor(settings.personalize_tps * SPENT_SHARE, clock=clock)
        in_file = SqliteBatchLists(settings.data_dir)
        stack.push_async_callback(in_file.close)
        forgetting.also(in_file.forget)
        return EmbeddedLists(), alone, FileBlockList(settings.data_dir / "blocked.json"), in_file, lambda: 1.0
    client = await stack.enter_async_context(RedisClient(settings.redis_url.get_secret_value()))
    heartbeat = await stack.enter_async_context(_heartbeat(settings, client, clock))
    lists = await stack.enter_async_context(
        _redis_lists(settings, client, heartbeat, clock, recorder=recorder, on_forget=forgetting.heard)
    )
    batch = RedisBatchLists(client, prefix=_batch_prefix(settings))

    async def forget_everywhere(user_prefix: bytes) -> None:
        await batch.forget(user_prefix)
        await lists.forget(user_prefix)

    forgetting.everywhere = forget_everywhere
    block_list = await stack.enter_async_context(RedisBlockList(client, prefix=f"pc:{_group(settings)}"))
    governor = _redis_governor(settings, client, heartbeat, clock)
    return lists, governor, block_list, batch, lambda: float(client.up)


def _request_exclusion(settings: Settings, catalog: ItemCatalog) -> RequestExclusion | None:
    """The exclusion if requests fill its placeholders; one without any was applied when the catalogue was loaded."""
    if not settings.exclusion_filter:
        return None
    try:
        expression = parse_filter(settings.exclusion_filter)
        compile_item_exclusion(expression, [*ITEM_COLUMNS, *catalog.columns])
    except FilterError as error:
        raise ConfigurationError(f"EXCLUSION_FILTER: {error}") from error
    return RequestExclusion(expression) if expression.placeholders else None


def _group(settings: Settings) -> str:
    """Replicas that ask the same source of lists share budget, lists and flights."""
    return hashlib.sha256(f"{settings.arn} {settings.personalize_filter_arn or ''}".encode()).hexdigest()[:16]


def _bytes(caches: "list[Cache[bytes, object]]") -> float:
    return float(sum(cache.currsize for cache in caches))


def _calm_the_collector() -> None:
    """What lives until shutdown is not walked again, and young objects are looked at less often.

    The cached values themselves are bytes or tuples of bytes, which the collector does not track.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
