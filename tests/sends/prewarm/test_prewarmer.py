"""Lists fetched before a send: only in slots that no caller wants, never at a caller's cost."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.errors import RecommenderTimeout, SharedStateUnavailable
from service.personalize.breaker import FAILURES_TO_OPEN
from service.sends.ports import PrewarmTerms
from tests.support.fakes import FakeStore
from tests.support.replica import Replica, open_replica
from tests.support.virtual_time import VirtualClock, run_virtual

ALL = PrewarmTerms(spare=1.0)


def users(count: int) -> list[str]:
    return [f"prewarmed{number}" for number in range(count)]


def embedded(scenario: Callable[[Replica], Awaitable[None]], tps: float = 10.0) -> None:
    async def run() -> None:
        async with open_replica(tps=tps) as replica:
            await scenario(replica)

    run_virtual(run())


@pytest.mark.parametrize("spare", [0.2, 0.5, 1.0])
def test_it_spends_its_share_and_no_more(spare: float) -> None:
    async def scenario(replica: Replica) -> None:
        made = await replica.prewarmer.make(users(1_000), PrewarmTerms(spare=spare), seconds=20.0)
        assert made.fetched == replica.personalize.transactions.total() == 1_000 - len(made.left)
        assert made.fetched == pytest.approx(200 * spare, abs=2)

    embedded(scenario)


@pytest.mark.parametrize("odd", [1e-300, 5e-324, 1e-9])
def test_a_tiny_share_ends_with_the_request_that_asked_for_it(odd: float) -> None:
    """J8: there was no prewarm until a restart."""

    async def scenario(replica: Replica) -> None:
        tiny = await replica.prewarmer.make(users(10), PrewarmTerms(spare=odd), seconds=4.0)
        assert tiny.fetched == 1
        made = await replica.prewarmer.make(users(50), PrewarmTerms(spare=1.0), seconds=4.0)
        assert made.fetched == pytest.approx(40, abs=2)

    embedded(scenario)


def test_what_a_send_does_not_want_is_used_and_the_rest_is_the_sends() -> None:
    async def scenario(replica: Replica) -> None:
        making = asyncio.create_task(replica.prewarmer.make(users(1_000), ALL, seconds=20.0))
        sources = []
        for number in range(80):
            await asyncio.sleep(0.25)
            answer = await replica.ask(f"live{number}")
            sources.append(answer.source)
            # At most the slot that was just taken.
            assert dict(answer.timings)["budget"] <= 101
        made = await making
        assert set(sources) == {"personalize"}
        assert made.fetched + 80 >= 0.95 * 10 * 20
        assert replica.personalize.most_starts_in_a_second() <= 11

    embedded(scenario)


def test_a_send_that_wants_every_slot_gets_every_slot() -> None:
    async def scenario(replica: Replica) -> None:
        sending = [asyncio.create_task(replica.ask(f"live{number}")) for number in range(12)]
        await asyncio.sleep(0)
        made = await replica.prewarmer.make(users(5), ALL, seconds=1.0)
        assert made.fetched == 0
        await asyncio.gather(*sending)

    embedded(scenario)


def test_a_caller_of_the_same_user_shares_the_transaction_and_its_failure() -> None:
    async def scenario(replica: Replica) -> None:
        replica.personalize.latency_seconds = 0.5
        making = asyncio.create_task(replica.prewarmer.make(["a"], ALL, seconds=2.0))
        await asyncio.sleep(0.1)
        assert (await replica.ask("a")).source == "personalize"
        assert (await making).fetched == 1
        replica.personalize.failure = RecommenderTimeout
        making = asyncio.create_task(replica.prewarmer.make(["b"], ALL, seconds=2.0))
        await asyncio.sleep(0.1)
        answer = await replica.ask("b")
        assert (answer.source, answer.degraded_reason) == ("popular", "timeout")
        assert (await making).failed == {"b": "timeout"}
        # The parts of that message agree, as they do after any other failure.
        replica.personalize.failure = None
        assert (await replica.ask("b")).source == "popular"
        assert replica.personalize.transactions == {"a": 1, "b": 1}

    embedded(scenario)


def test_while_nobody_may_ask_personalize_nobody_spends_the_budget() -> None:
    async def scenario(replica: Replica) -> None:
        replica.personalize.failure = RecommenderTimeout
        made = await replica.prewarmer.make(users(100), ALL, seconds=9.0)
        assert 0 < len(made.failed) <= FAILURES_TO_OPEN + 5
        assert len(made.left) == 100 - len(made.failed)

    embedded(scenario)


def test_what_another_replica_has_fetched_or_is_fetching_costs_nothing_and_the_slot_goes_to_the_next() -> None:
    async def run() -> None:
        store = FakeStore(VirtualClock(asyncio.get_running_loop()))
        async with open_replica(shared=store.replica()) as one, open_replica(shared=store.replica()) as other:
            await other.ask("a")
            other.personalize.latency_seconds = 1.0
            asking = asyncio.create_task(other.ask("b"))
            await asyncio.sleep(0.5)
            made = await one.prewarmer.make(["a", "b", "c"], ALL, seconds=0.3)
            assert (made.kept, made.left, made.fetched) == (1, ["b"], 1)
            assert one.personalize.transactions == {"c": 1}
            await asking

    run_virtual(run())


def test_a_list_from_the_future_is_fetched_again() -> None:
    """J4."""

    async def run() -> None:
        store = FakeStore(VirtualClock(asyncio.get_running_loop()))
        async with (
            open_replica(shared=store.replica(), clock_skew=600) as fast,
            open_replica(shared=store.replica()) as right,
        ):
            await fast.ask("a")
            assert (await right.prewarmer.make(["a"], ALL, seconds=1.0)).fetched == 1

    run_virtual(run())


def test_a_failure_is_shared_with_no_replica() -> None:
    async def run() -> None:
        store = FakeStore(VirtualClock(asyncio.get_running_loop()))
        async with open_replica(shared=store.replica()) as one, open_replica(shared=store.replica()) as other:
            one.personalize.failure = RecommenderTimeout
            assert (await one.prewarmer.make(["a"], ALL, seconds=1.0)).failed == {"a": "timeout"}
            assert (await other.ask("a")).source == "personalize"

    run_virtual(run())


def test_without_the_store_nothing_is_spent() -> None:
    async def run() -> None:
        store = FakeStore(VirtualClock(asyncio.get_running_loop()))
        async with open_replica(shared=store.replica()) as replica:
            store.down = True
            with pytest.raises(SharedStateUnavailable):
                await replica.prewarmer.make(["a", "b"], ALL, seconds=2.0)
            store.down = False
            making = asyncio.create_task(replica.prewarmer.make(["a", "b"], ALL, seconds=2.0))
            await asyncio.sleep(1.5 * store.delay_seconds)
            store.down = True
            assert sorted((await making).left) == ["a", "b"]
            assert not replica.personalize.transactions

    run_virtual(run())


def test_a_list_that_the_store_could_not_take_counts_as_none() -> None:
    async def run() -> None:
        store = FakeStore(VirtualClock(asyncio.get_running_loop()))
        async with open_replica(shared=store.replica()) as replica:
            replica.personalize.latency_seconds = 0.5
            making = asyncio.create_task(replica.prewarmer.make(["a"], ALL, seconds=1.0))
            await asyncio.sleep(0.2)
            store.down = True
            made = await making
            assert (made.fetched, made.failed) == (0, {"a": "error"})

    run_virtual(run())
