"""What a replica shares with the others: through Redis, or, embedded, with nobody."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.batch.adapters.sqlite import SqliteBatchLists
from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.ports import TpsGovernor
from service.catalog.adapters.file_block_list import FileBlockList
from service.catalog.adapters.file_columns import FileColumns
from service.catalog.ports import BlockList, KnownColumns
from service.clock import Clock
from service.constants import SPENT_SHARE
from service.lists.adapters.embedded import EmbeddedLists
from service.lists.asked import AskedItems
from service.lists.forgetting import Forgetting
from service.lists.freshness import Freshness
from service.lists.memory import ListMemory
from service.lists.ports import BatchLists, ListsRecorder, SharedLists
from service.sends.adapters.sqlite import SqliteSendStore
from service.sends.ports import SendStore
from service.settings import Settings
from service.wiring.addresses import Address
from service.wiring.names import batch_dir, columns_file

if TYPE_CHECKING:  # imports the client of Redis
    from service.wiring.redis import RedisWay


@dataclass(frozen=True, slots=True)
class SharedState:
    """Everything that replicas agree on."""

    lists_of: Callable[[Freshness], SharedLists]
    governor_of: Callable[[Address], TpsGovernor]
    batch_of: Callable[[str], BatchLists]
    blocked: BlockList
    columns: KnownColumns
    sends: SendStore
    """Pins of sends."""
    redis_up: Callable[[], float]
    """1 when Redis answers or none is configured."""
    replica_links: Callable[[], float] = lambda: 0.0
    """Other replicas that this one is linked with."""
    share_asked: Callable[[Mapping[str, AskedItems], AsyncExitStack], Awaitable[None]] | None = None
    """Lets the replicas know which items each placement is asked for; None where there are no others."""
    way: "RedisWay | None" = None
    """None in an embedded replica."""


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
    # Nothing of Redis is imported without an address.
    from service.wiring.redis import open_shared_through_redis  # noqa: PLC0415  # as above

    return await open_shared_through_redis(
        settings, stack, clock=clock, memory=memory, forgetting=forgetting, recorder=recorder
    )


def _embedded(
    settings: Settings, clock: Clock, memory: ListMemory, forgetting: Forgetting, stack: AsyncExitStack
) -> SharedState:
    batches: dict[str, SqliteBatchLists] = {}
    for name in settings.placements:
        batches[name] = SqliteBatchLists(batch_dir(settings, name))
        stack.push_async_callback(batches[name].close)
        forgetting.add(batches[name])
    sends = SqliteSendStore(settings.data_dir, clock=clock)
    stack.push_async_callback(sends.close)
    forgetting.add(sends)
    lists = EmbeddedLists(memory)
    return SharedState(
        lists_of=lambda _: lists,
        governor_of=lambda address: EmbeddedGovernor(address.tps * SPENT_SHARE, clock=clock),
        batch_of=batches.__getitem__,
        blocked=FileBlockList(settings.data_dir / "blocked.json"),
        columns=FileColumns(columns_file(settings), clock.time),
        sends=sends,
        redis_up=lambda: 1.0,
    )
