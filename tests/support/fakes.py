"""The outside of the core, in memory: fakes that can be asked afterwards."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from service.catalog.item import CatalogRow
from service.clock import Clock
from service.constants import PIN_SECONDS
from service.errors import RecommenderError, RecommenderTimeout, SharedStateUnavailable
from service.lists.envelope import Envelope, created_at
from service.lists.freshness import Freshness
from service.lists.keys import UserKey
from service.lists.ports import ABANDONED, Boarding, Landed, Landing, Outcome
from service.models import ItemList, ListRequest

HANG = "hang"
"""A failure: no answer before the timeout."""

Failure = type[Exception] | str | None


class FakePersonalize:
    """A `Recommender` that remembers every transaction.

    `failure` may be an exception class, `HANG`, None, or a function of the user id that returns one of them.
    """

    def __init__(self, clock: Clock, *, latency_seconds: float = 0.05) -> None:
        self._clock = clock
        self.latency_seconds = latency_seconds
        self.failure: Failure | Callable[[str], Failure] = None
        self.lists: dict[str, tuple[str, ...]] = {}
        self.default_items: Callable[[str, int], Sequence[str]] | None = None
        self.transactions: Counter[str] = Counter()
        self.most_in_flight: Counter[str] = Counter()
        self.started_at: list[float] = []
        self.requests: list[ListRequest] = []
        self._in_flight: Counter[str] = Counter()

    @property
    def in_flight(self) -> int:
        """Transactions under way."""
        return self._in_flight.total()

    async def recommend(self, request: ListRequest, *, timeout_seconds: float) -> ItemList:
        user = request.user_id
        self.requests.append(request)
        self.transactions[user] += 1
        self.started_at.append(self._clock.monotonic())
        self._in_flight[user] += 1
        self.most_in_flight[user] = max(self.most_in_flight[user], self._in_flight[user])
        failure = self.failure
        if callable(failure) and not isinstance(failure, type):
            failure = failure(user)
        try:
            if failure == HANG or self.latency_seconds > timeout_seconds:
                await asyncio.sleep(timeout_seconds)
                raise RecommenderTimeout
            await asyncio.sleep(self.latency_seconds)
        finally:
            self._in_flight[user] -= 1
        if isinstance(failure, type):
            raise failure
        ids = self.lists.get(user)
        if ids is None and self.default_items is not None:
            ids = tuple(self.default_items(user, request.num_results))
        number = self.transactions.total()
        return ItemList(ids or (), f"RID-{number}", self._clock.time())

    def most_starts_in_a_second(self) -> int:
        """The largest number of transactions that began within any closed second."""
        return most_in_any_second(self.started_at)


def most_in_any_second(times: Iterable[float]) -> int:
    """The largest number of points within any closed interval of one second."""
    ordered = sorted(times)
    most = first = 0
    for last, time in enumerate(ordered):
        while time - ordered[first] > 1.0 + 1e-9:
            first += 1
        most = max(most, last - first + 1)
    return most


class FakeCatalog:
    """Items by id, in the order given; change them with `change`."""

    def __init__(self, ids: Iterable[str], *, columns: Sequence[str] = ("color",)) -> None:
        self._rows = {one: _row(one, columns) for one in ids}
        self._columns = tuple(columns)
        self._version = 1

    @property
    def version(self) -> int:
        return self._version

    @property
    def columns(self) -> Sequence[str]:
        return self._columns

    lost_columns = ()
    is_open = False

    def rows(self, item_ids: Sequence[str]) -> list[CatalogRow | None]:
        return [self._rows.get(one) for one in item_ids]

    def missing(self, item_ids: Iterable[str]) -> list[str]:
        del item_ids
        return []

    async def prefetch(self, item_ids: Iterable[str], timeout_seconds: float) -> None:
        """Every item is here."""

    def __len__(self) -> int:
        return len(self._rows)

    def first_ids(self) -> Iterable[str]:
        return iter(self._rows)

    def all_rows(self) -> Iterator[tuple[str, CatalogRow]]:
        return iter(self._rows.items())

    def close(self) -> None:
        self._rows.clear()

    def change(self, *, remove: Iterable[str] = (), ineligible: Iterable[str] = ()) -> None:
        for one in remove:
            del self._rows[one]
        for one in ineligible:
            row = self._rows[one]
            self._rows[one] = CatalogRow(row.fragment, row.extras, eligible=False)
        self._version += 1


class WatchedCatalog(FakeCatalog):
    """Remembers how many items each look-up was for."""

    def __init__(self, ids: Iterable[str]) -> None:
        super().__init__(ids)
        self.looked_up: list[int] = []

    def rows(self, item_ids: Sequence[str]) -> list[CatalogRow | None]:
        self.looked_up.append(len(item_ids))
        return super().rows(item_ids)


def _row(item_id: str, columns: Sequence[str]) -> CatalogRow:
    item = {
        "id": item_id,
        "url": f"http://shop.test/{item_id}",
        "name": f"Item {item_id}",
        "price": 9.99,
        "image": f"http://cdn.test/{item_id}",
    }
    return CatalogRow.from_values(item, [f"{name} of {item_id}" for name in columns])


@dataclass
class FakeRecorder:
    """Counts what the core reports."""

    transactions: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)

    def transaction(self, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.transactions[outcome] += 1

    def budget_wait(self, seconds: float) -> None:
        self.waits.append(seconds)


class FakeStore:
    """Lists, pins, leases and the ends of flights, shared; `replica()` gives each replica its own door."""

    def __init__(self, clock: Clock, *, fresh_seconds: float = 900.0, delay_seconds: float = 0.001) -> None:
        self.clock = clock
        self.freshness = Freshness(fresh_seconds, 604_800.0)
        self.delay_seconds = delay_seconds
        self._down = False
        self.lists: dict[UserKey, Envelope] = {}
        self.pins: dict[UserKey, tuple[Outcome, float]] = {}
        self.leases: dict[UserKey, tuple[object, float, bool]] = {}
        self.listeners: defaultdict[UserKey, set[asyncio.Future[Outcome]]] = defaultdict(set)
        self.landed: list[Outcome] = []

    @property
    def down(self) -> bool:
        """Whether it answers nobody; followers learn of it at once."""
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        self._down = down
        for listener in {one for some in self.listeners.values() for one in some} if down else ():
            if not listener.done():
                listener.set_exception(SharedStateUnavailable("the fake store is down"))
                listener.exception()

    def replica(self) -> "FakeSharedLists":
        return FakeSharedLists(self)

    async def trip(self) -> None:
        """One way to the store."""
        await asyncio.sleep(self.delay_seconds)
        if self.down:
            raise SharedStateUnavailable("the fake store is down")


class FakeSharedLists:
    """`SharedLists` of one replica on a shared store."""

    def __init__(self, store: FakeStore) -> None:
        self._store = store

    def note(self, key: UserKey, *, shared: bool) -> None:
        del key, shared

    async def board(
        self, key: UserKey, *, lease_seconds: float, background: bool = False, renew: bool = False
    ) -> Boarding:
        store = self._store
        await store.trip()
        now = store.clock.monotonic()
        envelope = store.lists.get(key)
        pin = None if background else store.pins.get(key)
        if pin is not None and pin[1] > now:
            return Boarding(leader=False, envelope=envelope, pinned=pin[0], pinned_seconds=pin[1] - now)
        if envelope is not None and not renew and store.freshness.fresh(created_at(envelope), store.clock.time()):
            return Boarding(leader=False, envelope=envelope)
        held = store.leases.get(key)
        if held is not None and held[1] > now:
            return Boarding(leader=False, envelope=envelope, lease_seconds=held[1] - now, background=held[2])
        store.leases[key] = (self, now + lease_seconds, background)
        return Boarding(leader=True, envelope=envelope)

    async def land(self, key: UserKey, outcome: Outcome, *, led: bool) -> Landed:
        store = self._store
        await store.trip()
        now = store.clock.monotonic()
        landed = before = self._before(key, outcome)
        if outcome.source == "personalize" and outcome.envelope is not None:
            store.lists[key] = outcome.envelope
        elif outcome.degraded_reason and before is None:
            store.pins[key] = (outcome, now + PIN_SECONDS)
        if led and key in store.leases and store.leases[key][0] is self:
            del store.leases[key]
        store.landed.append(outcome)
        for listener in store.listeners.get(key, ()):
            if not listener.done():
                listener.set_result(outcome if before is None else ABANDONED)
        await asyncio.sleep(store.delay_seconds)
        return landed or Landed(outcome)

    def _before(self, key: UserKey, outcome: Outcome) -> Landed | None:
        """What was answered before."""
        store, now = self._store, self._store.clock.monotonic()
        pin = store.pins.get(key)
        if pin is not None and pin[1] > now:
            return Landed(pin[0], pin[1] - now)
        kept = store.lists.get(key)
        if outcome.degraded_reason and kept is not None and store.freshness.fresh(created_at(kept), store.clock.time()):
            return Landed(Outcome(kept, "cache"))
        return None

    async def look(self, key: UserKey) -> Envelope | None:
        await self._store.trip()
        return self._store.lists.get(key)

    async def made_at(self, keys: Sequence[UserKey]) -> list[float | None]:
        await self._store.trip()
        kept = [self._store.lists.get(key) for key in keys]
        return [None if envelope is None else created_at(envelope) for envelope in kept]

    @asynccontextmanager
    async def follow(self, key: UserKey) -> AsyncIterator[Landing]:
        if self._store.down:
            raise SharedStateUnavailable("the fake store is down")
        ending: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._store.listeners[key].add(ending)
        try:
            yield _FakeLanding(ending)
        finally:
            ending.cancel()
            self._store.listeners[key].discard(ending)


class _FakeLanding:
    def __init__(self, ending: asyncio.Future[Outcome]) -> None:
        self._ending = ending

    async def wait(self, timeout_seconds: float) -> Outcome | None:
        done, _ = await asyncio.wait([self._ending], timeout=max(0.0, timeout_seconds))
        return self._ending.result() if done else None


class GarbageError(RecommenderError):
    """Personalize sent something that is not a list."""


class MemoryBlockList:
    """A block list that lives as long as the test."""

    def __init__(self) -> None:
        self._items: frozenset[str] = frozenset()
        self.version = 0

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def ids(self) -> list[str]:
        return sorted(self._items)

    def replace(self, item_ids: frozenset[str]) -> None:
        self._items = item_ids
        self.version += 1

    async def block(self, item_id: str) -> None:
        self.replace(self._items | {item_id})

    async def unblock(self, item_id: str) -> None:
        self.replace(self._items - {item_id})
