"""One transaction: what its end says to breaker and budget, what is counted, and how long a slot is waited for."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.budget import Budget
from service.budget.ports import Lane
from service.errors import (
    BreakerOpen,
    BudgetExhausted,
    RecommenderError,
    RecommenderRefused,
    RecommenderThrottled,
    RecommenderTimeout,
)
from service.models import ItemList, ListRequest, RecommendationQuery, sender_of_key
from service.personalize.breaker import FAILURES_TO_OPEN, Breaker, BreakerState
from service.personalize.ports import Recorder
from service.personalize.transactions import (
    FIRST_LATENCY_SECONDS,
    MIN_TRANSACTION_SECONDS,
    Transactions,
    lane_and_patience,
    usual_latency,
)
from tests.support.replica import key_of, open_replica
from tests.support.virtual_time import VirtualClock, run_virtual

REQUEST = ListRequest("ann")


@dataclass
class Personalize:
    """Ends as it is asked to."""

    ends: BaseException | ItemList
    seconds: float = 0.25
    given: list[float] = field(default_factory=list)

    async def recommend(self, request: ListRequest, *, timeout_seconds: float) -> ItemList:
        assert request is REQUEST
        self.given.append(timeout_seconds)
        await asyncio.sleep(self.seconds)
        if isinstance(self.ends, BaseException):
            raise self.ends
        return self.ends


@dataclass
class Counted:
    transactions: list[tuple[str, float]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def transaction(self, result: str, seconds: float) -> None:
        self.transactions.append((result, round(seconds, 6)))

    def budget_wait(self, seconds: float) -> None:
        self.waits.append(round(seconds, 6))


LIST = ItemList(("a",), "RID", 1.0)


@pytest.mark.parametrize(
    ("ends", "result", "counts", "halves"),
    [
        (LIST, "ok", False, False),
        (ItemList((), "RID", 1.0), "empty", False, False),
        (RecommenderThrottled("slow"), "throttled", False, True),
        (RecommenderTimeout("late"), "timeout", True, False),
        (RecommenderRefused("no"), "error", False, False),
        (RecommenderError("odd"), "error", True, False),
        (asyncio.CancelledError(), "error", False, False),
        (ZeroDivisionError(), "error", False, False),
    ],
)
def test_the_end_of_a_transaction_is_counted_and_passed_on(
    ends: BaseException | ItemList, result: str, *, counts: bool, halves: bool
) -> None:
    async def scenario() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        budget, breaker, counted = Budget(EmbeddedGovernor(10.0, clock=clock), clock), Breaker(clock), Counted()
        personalize = Personalize(ends)
        transactions = Transactions(
            clock=clock,
            recommender=personalize,
            budget=budget,
            breaker=breaker,
            recorder=cast(Recorder, counted),
            timeout_seconds=0.8,
        )
        for number in range(FAILURES_TO_OPEN):
            assert breaker.state is BreakerState.CLOSED
            era = transactions.admit()
            if isinstance(ends, BaseException):
                with pytest.raises(type(ends)):
                    await transactions.spend(REQUEST, era)
            else:
                assert await transactions.spend(REQUEST, era) is ends
            assert counted.transactions == [(result, 0.25)] * (number + 1)
        assert personalize.given == [0.8] * FAILURES_TO_OPEN
        assert (budget.tps_in_use < 10) == halves
        if counts:
            with pytest.raises(BreakerOpen):
                transactions.check()
        else:
            transactions.check()
        budget.close()

    run_virtual(scenario())


def test_a_wait_for_a_slot_is_counted_and_ends_where_no_time_is_left_for_the_transaction() -> None:
    async def scenario() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        budget, counted = Budget(EmbeddedGovernor(2.0, clock=clock), clock), Counted()
        transactions = Transactions(
            clock=clock,
            recommender=Personalize(LIST),
            budget=budget,
            breaker=Breaker(clock),
            recorder=cast(Recorder, counted),
            timeout_seconds=0.8,
        )
        assert await transactions.wait_for_slot(has_list=False, deadline=clock.monotonic() + 1.5) == 0
        assert await transactions.wait_for_slot(has_list=False, deadline=clock.monotonic() + 1.5) == pytest.approx(0.5)
        with pytest.raises(BudgetExhausted):
            # The next slot is half a second away, and three latencies are kept for the transaction.
            await transactions.wait_for_slot(
                has_list=False, deadline=clock.monotonic() + 0.45 + 3 * FIRST_LATENCY_SECONDS
            )
        with pytest.raises(BudgetExhausted):
            await transactions.wait_for_slot(has_list=True, deadline=clock.monotonic() + 1.5)
        assert counted.waits == [0.0, 0.5]
        budget.close()
        await asyncio.sleep(1)

    run_virtual(scenario())


def test_a_campaign_that_is_closed_has_no_slot_for_anybody() -> None:
    async def run() -> None:
        async with open_replica() as replica:
            asking = asyncio.create_task(replica.ask())
            await asyncio.sleep(0.01)
            await replica.campaign.close(1.0)
            # What was under way is waited for.
            assert replica.local.get(key_of("user")) is not None
            assert (await asking).source == "personalize"
            with pytest.raises(BudgetExhausted):
                await replica.campaign.budget.acquire(Lane.NO_LIST, replica.clock.monotonic() + 10)

    run_virtual(run())


@pytest.mark.parametrize(
    ("deadline", "latency", "kept"),
    [(1.5, 0.1, 0.3), (1.5, 0.02, MIN_TRANSACTION_SECONDS), (1.5, 0.5, 0.75), (0.3, 0.02, 0.15)],
)
def test_thrice_the_latency_is_kept_for_the_transaction_but_half_of_the_time_at_most(
    deadline: float, latency: float, kept: float
) -> None:
    lane, until = lane_and_patience(has_list=False, began=100.0, deadline=100.0 + deadline, latency_seconds=latency)
    assert lane is Lane.NO_LIST
    assert until == pytest.approx(100.0 + deadline - kept)
    # Who has a list waits for nothing.
    waits = lane_and_patience(has_list=True, began=100.0, deadline=100.0 + deadline, latency_seconds=latency)
    assert waits == (Lane.STALE, 100.0)


def test_the_usual_latency_follows_what_is_measured_slowly() -> None:
    latency = FIRST_LATENCY_SECONDS
    seen = [latency := usual_latency(latency, 0.5) for _ in range(50)]
    assert FIRST_LATENCY_SECONDS < seen[0] < 0.5
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(0.5, abs=0.05)


def test_who_has_less_than_its_part_of_the_places_gets_one_although_all_are_taken() -> None:
    senders = [sender_of_key(number) for number in range(3)]

    async def scenario() -> None:
        async with open_replica(tps=10, max_waiting=4) as replica:
            at_once: list[int] = []

            async def call(number: int, of: int) -> None:
                query = RecommendationQuery(user_id=f"user{number}", num_results=10, sender=senders[of])
                began = replica.clock.monotonic()
                answer = await replica.answer(query)
                if answer.degraded_reason == "budget" and replica.clock.monotonic() == began:
                    at_once.append(number)

            first = asyncio.create_task(call(100, 0))
            await first
            tasks = []
            # Of places for four: all to the first; two to each of two; one or two to each of three.
            for number, of in enumerate([0, 0, 0, 0, 0, 1, 1, 1, 0, 2, 2, 2]):
                tasks.append(asyncio.create_task(call(number, of)))
                await asyncio.sleep(0)
            await asyncio.gather(*tasks)
            assert sorted(at_once) == [4, 7, 8, 11]
            # All places are free again.
            await asyncio.gather(*(call(200 + number, 0) for number in range(4)))
            assert len(at_once) == 4

    run_virtual(scenario())


def test_who_leaves_makes_room_for_one_more_of_its_sender() -> None:
    async def scenario() -> None:
        async with open_replica(tps=10.0, max_waiting=2) as replica:
            await replica.ask("first")

            async def call(number: int) -> "asyncio.Task[Any]":
                task = asyncio.create_task(replica.ask(f"user{number}"))
                await asyncio.sleep(0.001)
                return task

            calls = [await call(number) for number in range(2)]
            calls[0].cancel()
            more = [await call(number) for number in range(2, 4)]
            assert [task.done() for task in more] == [False, True]
            assert more[1].result().degraded_reason == "budget"
            await asyncio.gather(*calls, *more, return_exceptions=True)

    run_virtual(scenario())
