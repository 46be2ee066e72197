"""Lists that people look at take no slot of the budget that anybody else wants; counted in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.console.spare import MAX_AT_A_TIME, SpareSlots
from service.errors import RecommenderTimeout
from service.lists.ports import Boarding
from service.models import RecommendationQuery
from service.personalize.breaker import FAILURES_TO_OPEN
from tests.support.fakes import FakePersonalize, FakeStore
from tests.support.replica import ARN, Replica, items_for, open_replica
from tests.support.virtual_time import VirtualClock, run_virtual, stall

Scenario = Callable[[Replica, Replica, FakePersonalize], Awaitable[None]]


def two(scenario: Scenario, *, tps: float) -> None:
    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        store, personalize = FakeStore(clock), FakePersonalize(clock)
        personalize.default_items = items_for
        async with (
            open_replica(personalize=personalize, shared=store.replica(), tps=tps) as one,
            open_replica(personalize=personalize, shared=store.replica(), governor=one.governors[ARN]) as other,
        ):
            await scenario(one, other, personalize)

    run_virtual(run())


def query(user: str) -> RecommendationQuery:
    return RecommendationQuery(user, 4)


def test_callers_who_come_later_get_the_slots_for_which_a_page_waits() -> None:
    spent = {}

    def scenario_with(pages: int) -> Scenario:
        async def scenario(one: Replica, other: Replica, personalize: FakePersonalize) -> None:
            await one.ask("first")
            spare = SpareSlots(one.clock)
            looking = [asyncio.create_task(spare.fetch(one.placement, query(f"looked-at{n}"))) for n in range(pages)]
            await asyncio.sleep(0.1)
            await asyncio.gather(*(replica.ask(f"caller{n}") for n in range(4) for replica in (one, other)))
            assert set(await asyncio.gather(*looking)) <= {"no_spare_slot"}
            spent[pages] = dict(personalize.transactions)

        return scenario

    for pages in (0, MAX_AT_A_TIME):
        two(scenario_with(pages), tps=2.0)
    assert spent[MAX_AT_A_TIME] == spent[0] == {"first": 1, "caller0": 1, "caller1": 1}


def test_a_page_has_a_slot_that_nobody_wants_and_fetches_one_list_with_it() -> None:
    async def scenario(one: Replica, other: Replica, personalize: FakePersonalize) -> None:
        spare = SpareSlots(one.clock)
        for number in (1, 2, 3):
            assert await spare.fetch(one.placement, query("looked-at")) == "fetched"
            assert personalize.transactions["looked-at"] == number
            # Every replica has the newest: the one that fetched it, and the one that is asked.
            answers = [await replica.ask("looked-at") for replica in (one, other)]
            assert {answer.source for answer in answers} == {"cache"}
            await asyncio.sleep(1)
        assert personalize.transactions.total() == 3

    two(scenario, tps=5.0)


def test_a_slot_that_is_lost_because_the_loop_stood_still_is_followed_by_the_next() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize) -> None:
        board = one.arm.lists.board
        stalls = iter([0.3, 0.3])

        async def slow_board(*arguments: Any, **more: Any) -> Boarding:  # noqa: ANN401  # handed on
            stall(next(stalls, 0.0))
            return await board(*arguments, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(one.arm.lists, "board", slow_board)
            assert await SpareSlots(one.clock).fetch(one.placement, query("user")) == "fetched"
        assert personalize.transactions.total() == 1

    two(scenario, tps=50.0)


def test_more_pages_than_a_few_are_refused_at_once() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize) -> None:
        spare = SpareSlots(one.clock)
        pages = [spare.fetch(one.placement, query(f"user{n}")) for n in range(3 * MAX_AT_A_TIME)]
        assert (await asyncio.gather(*pages)).count("fetched") == personalize.transactions.total() == MAX_AT_A_TIME
        assert spare.waiting == 0

    two(scenario, tps=50.0)


def test_personalize_is_not_asked_while_it_fails_and_a_failure_is_said() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize) -> None:
        spare = SpareSlots(one.clock)
        personalize.failure = RecommenderTimeout
        for number in range(FAILURES_TO_OPEN):
            assert await spare.fetch(one.placement, query(f"user{number}")) == "failed"
        assert await spare.fetch(one.placement, query("user")) == "breaker"
        assert personalize.transactions.total() == FAILURES_TO_OPEN

    two(scenario, tps=50.0)


def test_where_there_is_no_list_to_ask_for_nothing_is_asked() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize) -> None:
        assert await SpareSlots(one.clock).fetch(one.placement, query("")) == "no_list"
        assert personalize.transactions.total() == 0

    two(scenario, tps=50.0)
