"""One message, one list: what its parts show, on whichever replica they are called."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.constants import PIN_SECONDS
from service.errors import RecommenderError
from service.models import Answer
from tests.support.fakes import HANG, FakePersonalize, FakeStore
from tests.support.replica import ARN, Replica, items_for, open_replica
from tests.support.virtual_time import VirtualClock, run_virtual

Scenario = Callable[[list[Replica], FakePersonalize, FakeStore], Awaitable[None]]


def three(scenario: Scenario) -> None:
    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        store, personalize = FakeStore(clock), FakePersonalize(clock)
        personalize.default_items = items_for
        async with (
            open_replica(personalize=personalize, shared=store.replica()) as one,
            open_replica(personalize=personalize, shared=store.replica(), governor=one.governors[ARN]) as two,
            open_replica(personalize=personalize, shared=store.replica(), governor=one.governors[ARN]) as three,
        ):
            await scenario([one, two, three], personalize, store)

    run_virtual(run())


def agree(*answers: Answer) -> None:
    assert len({answer.body for answer in answers}) == 1, [(one.source, one.degraded_reason) for one in answers]


async def _after(seconds: float, asking: Awaitable[Answer]) -> Answer:
    await asyncio.sleep(seconds)
    return await asking


@pytest.mark.parametrize("short", [0, 1, 2])
@pytest.mark.parametrize("leader", [0, 1])
def test_a_part_that_ran_out_of_time_decides_for_the_parts_on_every_replica(short: int, leader: int) -> None:
    """K5."""

    async def scenario(replicas: list[Replica], personalize: FakePersonalize, _: FakeStore) -> None:
        personalize.latency_seconds = 0.5
        answers = await asyncio.gather(
            *(
                _after(0.0 if number == leader else 0.01, replica.ask(within=0.3 if number == short else 1.4))
                for number, replica in enumerate(replicas)
            )
        )
        agree(*answers)
        assert {answer.degraded_reason for answer in answers} == {"timeout"}
        assert personalize.transactions.total() == 1
        await asyncio.sleep(1)
        agree(answers[0], *[await replica.ask() for replica in replicas])
        await asyncio.sleep(PIN_SECONDS)
        assert {(await replica.ask()).source for replica in replicas} == {"cache"}

    three(scenario)


@pytest.mark.parametrize("short", [0, 1])
def test_a_part_whose_time_is_over_in_any_moment_agrees_with_the_others(short: int) -> None:
    """K5. The list lands 0.5 s after the call, and so do the others' answers; they pass each other on the way."""

    async def scenario(replicas: list[Replica], personalize: FakePersonalize, _: FakeStore) -> None:
        personalize.latency_seconds = 0.5
        shown = set()
        for step in range(120):
            within = 0.55 + step * 0.0005
            answers = await asyncio.gather(
                *(
                    replica.ask(f"user{step}", within=within if number == short else 1.4)
                    for number, replica in enumerate(replicas)
                )
            )
            agree(*answers)
            shown.add(answers[short].source)
        assert shown == {"popular", "personalize", "cache"} if short else {"popular", "personalize"}

    three(scenario)


def test_parts_that_ran_out_of_time_on_two_replicas_agree() -> None:
    """K5: what they can show differs, since one knows an older list."""

    async def scenario(replicas: list[Replica], personalize: FakePersonalize, store: FakeStore) -> None:
        one, two, _ = replicas
        await one.ask()
        store.lists.clear()
        await asyncio.sleep(1000)
        personalize.failure = HANG
        agree(*await asyncio.gather(one.ask(within=0.4), two.ask(within=0.4)))
        await asyncio.sleep(2)
        agree(await one.ask(), await two.ask())

    three(scenario)


def test_without_the_store_every_part_is_answered_and_those_of_one_replica_agree() -> None:
    async def scenario(replicas: list[Replica], personalize: FakePersonalize, store: FakeStore) -> None:
        personalize.latency_seconds = 0.5
        store.down = True
        for replica in replicas:
            short, long = await asyncio.gather(replica.ask(within=0.3), replica.ask())
            agree(short, long)
            assert short.degraded_reason == "timeout"

    three(scenario)


def test_a_store_that_is_slow_to_say_what_was_answered_costs_no_deadline() -> None:
    """K5."""

    async def scenario(replicas: list[Replica], personalize: FakePersonalize, store: FakeStore) -> None:
        personalize.latency_seconds = 0.3
        asking = asyncio.gather(*(replica.ask(within=0.5) for replica in replicas))
        await asyncio.sleep(0.2)
        store.delay_seconds = 2.0
        began = replicas[0].clock.monotonic()
        answers = await asking
        assert replicas[0].clock.monotonic() - began <= 0.3
        assert {len(answer.body) > 2 for answer in answers} == {True}
        await asyncio.sleep(5)

    three(scenario)


@pytest.mark.parametrize("asked_after", [0.0, 0.02, 2.0, PIN_SECONDS - 0.1])
def test_a_pin_lasts_five_seconds_from_the_answer_on_every_replica(asked_after: float) -> None:
    """K6. The others learn of it as followers, or from the store."""

    async def scenario(replicas: list[Replica], personalize: FakePersonalize, _: FakeStore) -> None:
        personalize.failure = RecommenderError
        one, two, three = replicas
        first, second = await asyncio.gather(one.ask(), _after(asked_after, two.ask()))
        agree(first, second)
        await asyncio.sleep(PIN_SECONDS - 0.1 - asked_after + (0.01 if asked_after else 0))
        agree(first, await three.ask())
        personalize.failure = None
        await asyncio.sleep(0.2)
        answers = await asyncio.gather(*(replica.ask() for replica in replicas))
        assert {answer.source for answer in answers} == {"personalize"}

    three(scenario)


@pytest.mark.parametrize("deadline", [0.1, 0.15, 0.3, 1.5])
def test_the_shortest_deadline_that_is_allowed_serves_live_lists(deadline: float) -> None:
    """K8."""

    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        store = FakeStore(clock, delay_seconds=0.002)
        async with open_replica(tps=20, shared=store.replica(), deadline_seconds=deadline) as replica:
            replica.personalize.latency_seconds = 0.03
            for number in range(20):
                assert (await replica.ask(f"user{number}", within=deadline)).source == "personalize"
                await asyncio.sleep(0.05)
            replica.personalize.failure = HANG
            for failure in (RecommenderError, HANG):
                replica.personalize.failure = failure
                began = clock.monotonic()
                assert (await replica.ask(str(failure), within=deadline)).source == "popular"
                assert clock.monotonic() - began <= deadline

    run_virtual(run())
