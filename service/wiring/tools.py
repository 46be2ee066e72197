"""Builds what the commands need beside a running service."""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from service.answers.arm import AskingTerms
from service.aws.session import AwsSession
from service.batch.adapters.redis import RedisBatchSets
from service.batch.adapters.sqlite import SqliteBatchSets
from service.batch.ports import BatchSets
from service.catalog.adapters.source import open_source
from service.catalog.current import CurrentCatalog
from service.catalog.item import CatalogRow
from service.clock import Clock, SystemClock
from service.errors import ConfigurationError, InvalidQuery
from service.lists.adapters.asked import asked_lately
from service.lists.adapters.embedded import NoBatchLists
from service.lists.forgetting import Forgetting, ForgottenLately
from service.lists.memory import ListMemory
from service.lists.ports import ListsEvent
from service.models import ListRequest, RequestKind
from service.personalize.ports import Recommender
from service.sends.ports import ItemListMaker, PrewarmReport, PrewarmTerms
from service.sends.prewarm.prewarmer import PlacementPrewarmer, prewarmed_placement
from service.settings import CatalogSettings, Settings
from service.telemetry import Telemetry
from service.wiring.addresses import Address, address_of
from service.wiring.campaign import Outside, Stores, Terms, asking_terms_of, open_answers
from service.wiring.names import asked_key, batch_dir, batch_prefix, forgotten_key, freshness, user_keys
from service.wiring.redis import open_redis, redis_governor, redis_lists
from service.wiring.replica import Overrides
from service.wiring.sdk import aws_session, open_recommenders


class _NoItems:
    """An `ItemCatalog` and a `BlockList` of a process that answers nobody."""

    version = 0
    columns: Sequence[str] = ()
    lost_columns: Sequence[str] = ()
    is_open = False

    def __len__(self) -> int:
        return 0

    def __contains__(self, item_id: object) -> bool:
        return False

    def rows(self, item_ids: Sequence[str]) -> list[CatalogRow | None]:
        """No item is here."""
        return [None] * len(item_ids)

    def first_ids(self) -> Iterable[str]:
        """No item is here."""
        return ()

    def all_rows(self) -> Iterator[tuple[str, CatalogRow]]:
        """No item is here."""
        return iter(())

    def missing(self, item_ids: Iterable[str]) -> list[str]:
        """Nothing that could be fetched."""
        del item_ids
        return []

    async def prefetch(self, item_ids: Iterable[str], timeout_seconds: float) -> None:
        """Nothing to fetch."""

    def ids(self) -> list[str]:
        """No item is blocked."""
        return []

    async def block(self, item_id: str) -> None:
        """Nobody is answered from here."""

    async def unblock(self, item_id: str) -> None:
        """Nobody is answered from here."""

    def close(self) -> None:
        """Nothing is open."""


