"""What a replica shares with the others: through Redis, or, embedded, with nobody."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from service.batch.adapters.redis import RedisBatchLists
from service.batch.adapters.sqlite import SqliteBatchLists
from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.adapters.redis import RedisGovernor
from service.budget.ports import TpsGovernor
from service.catalog.adapters.file_block_list import FileBlockList
from service.catalog.adapters.redis_block_list import RedisBlockList
from service.catalog.ports import BlockList
from service.clock import Clock
from service.constants import SPENT_SHARE
from service.errors import ConfigurationError
from service.fleet.client import RedisClient
from service.fleet.heartbeat import Heartbeat
from service.lists.adapters.embedded import EmbeddedLists
from service.lists.adapters.redis import RedisLists
from service.lists.forgetting import Forgetting
from service.lists.keys import UserPrefix, prefix_of_values
from service.lists.memory import ListMemory
from service.lists.ports import BatchLists, ListsRecorder, SharedLists
from service.settings import Settings
from service.wiring.names import batch_prefix, group_of, redis_prefix


@dataclass(frozen=True, slots=True)
class SharedState:
    """Everything that replicas agree on."""

    lists: SharedLists
    governor: TpsGovernor
    blocked: BlockList
    batch: BatchLists
    redis_up: Callable[[], float]
    """1 when Redis answers or none is configured."""


@dataclass(frozen=True, slots=True)
class RedisWay:
    """The way to Redis, and this process among the replicas."""

    client: RedisClient
    heartbeat: Heartbeat


async def open_shared_state(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    clock: Clock,
    memory: ListMemory,
    forgetting: Forgetting,
    recorder: ListsRecorder,
) -> SharedState:
    """The shared state as the settings want it; the stack closes it.

    Raises:
        ConfigurationError: Redis's address cannot work, or DATA_DIR cannot be read.
    """
    if not settings.redis_url:
        return _embedded(settings, clock, memory, forgetting, stack)
    way = await open_redis(settings, clock, stack)
    lists = redis_lists(settings, way, clock, recorder=recorder, on_forget=forgetting.heard)
    await stack.enter_async_context(lists)
    batch = RedisBatchLists(way.client, prefix=batch_prefix(settings))
    forgetting.share(batch, lists)
    blocked = await stack.enter_async_context(RedisBlockList(way.client, prefix=redis_prefix(settings)))
    governor = redis_governor(settings, way, clock)
    return SharedState(lists, governor, blocked, batch, lambda: float(way.client.up))


def _embedded(
    settings: Settings, clock: Clock, memory: ListMemory, forgetting: Forgetting, stack: AsyncExitStack
) -> SharedState:
    batch = SqliteBatchLists(settings.data_dir)
    stack.push_async_callback(batch.close)
    forgetting.add(batch)
    return SharedState(
        lists=EmbeddedLists(memory),
        governor=EmbeddedGovernor(settings.personalize_tps * SPENT_SHARE, clock=clock),
        blocked=FileBlockList(settings.data_dir / "blocked.json"),
        batch=batch,
        redis_up=lambda: 1.0,
    )


async def open_redis(settings: Settings, clock: Clock, stack: AsyncExitStack, *, serves: bool = True) -> RedisWay:
    """The way to Redis; `serves` is false for a process that answers nobody.

    Raises:
        ConfigurationError: Redis's address cannot work, or there is none.
    """
    if not settings.redis_url:
        raise ConfigurationError("REDIS_URL: is not set")
    client = await stack.enter_async_context(RedisClient(settings.redis_url.get_secret_value()))
    heartbeat = await stack.enter_async_context(
        Heartbeat(
            client,
            clock=clock,
            group=group_of(settings),
            serves=serves,
            expected_replicas=settings.expected_replicas,
        )
    )
    return RedisWay(client, heartbeat)


def redis_governor(settings: Settings, way: RedisWay, clock: Clock) -> RedisGovernor:
    """The budget that all replicas share."""
    return RedisGovernor(
        settings.personalize_tps * SPENT_SHARE,
        client=way.client,
        heartbeat=way.heartbeat,
        clock=clock,
        horizon_seconds=settings.request_deadline_seconds,
    )


def redis_lists(
    settings: Settings,
    way: RedisWay,
    clock: Clock,
    *,
    recorder: ListsRecorder,
    on_forget: Callable[[UserPrefix], None] = lambda _: None,
) -> RedisLists:
    """The lists that all replicas share."""
    return RedisLists(
        way.client,
        way.heartbeat,
        clock=clock,
        fresh_seconds=settings.cache_fresh_seconds,
        stale_seconds=settings.cache_stale_seconds,
        recorder=recorder,
        prefix=redis_prefix(settings),
        on_forget=on_forget,
        prefix_of_values=prefix_of_values,
    )
