"""What holds for every schedule of arrivals, failures, cancellations and stalls."""

import asyncio
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st

from service.answers.selection import Rules, Selection, select
from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.ports import Lane, Reservation
from service.catalog.item import CatalogRow
from service.errors import RecommenderError, RecommenderThrottled
from service.lists import envelope as envelopes
from service.models import ItemList
from tests.support.examples import examples
from tests.support.fakes import HANG, FakeCatalog, FakePersonalize, FakeStore, most_in_any_second
from tests.support.replica import DEADLINE_SECONDS, FRESH_SECONDS, Replica, ids_of, items_for, open_replica, read
from tests.support.virtual_time import VirtualClock, run_virtual, stall


class WatchedGovernor:
    """The real one, remembering every slot granted to a lower lane while a first-lane caller waits."""

    def __init__(self, tps: float, clock: VirtualClock) -> None:
        self._inner = EmbeddedGovernor(tps, clock=clock)
        self.replicas: list[Replica] = []
        self.inversions = 0

    async def reserve(self, lane: Lane, within_seconds: float, slots: int = 1) -> Reservation:
        reservation = await self._inner.reserve(lane, within_seconds, slots)
        waiting = any(replica.budget._queue._asking for replica in self.replicas)
        if lane is not Lane.NO_LIST and reservation.granted and waiting:
            self.inversions += 1
        return reservation

    async def throttled(self) -> None:
        await self._inner.throttled()

    @property
    def max_tps(self) -> float:
        return self._inner.max_tps

    @property
    def tps_in_use(self) -> float:
        return self._inner.tps_in_use

    @property
    def slot_seconds(self) -> float:
        return self._inner.slot_seconds

    @property
    def lead_seconds(self) -> float:
        return self._inner.lead_seconds


@dataclass(frozen=True)
class Arrival:
    after: float
    user: int
    replica: int
    gives_up_after: float | None
    stall: float
    store: str
    """What becomes of the store as it arrives."""


_arrivals = st.lists(
    st.builds(
        Arrival,
        # Crowds, and now and then so long a pause that lists are not fresh any more.
        after=st.sampled_from([*[0.0] * 12, *[0.02] * 6, 0.1, 0.4, 1.3, 6.0, FRESH_SECONDS]),
        user=st.integers(0, 11),
        replica=st.integers(0, 1),
        gives_up_after=st.sampled_from([None, None, None, 0.0, 0.01, 0.03, 0.3, 1.0]),
        stall=st.sampled_from([0.0] * 16 + [0.02, 0.12, 0.7]),
        store=st.sampled_from([""] * 16 + ["down", "up"]),
    ),
    min_size=12,
    max_size=80,
)
_failures = st.lists(st.sampled_from([None, None, HANG, RecommenderError, RecommenderThrottled]), min_size=1)


@examples(30)
@given(
    arrivals=_arrivals,
    failures=_failures,
    tps=st.sampled_from([0.5, 1.0, 2.5, 5.0, 20.0, 100.0]),
    latency=st.sampled_from([0.0, 0.05, 0.4, 2.0]),
    replicas=st.integers(1, 2),
)
def test_no_schedule_breaks_the_budget_the_flights_the_lanes_or_the_deadline(
    arrivals: list[Arrival],
    failures: list[type[Exception] | str | None],
    tps: float,
    latency: float,
    replicas: int,
) -> None:
    async def scenario() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        personalize = FakePersonalize(clock, latency_seconds=latency)
        personalize.default_items = items_for
        personalize.failure = lambda _: failures[personalize.transactions.total() % len(failures)]
        governor = WatchedGovernor(tps, clock)
        store = FakeStore(clock)
        stalled = 0.0
        lost = False

        async def call(replica: Replica, arrival: Arrival) -> None:
            began, stalled_before = clock.monotonic(), stalled
            answer = await replica.ask(f"user{arrival.user}")
            # What the loop stood still is nobody's to keep.
            seconds = clock.monotonic() - began - (stalled - stalled_before)
            assert seconds <= DEADLINE_SECONDS
            assert len(set(ids_of(answer))) == 10

        async with (
            open_replica(personalize=personalize, shared=store.replica(), governor=governor) as one,
            open_replica(personalize=personalize, shared=store.replica(), governor=governor) as two,
        ):
            governor.replicas = [one, two]
            calls: list[asyncio.Task[None]] = []
            for arrival in arrivals:
                await asyncio.sleep(arrival.after)
                if arrival.store:
                    store.down = arrival.store == "down"
                    lost |= store.down
                if arrival.stall and replicas == 1:
                    stall(arrival.stall)
                    stalled += arrival.stall
                task = asyncio.create_task(call((one, two)[arrival.replica % replicas], arrival))
                calls.append(task)
                if arrival.gives_up_after is not None:
                    asyncio.get_running_loop().call_later(arrival.gives_up_after, task.cancel)
            for result in await asyncio.gather(*calls, return_exceptions=True):
                assert result is None or isinstance(result, asyncio.CancelledError), repr(result)
            # Longer than any transaction, and than the patience of the refresher.
            await asyncio.sleep(40)
            for replica in (one, two):
                assert len(replica.flights) == len(replica.flights._tasks) == 0
                assert len(replica.refresher) == 0
                assert not replica.budget._queue._waiting
                assert not replica.budget._queue._slots
            assert not any(store.listeners.values())
            assert personalize.in_flight == 0
        assert most_in_any_second(personalize.started_at) <= math.floor(tps) + 1
        # Without the store the replicas do not know of each other's flights.
        assert max(personalize.most_in_flight.values(), default=0) <= (replicas if lost else 1)
        assert governor.inversions == 0

    run_virtual(scenario())


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
_uuids = st.uuids().map(str)