class _WhileThereIsRoom:
    """An `ItemListMaker` that stops when the store is full: what would be fetched then is kept nowhere."""

    def __init__(
        self, prewarmer: PlacementPrewarmer, room: "_RoomForLists", asked: Callable[[], Awaitable[list[str]]]
    ) -> None:
        self._prewarmer = prewarmer
        self._room = room
        self._asked = asked

    async def recent_items(self) -> list[str]:
        """See `ItemListMaker.recent_items`; those of every replica."""
        return await self._asked()

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
async def open_list_maker(
    settings: Settings, overrides: Overrides | None = None, placement: str = "", *, items: bool = False
) -> AsyncIterator[ItemListMaker]:
    """Prewarms in the budget and for the store that the replicas share; answers nobody and is no replica.

    Args:
        settings: The service's.
        overrides: What tests put in the place of the outside.
        placement: Whose lists; empty: the first one's that has any.
        items: Whether the lists are those of items.

    Raises:
        ConfigurationError: Redis's address cannot work, or there is none; there is no such placement, or its lists
            cannot be fetched before a send.
    """
    if not settings.redis_url:
        raise ConfigurationError("REDIS_URL: is not set, so the budget is the replica's; name it with --service URL")
    kinds: dict[str, RequestKind] = {name: terms.kind for name, terms in settings.placements.items()}
    try:
        name = prewarmed_placement(kinds, placement, items=items)
    except InvalidQuery as error:
        raise ConfigurationError(f"--placement: {error.message}") from None
    overrides = overrides or Overrides()
    clock: Clock = overrides.clock or SystemClock()
    async with AsyncExitStack() as stack:
        override = overrides.recommender
        recommenders: Mapping[Address, Recommender] = {}
        if override is None:
            aws = await stack.enter_async_context(aws_session(settings, clock))
            recommenders = await open_recommenders(settings, clock, aws, stack)
        way = await open_redis(settings, clock, stack, serves=False)
        room = _RoomForLists()
        lists = redis_lists(settings, way, clock, recorder=room)
        flight_seconds = 2 * settings.request_deadline_seconds
        lately = ForgottenLately(clock=clock, flight_seconds=flight_seconds)
        nothing, no_batch = _NoItems(), NoBatchLists()
        live = None
        if settings.lists_live_until_event:
            # Nothing of it is imported otherwise.
            from service.wiring.events import known_events  # noqa: PLC0415  # an optional room

            live = known_events(settings, way, clock)
        outside = Outside(
            clock=clock,
            live=live,
            recommender_of=recommenders.__getitem__ if override is None else lambda _: override,
            governor_of=lambda address: redis_governor(settings, way, clock, address),
            stores=Stores(
                memory=ListMemory(0),
                shared_of=lists.of_age,
                batch_of=lambda _: no_batch,
                lately=lately,
                forgetting=Forgetting(keys=user_keys(settings), lately=lately, flight_seconds=flight_seconds),
            ),
            catalog=CurrentCatalog(nothing),
            blocked=nothing,
            recorder_of=Telemetry(placements=settings.placements).recorder_of,
        )
        # Nobody is answered, so nothing falls back to another placement.
        wanted = {name: settings.placements[name].model_copy(update={"fallback": []})}
        terms = Terms(
            secret=settings.user_key,
            freshness=freshness(settings),
            deadline_seconds=settings.request_deadline_seconds,
        )
        replica = await stack.enter_async_context(open_answers(outside, terms, wanted))
        room.on_full = replica.close_budgets
        (found,) = replica.placements
        prewarmer = PlacementPrewarmer(found, clock)
        if (refusal := prewarmer.refusal_of(items=items)) is not None:
            raise ConfigurationError(f"--placement: {refusal}")
        yield _WhileThereIsRoom(prewarmer, room, lambda: asked_lately(way.client, asked_key(settings, name), clock))


async def first_items(settings: CatalogSettings, count: int) -> list[str]:
    """The first items of the catalogue that can be shown, in its order.

    Raises:
        CatalogError: The catalogue cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with AwsSession() as aws:
            source = open_source(
                settings.catalog_url,
                aws=aws,
                column_mapping=settings.column_mapping,
                exclusion_filter=settings.exclusion_filter,
                data_dir=Path(folder),
            )
            try:
                catalog = await source.load(1)
            finally:
                await source.close()
        try:
            return list(islice(dict.fromkeys(catalog.first_ids()), count))
        finally:
            catalog.close()


def placement_name(settings: Settings, name: str) -> str:
    """The placement of this name; the first one for an empty name.

    Raises:
        ConfigurationError: There is none.
    """
    found = name or next(iter(settings.placements))
    if found not in settings.placements:
        raise ConfigurationError(f"--placement: no placement {name!r}; there are: {', '.join(settings.placements)}")
    return found


@contextmanager
def open_batch_sets(settings: Settings, placement: str = "") -> Iterator[BatchSets]:
    """Where the replicas look for a placement's batch lists; empty: the first one's.

    Raises:
        BatchError: DATA_DIR cannot be written.
        ConfigurationError: Redis's address cannot work.
    """
    name = placement_name(settings, placement)
    sets: BatchSets
    if settings.redis_url:
        sets = RedisBatchSets(
            settings.redis_url.get_secret_value(),
            prefix=batch_prefix(settings, name),
            forgotten_key=forgotten_key(settings),
            keep_seconds=settings.cache_stale_seconds,
        )
    else:
        sets = SqliteBatchSets(batch_dir(settings, name))
    try:
        yield sets
    finally:
        sets.close()


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """How a placement's own arm asks for what is in a line of a batch."""

    kind: RequestKind
    needs_user: bool
    terms: AskingTerms

    @property
    def values_change_lists(self) -> bool:
        """Whether the replicas look by `filter_values`, too."""
        return self.terms.values_change_lists

    def of(self, request: ListRequest) -> ListRequest | None:
        """The list by which the replicas look; None for a line of another kind."""
        if request.kind != self.kind:
            return None
        user_id = request.user_id if self.needs_user else ""
        return replace(request, user_id=user_id, context=self.terms.context, promotion=self.terms.promotion)


def batch_request(settings: Settings, placement: str) -> BatchRequest:
    """How lines of a batch are asked for by a placement."""
    terms = settings.placements[placement]
    needs_user = terms.kind != "similar-items" or terms.needs_user
    return BatchRequest(terms.kind, needs_user, asking_terms_of(terms, address_of(terms)))
