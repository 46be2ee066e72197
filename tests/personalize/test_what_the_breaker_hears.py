"""What a transaction's end says of Personalize's health: a refusal and a throttle nothing, whatever they end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.errors import RecommenderError, RecommenderRefused, RecommenderThrottled, RecommenderTimeout
from service.personalize.breaker import FAILURES_TO_OPEN, OPEN_SECONDS, BreakerState
from tests.support.fakes import Failure
from tests.support.replica import Replica, open_replica
from tests.support.virtual_time import run_virtual

SAYS_NOTHING = [RecommenderRefused, RecommenderThrottled]


def play(scenario: Callable[[Replica], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_replica(tps=100.0) as replica:
            await scenario(replica)

    run_virtual(run())


def state(replica: Replica) -> BreakerState:
    return replica.breaker.state


async def ask_each(replica: Replica, failure: Failure, count: int, name: str = "user") -> None:
    replica.personalize.failure = failure
    for number in range(count):
        await replica.ask(f"{name}{number}")


@pytest.mark.parametrize("failure", SAYS_NOTHING)
def test_any_number_of_refusals_leaves_the_breaker_closed(failure: type[Exception]) -> None:
    async def scenario(replica: Replica) -> None:
        await ask_each(replica, failure, 3 * FAILURES_TO_OPEN)
        assert state(replica) is BreakerState.CLOSED
        replica.personalize.failure = None
        assert (await replica.ask("one more")).source == "personalize"

    play(scenario)


@pytest.mark.parametrize("failure", [RecommenderError, RecommenderTimeout])
def test_failures_in_a_row_open_it_and_a_success_between_them_does_not_count(failure: type[Exception]) -> None:
    async def scenario(replica: Replica) -> None:
        await ask_each(replica, failure, FAILURES_TO_OPEN - 1)
        await ask_each(replica, None, 1, "well")
        await ask_each(replica, failure, FAILURES_TO_OPEN - 1, "again")
        assert state(replica) is BreakerState.CLOSED
        await ask_each(replica, failure, 1, "last")
        assert state(replica) is BreakerState.OPEN
        asked = replica.personalize.transactions.total()
        assert (await replica.ask("meanwhile")).degraded_reason == "breaker"
        assert replica.personalize.transactions.total() == asked

    play(scenario)


def test_while_it_is_open_nobody_waits_for_a_slot_or_takes_one() -> None:
    async def run() -> None:
        async with open_replica(tps=1.0) as replica:
            for _ in range(FAILURES_TO_OPEN):
                replica.breaker.failure(replica.breaker.admit())
            began = replica.clock.monotonic()
            answers = [await replica.ask(f"user{number}") for number in range(3)]
            assert {answer.degraded_reason for answer in answers} == {"breaker"}
            assert replica.clock.monotonic() == began
            await asyncio.sleep(OPEN_SECONDS)
            assert (await replica.ask("next")).source == "personalize"

    run_virtual(run())


@pytest.mark.parametrize("failure", SAYS_NOTHING)
def test_a_probe_that_says_nothing_lets_the_next_one_through(failure: type[Exception]) -> None:
    async def scenario(replica: Replica) -> None:
        await ask_each(replica, RecommenderError, FAILURES_TO_OPEN)
        await asyncio.sleep(OPEN_SECONDS)
        await ask_each(replica, failure, 1, "probe")
        assert state(replica) is BreakerState.HALF_OPEN
        replica.personalize.failure = None
        assert (await replica.ask("next")).source == "personalize"
        assert state(replica) is BreakerState.CLOSED

    play(scenario)


def test_a_probe_that_is_cancelled_lets_the_next_one_through() -> None:
    async def scenario(replica: Replica) -> None:
        await ask_each(replica, RecommenderError, FAILURES_TO_OPEN)
        await asyncio.sleep(OPEN_SECONDS)
        replica.personalize.failure, replica.personalize.latency_seconds = None, 10.0
        probe = asyncio.create_task(replica.ask("probe"))
        await asyncio.sleep(0.2)
        # As a stop does to a transaction that takes too long.
        await replica.flights.close(0.0)
        await probe
        replica.personalize.latency_seconds = 0.05
        assert (await replica.ask("next")).source == "personalize"

    play(scenario)
