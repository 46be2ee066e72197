"""Builds what the commands need beside a running service."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from service.batch.adapters.redis import RedisBatchSets
from service.batch.adapters.sqlite import SqliteBatchSets
from service.batch.ports import BatchSets
from service.clock import Clock, SystemClock
from service.constants import PIN_SECONDS
from service.errors import ConfigurationError
from service.lists.adapters.embedded import NoBatchLists
from service.lists.forgetting import ForgottenLately
from service.lists.ladder import Ladder, NoPopularList
from service.lists.lists import Lists
from service.lists.memory import ListMemory
from service.lists.pins import LocalPins
from service.lists.ports import ListsEvent
from service.sends.ports import ListMaker, PrewarmReport, PrewarmTerms
from service.sends.prewarm.prewarmer import Prewarmer
from service.settings import Settings
from service.telemetry import Telemetry
from service.wiring.campaign import open_campaign
from service.wiring.names import batch_prefix, freshness, user_keys
from service.wiring.replica import Overrides
from service.wiring.sdk import aws_session, open_recommender
from service.wiring.shared import open_redis, redis_governor, redis_lists


class _NothingToLearn:
    def learn(self, item_ids: Sequence[str]) -> None:
        """Nobody is answered from here."""


class _WhileThereIsRoom:
    """A `ListMaker` that stops when the store is full: what would be fetched then is kept nowhere."""

    def __init__(self, prewarmer: Prewarmer, room: "_RoomForLists") -> None:
        self._prewarmer = prewarmer
        self._room = room

    async def make(
        self, users: Sequence[str], terms: PrewarmTerms, *, seconds: float, on_done: Callable[[], None] = lambda: None
    ) -> PrewarmReport:
        """See `ListMaker.make`.

        Raises:
            ConfigurationError: The store is full.
        """
        if self._room.full:
            raise ConfigurationError("REDIS_URL: no room for more lists; run it again when Redis has more memory")
        return await self._prewarmer.make(users, terms, seconds=seconds, on_done=on_done)


class _RoomForLists:
    """A `ListsRecorder` that ends a prewarm when Redis has no room."""

    def __init__(self) -> None:
        self.full = False
        self.on_full: Callable[[], None] = lambda: None

    def lists_event(self, event: ListsEvent) -> None:
        """Spend no further transaction once Redis is full."""
        if event == "full":
            self.full = True
            self.on_full()


@asynccontextmanager
async def open_list_maker(settings: Settings, overrides: Overrides | None = None) -> AsyncIterator[ListMaker]:
    """Prewarms in the budget and for the store that the replicas share; answers nobody and is no replica.

    Raises:
        ConfigurationError: Redis's address cannot work, or there is none.
    """
    if not settings.redis_url:
        raise ConfigurationError("REDIS_URL: is not set, so the budget is the replica's; name it with --service URL")
    overrides = overrides or Overrides()
    clock: Clock = overrides.clock or SystemClock()
    async with AsyncExitStack() as stack:
        recommender = overrides.recommender
        if recommender is None:
            aws = await stack.enter_async_context(aws_session(settings, clock))
            recommender = await stack.enter_async_context(open_recommender(settings, clock, aws))
        way = await open_redis(settings, clock, stack, serves=False)
        governor = redis_governor(settings, way, clock)
        room = _RoomForLists()
        lists = Lists(
            clock=clock,
            freshness=freshness(settings),
            memory=ListMemory(0),
            pins=LocalPins(PIN_SECONDS, clock),
            shared=redis_lists(settings, way, clock, recorder=room),
            batch=NoBatchLists(),
            ladder=Ladder(NoPopularList()),
            lately=ForgottenLately(clock=clock, flight_seconds=2 * settings.request_deadline_seconds),
        )
        campaign = await stack.enter_async_context(
            open_campaign(
                clock=clock,
                recommender=recommender,
                governor=governor,
                lists=lists,
                learner=_NothingToLearn(),
                recorder=Telemetry(access_log_sample=0),
                transaction_seconds=settings.request_deadline_seconds,
            )
        )
        prewarmer = Prewarmer(clock=clock, keys=user_keys(settings), lists=lists, campaign=campaign)
        room.on_full = campaign.budget.close
        yield _WhileThereIsRoom(prewarmer, room)


@contextmanager
def open_batch_sets(settings: Settings) -> Iterator[BatchSets]:
    """Where the replicas look for batch lists.

    Raises:
        BatchError: DATA_DIR cannot be written.
        ConfigurationError: Redis's address cannot work.
    """
    sets: BatchSets
    if settings.redis_url:
        sets = RedisBatchSets(
            settings.redis_url.get_secret_value(),
            prefix=batch_prefix(settings),
            keep_seconds=settings.cache_stale_seconds,
        )
    else:
        sets = SqliteBatchSets(settings.data_dir)
    try:
        yield sets
    finally:
        sets.close()
