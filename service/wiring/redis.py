"""What replicas share through Redis. Only a deployment that has one imports this."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from service.batch.adapters.redis import RedisBatchLists
from service.budget.adapters.redis import RedisGovernor
from service.catalog.adapters.redis_block_list import RedisBlockList
from service.catalog.adapters.redis_columns import RedisColumns
from service.clock import Clock
from service.constants import PIN_SECONDS, SPENT_SHARE
from service.errors import ConfigurationError
from service.fleet.client import RedisClient
from service.fleet.heartbeat import Heartbeat
from service.fleet.links import Links
from service.lists.adapters.asked import SharedAskedItems
from service.lists.adapters.forgotten import RedisForgotten
from service.lists.adapters.linked import LinkedLists
from service.lists.adapters.owned import OwnedKeys
from service.lists.adapters.owners import Owners
from service.lists.adapters.put_back import PutBack
from service.lists.adapters.redis import RedisLists
from service.lists.asked import AskedItems
from service.lists.forgetting import Forgetting
from service.lists.freshness import Freshness
from service.lists.keys import UserPrefix, prefix_of_values
from service.lists.pins import LocalPins
from service.lists.ports import ListsRecorder, LocalLists, SharedLists
from service.sends.adapters.redis import RedisSendStore
from service.settings import Settings
from service.wiring.addresses import Address, addresses_of
from service.wiring.names import (
    asked_key,
    batch_prefix,
    blocked_key,
    budget_group_of,
    columns_key,
    forgotten_key,
    freshness,
    max_stale_seconds,
    redis_prefix,
)
from service.wiring.shared import SharedState


@dataclass(frozen=True, slots=True)
class RedisWay:
    """The way to Redis, and this process among the replicas of each budget."""

    client: RedisClient
    heartbeats: Mapping[str, Heartbeat]
    """By budget group; the first is that of the first placement."""

    @property
    def heartbeat(self) -> Heartbeat:
        """Knows the replicas of this deployment."""
        return next(iter(self.heartbeats.values()))


async def open_shared_through_redis(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    clock: Clock,
    memory: LocalLists,
    forgetting: Forgetting,
    recorder: ListsRecorder,
) -> SharedState:
    """The shared state in Redis; the stack closes it.

    Raises:
        ConfigurationError: Redis's address cannot work.
    """
    way = await open_redis(settings, clock, stack)
    batches = {name: RedisBatchLists(way.client, prefix=batch_prefix(settings, name)) for name in settings.placements}
    forgotten = RedisForgotten(
        way.client,
        key=forgotten_key(settings),
        clock=clock,
        stale_seconds=max_stale_seconds(settings),
        on_forgotten=forgetting.found_forgotten,
        on_gap=forgetting.missed_some,
    )
    put_back = PutBack(way.client, memory=memory, forgotten=forgotten, clock=clock)
    lists = redis_lists(settings, way, clock, recorder=recorder, on_forget=forgetting.heard, put_back=put_back)
    await stack.enter_async_context(lists)
    await stack.enter_async_context(forgotten)
    forgetting.search(put_back)
    await stack.enter_async_context(put_back)
    forgetting.share(forgotten, *batches.values(), lists)
    blocked = await stack.enter_async_context(
        RedisBlockList(
            way.client,
            key=blocked_key(settings),
            clock=clock,
            others=lambda: way.heartbeat.replicas - 1,
        )
    )

    async def share_asked(items: Mapping[str, AskedItems], stack: AsyncExitStack) -> None:
        by_key = {asked_key(settings, name): one for name, one in items.items()}
        await stack.enter_async_context(SharedAskedItems(way.client, by_key, clock))

    lists_of: Callable[[Freshness], SharedLists] = lists.of_age
    links: Links | None = None
    if settings.replica_links == "on":
        owners, links = await _open_owners(
            settings, stack, way=way, clock=clock, lists=lists, memory=memory, put_back=put_back, forgetting=forgetting
        )

        def lists_of(freshness: Freshness) -> SharedLists:
            return LinkedLists(lists.of_age(freshness), owners, clock)

    return SharedState(
        lists_of=lists_of,
        governor_of=lambda address: redis_governor(settings, way, clock, address),
        batch_of=batches.__getitem__,
        blocked=blocked,
        columns=RedisColumns(way.client, key=columns_key(settings), now=clock.time),
        sends=RedisSendStore(way.client, prefix=redis_prefix(settings)),
        redis_up=lambda: float(way.client.up),
        replica_links=lambda: 0.0 if links is None else float(len(links.linked)),
        share_asked=share_asked,
        way=way,
    )


async def _open_owners(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    way: RedisWay,
    clock: Clock,
    lists: RedisLists,
    memory: LocalLists,
    put_back: PutBack,
    forgetting: Forgetting,
) -> tuple[Owners, Links]:
    """The replicas that decide while Redis is away, and the links to them; the stack closes them."""
    pins = LocalPins(PIN_SECONDS, clock)
    forgetting.search(pins)
    links = Links(
        way.client,
        way.heartbeat,
        clock=clock,
        port=settings.replica_links_port,
        timeout_seconds=way.client.timeout_seconds,
    )
    owners = Owners(
        links,
        OwnedKeys(memory, pins, forgetting.lately, clock),
        client=way.client,
        clock=clock,
        memory=memory,
        leads=lists.leads,
        latest=put_back.latest,
        end=lists.channel.end,
        abandon_all=lists.channel.abandon_all,
    )
    await stack.enter_async_context(owners)
    await stack.enter_async_context(links)
    return owners, links


async def open_redis(settings: Settings, clock: Clock, stack: AsyncExitStack, *, serves: bool = True) -> RedisWay:
    """The way to Redis; `serves` is false for a process that answers nobody.

    Raises:
        ConfigurationError: Redis's address cannot work, or there is none.
    """
    if not settings.redis_url:
        raise ConfigurationError("REDIS_URL: is not set")
    url, deadline = settings.redis_url.get_secret_value(), settings.request_deadline_seconds
    client = await stack.enter_async_context(RedisClient(url, slots_seconds=deadline))
    groups = dict.fromkeys(budget_group_of(address) for address in addresses_of(settings.placements))
    heartbeats = {
        group: Heartbeat(client, clock=clock, group=group, serves=serves, expected_replicas=settings.expected_replicas)
        for group in groups
    }
    # The first one finds the way. The others then wait together to be let in.
    first, *others = heartbeats.values()
    await stack.enter_async_context(first)
    await asyncio.gather(*(stack.enter_async_context(other) for other in others))
    return RedisWay(client, heartbeats)


def redis_governor(settings: Settings, way: RedisWay, clock: Clock, address: Address) -> RedisGovernor:
    """The budget of an ARN, which all replicas share."""
    return RedisGovernor(
        address.tps * SPENT_SHARE,
        client=way.client,
        heartbeat=way.heartbeats[budget_group_of(address)],
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
    put_back: PutBack | None = None,
) -> RedisLists:
    """The lists that all replicas share."""
    return RedisLists(
        way.client,
        way.heartbeat,
        clock=clock,
        freshness=freshness(settings),
        recorder=recorder,
        prefix=redis_prefix(settings),
        put_back=put_back,
        on_forget=on_forget,
        prefix_of_values=prefix_of_values,
    )