@given(
    ids=st.lists(_text) | st.lists(_uuids) | st.lists(_uuids | _uuids.map(str.upper) | _text),
    recommendation_id=st.text(st.characters(max_codepoint=127), max_size=255),
    created_at=st.floats(allow_nan=False, allow_infinity=False),
)
@example(ids=[], recommendation_id="", created_at=0.0)
@example(ids=["", ""], recommendation_id="", created_at=0.0)
@example(ids=["a" * 35, "b" * 37], recommendation_id="", created_at=0.0)
def test_a_sealed_list_is_unsealed_as_it_was(ids: list[str], recommendation_id: str, created_at: float) -> None:
    ranked = ItemList(tuple(ids), recommendation_id, created_at)
    envelope = envelopes.seal(ranked)
    assert read(envelope) == ranked
    assert envelopes.readable(envelope) is envelope


@given(damaged=st.binary(max_size=80) | st.binary(max_size=80).map(lambda rest: b"\x01\x01" + rest))
def test_a_damaged_envelope_is_refused_or_read_but_never_breaks(damaged: bytes) -> None:
    readable = envelopes.readable(damaged)
    if readable is not None:
        assert len(list(envelopes.item_ids(readable))) <= len(damaged)


@given(ids=st.lists(_uuids, min_size=1, max_size=4) | st.lists(_text, min_size=1, max_size=4), cut=st.integers(1))
@example(ids=["a"], cut=1)
@example(ids=["a"], cut=4)
def test_of_a_list_cut_short_all_is_read_that_is_before_the_cut(ids: list[str], cut: int) -> None:
    sealed = envelopes.seal(ItemList(tuple(ids), "RID-1", 0.0))
    short = envelopes.readable(sealed[: -(1 + cut % len(sealed))])
    if short is not None:
        found = read(short)
        assert "RID-1".startswith(found.recommendation_id)
        # Of an id that is no UUID a part may be left; no item has it.
        whole = max(0, len(found.item_ids) - 1)
        assert found.item_ids[:whole] == tuple(ids[:whole])


def _naive(
    lists: Iterable[Iterable[str]], catalog: FakeCatalog, exclude: set[str], blocked: set[str], wanted: int
) -> Iterator[str]:
    shown: list[str] = []
    for ids in lists:
        for one in ids:
            row: CatalogRow | None = catalog.rows([one])[0]
            fits = row is not None and row.eligible and one not in exclude | blocked and one not in shown
            if fits and len(shown) < wanted:
                shown.append(one)
                yield one


_some = st.lists(st.sampled_from("abcdefghijkl"), max_size=30)


@given(
    personal=_some,
    popular=_some,
    known=st.sets(st.sampled_from("abcdefghijkl"), min_size=1),
    ineligible=st.sets(st.sampled_from("abcdefghijkl")),
    exclude=st.sets(st.sampled_from("abcdefghijkl")),
    blocked=st.sets(st.sampled_from("abcdefghijkl")),
    wanted=st.integers(1, 12),
)
def test_what_is_selected_is_what_one_would_pick_by_hand(  # noqa: PLR0917  # hypothesis passes keywords
    personal: list[str],
    popular: list[str],
    known: set[str],
    ineligible: set[str],
    exclude: set[str],
    blocked: set[str],
    wanted: int,
) -> None:
    catalog = FakeCatalog(sorted(known))
    catalog.change(ineligible=known & ineligible)
    selection, rules = Selection(), Rules(catalog=catalog, exclude=exclude, blocked=blocked)
    select(selection, personal, rules, wanted)
    select(selection, popular, rules, wanted)
    assert selection.shown == list(_naive([personal, popular], catalog, exclude, blocked, wanted))
    assert len(selection.rows) == len(selection.shown)
    assert selection.examined == len(selection.shown) + sum(selection.dropped.values())
