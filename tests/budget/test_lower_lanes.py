"""What callers without a list leave of the budget, at any rate and with Redis any way off."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.ports import Lane, Reservation
from service.budget.schedule import LEAD_SECONDS
from service.models import ListRequest
from service.sends.ports import PrewarmTerms
from tests.support.fakes import FakePersonalize, FakeStore
from tests.support.replica import FRESH_SECONDS, Replica, items_for, key_of, open_replica
from tests.support.virtual_time import VirtualClock, run_virtual

ALL = PrewarmTerms(spare=1.0)


class FarGovernor:
    """A governor some way off, as Redis is."""

    def __init__(self, tps: float, clock: VirtualClock, round_trip_seconds: float) -> None:
        self._inner = EmbeddedGovernor(tps, clock=clock)
        self._way_seconds = round_trip_seconds / 2

    async def reserve(self, lane: Lane, within_seconds: float, slots: int = 1) -> Reservation:
        await asyncio.sleep(self._way_seconds)
        reservation = await self._inner.reserve(lane, within_seconds, slots)
        await asyncio.sleep(self._way_seconds)
        wait_seconds = reservation.wait_seconds - self._way_seconds * bool(reservation.granted)
        return Reservation(reservation.granted, wait_seconds, reservation.apart_seconds)

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
        return LEAD_SECONDS


def far(
    scenario: Callable[[Replica, FakePersonalize], Awaitable[None]], tps: float, round_trip_seconds: float = 0.002
) -> None:
    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        store = FakeStore(clock, delay_seconds=round_trip_seconds)
        personalize = FakePersonalize(clock)
        governor = FarGovernor(tps, clock, round_trip_seconds)
        async with open_replica(personalize=personalize, shared=store.replica(), governor=governor) as replica:
            await scenario(replica, personalize)

    run_virtual(run())


def long_enough(tps: float) -> float:
    """Seconds with enough slots for a figure: 1,000 at the highest TPS, 40 at a low one."""
    return max(0.4, 40 / tps)


@pytest.mark.parametrize("tps", [0.5, 5, 60, 2500])
def test_a_prewarm_uses_what_nobody_wants_at_any_rate(tps: float) -> None:
    """K1."""
    seconds = long_enough(tps)

    async def scenario(replica: Replica, personalize: FakePersonalize) -> None:
        users = [f"user{number}" for number in range(int(tps * seconds) + 200)]
        report = await replica.prewarmer.make(users, ALL, seconds=seconds)
        assert report.fetched == personalize.transactions.total()
        assert 0.95 * tps * seconds <= report.fetched <= tps * seconds + 2
        assert personalize.most_starts_in_a_second() <= tps * 1.02 + 1

    far(scenario, tps)


@pytest.mark.parametrize("tps", [5, 2500])
def test_a_refresh_uses_what_nobody_wants_at_any_rate(tps: float) -> None:
    """K1."""
    seconds = long_enough(tps)
    users = int(tps * seconds) + 10

    async def scenario(replica: Replica, personalize: FakePersonalize) -> None:
        for number in range(users):
            replica.refresher.add(key_of(f"user{number}"), ListRequest(f"user{number}"))
        await asyncio.sleep(seconds)
        assert 0.95 * tps * seconds <= personalize.transactions.total() <= tps * seconds + 2
        assert personalize.most_starts_in_a_second() <= tps * 1.02 + 1
        await asyncio.sleep(60 / tps)
        assert personalize.transactions.total() == users
        assert len(replica.refresher) == 0

    far(scenario, tps)


@pytest.mark.parametrize("tps", [5, 100, 2500])
def test_a_caller_without_a_list_waits_for_a_slot_at_most_beside_a_prewarm(tps: float) -> None:
    """K1."""
    seconds = min(1.5, long_enough(tps))

    async def scenario(replica: Replica, _: FakePersonalize) -> None:
        users = [f"user{number}" for number in range(int(seconds * tps) + 100)]
        making = asyncio.create_task(replica.prewarmer.make(users, ALL, seconds=seconds))
        for number in range(6):
            await asyncio.sleep(0.1447 * seconds)
            answer = await replica.ask(f"caller{number}")
            assert answer.source == "personalize"
            # A slot, and the way to the governor and back.
            assert dict(answer.timings)["budget"] <= 1000 / tps + 2 + 0.1
        report = await making
        assert report.fetched + 6 >= 0.9 * seconds * tps

    far(scenario, tps)


@pytest.mark.long
@pytest.mark.parametrize("round_trip", [0.0, 0.0005, 0.004])
def test_nothing_is_lost_however_far_the_governor_is(round_trip: float) -> None:
    """K1."""

    async def scenario(replica: Replica, personalize: FakePersonalize) -> None:
        users = [f"user{number}" for number in range(1000)]
        report = await replica.prewarmer.make(users, ALL, seconds=1.0)
        assert report.fetched >= 0.95 * 800
        assert personalize.most_starts_in_a_second() <= 801

    far(scenario, 800, round_trip)


@pytest.mark.parametrize("tps", [400, 2500])
def test_a_caller_with_a_stale_list_gets_a_slot_that_nobody_wants(tps: float) -> None:
    """K1: the slot begins a moment after it is asked for."""

    async def scenario(replica: Replica, personalize: FakePersonalize) -> None:
        users = [f"user{number}" for number in range(50)]
        await asyncio.gather(*(replica.ask(user) for user in users))
        await asyncio.sleep(FRESH_SECONDS + 1)
        for user in users:
            assert (await replica.ask(user)).source == "personalize"
        # All at a time are more than the lead holds; the others are served at once, and renewed behind them.
        await asyncio.sleep(FRESH_SECONDS + 1)
        began = replica.clock.monotonic()
        answers = await asyncio.gather(*(replica.ask(user) for user in users))
        assert {answer.source for answer in answers} == {"personalize", "stale"}
        assert replica.clock.monotonic() - began <= 0.1
        await asyncio.sleep(1)
        assert personalize.transactions.total() == 3 * len(users)

    far(scenario, tps)


def test_a_refresh_goes_before_a_prewarm_and_both_behind_a_caller() -> None:
    async def scenario(replica: Replica, personalize: FakePersonalize) -> None:
        personalize.default_items = items_for
        prewarmed = [f"prewarm{number}" for number in range(2000)]
        making = asyncio.create_task(replica.prewarmer.make(prewarmed, ALL, seconds=2.0))
        await asyncio.sleep(0.5)
        for number in range(200):
            replica.refresher.add(key_of(f"stale{number}"), ListRequest(f"stale{number}"))
        await asyncio.sleep(0.02)
        before = personalize.transactions.copy()
        await asyncio.sleep(0.3)
        made = personalize.transactions - before
        stale = sum(count for user, count in made.items() if user.startswith("stale"))
        assert stale >= 0.95 * 0.3 * 400
        await making

    far(scenario, 400)
