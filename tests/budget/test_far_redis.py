"""What the service's own governor gets out of a Redis that is some way off; Redis is a model that runs the real Lua."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.budget.adapters.redis import RedisGovernor
from service.budget.ports import Lane
from service.budget.slot_queue import SlotQueue
from service.errors import BudgetExhausted
from service.fleet.heartbeat import Heartbeat
from service.models import ListRequest
from service.sends.ports import PrewarmTerms
from tests.support.fakes import FakePersonalize, FakeStore
from tests.support.redis_network import RedisServerModel, model_client
from tests.support.replica import Replica, key_of, open_replica
from tests.support.virtual_time import VirtualClock, run_virtual

SECONDS = 0.3
WAY_SECONDS = 0.001

at_any_rate = pytest.mark.parametrize("tps", [20, 400, 2500])


def far(
    scenario: Callable[[RedisGovernor, VirtualClock], Awaitable[None]],
    tps: float,
    later_way_seconds: float = WAY_SECONDS,
) -> None:
    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        server = RedisServerModel(clock.time, way_seconds=WAY_SECONDS)
        async with (
            model_client(server) as client,
            Heartbeat(client, clock=clock, expected_replicas=1, patient=False) as heartbeat,
        ):
            server.way_seconds = later_way_seconds
            await scenario(
                RedisGovernor(tps, client=client, heartbeat=heartbeat, clock=clock, horizon_seconds=1.5), clock
            )

    run_virtual(run())


def background(work: Callable[[Replica], Awaitable[None]], tps: float) -> int:
    """Transactions of lower lanes within `SECONDS`."""
    counted = []

    async def scenario(governor: RedisGovernor, clock: VirtualClock) -> None:
        personalize, store = FakePersonalize(clock), FakeStore(clock, delay_seconds=2 * WAY_SECONDS)
        async with open_replica(personalize=personalize, shared=store.replica(), governor=governor) as replica:
            await work(replica)
            assert personalize.most_starts_in_a_second() <= tps + 1
            counted.append(personalize.transactions.total())

    far(scenario, tps)
    return counted[0]


@at_any_rate
def test_a_prewarm_through_redis_uses_what_nobody_wants(tps: float) -> None:
    """K1: a way of 1 ms moved every slot that came after one of this replica's."""

    async def work(replica: Replica) -> None:
        users = [f"user{number}" for number in range(int(tps * SECONDS) + 100)]
        await replica.prewarmer.make(users, PrewarmTerms(spare=1.0), seconds=SECONDS)

    assert background(work, tps) >= 0.95 * tps * SECONDS


@at_any_rate
def test_a_refresh_through_redis_uses_what_nobody_wants(tps: float) -> None:
    """K1."""

    async def work(replica: Replica) -> None:
        for number in range(int(tps * SECONDS) + 100):
            replica.refresher.add(key_of(f"user{number}"), ListRequest(f"user{number}"))
        await asyncio.sleep(SECONDS)

    assert background(work, tps) >= 0.95 * tps * SECONDS


@at_any_rate
def test_callers_without_lists_get_the_whole_budget_through_redis(tps: float) -> None:
    """K1: callers lost slots to the way too."""
    begun: list[float] = []

    async def scenario(governor: RedisGovernor, clock: VirtualClock) -> None:
        queue = SlotQueue(governor, clock)
        until = clock.monotonic() + SECONDS

        async def call() -> None:
            try:
                begun.append(await queue.acquire(Lane.NO_LIST, until))
            except BudgetExhausted:
                return

        await asyncio.gather(*(call() for _ in range(int(tps * SECONDS) + 50)))

        async def one_by_one() -> None:
            while clock.monotonic() < until + SECONDS:
                begun.append(await queue.acquire(Lane.NO_LIST, clock.monotonic() + 1))

        await asyncio.gather(*(one_by_one() for _ in range(20)))
        queue.close()

    far(scenario, tps)
    assert len(begun) >= 0.95 * tps * 2 * SECONDS


@pytest.mark.parametrize("tps", [20, 400])
def test_a_redis_that_becomes_slower_costs_callers_no_slot(tps: float) -> None:
    """The way was known from a better time: every slot came too late, until the clocks were compared anew."""
    begun: list[float] = []

    async def scenario(governor: RedisGovernor, clock: VirtualClock) -> None:
        queue = SlotQueue(governor, clock)
        begun.extend(await asyncio.gather(*(queue.acquire(Lane.NO_LIST, clock.monotonic() + 1) for _ in range(10))))
        queue.close()

    far(scenario, tps, later_way_seconds=0.03)
    assert len(begun) == 10
