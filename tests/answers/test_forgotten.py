"""A user is forgotten while something of theirs is under way: nothing is kept, repeated or queued afterwards."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.constants import PIN_SECONDS
from service.errors import RecommenderError
from service.models import RecommendationQuery
from service.settings.placements import PlacementTerms
from tests.support.fakes import FakePersonalize, FakeStore
from tests.support.replica import ARN, DEADLINE_SECONDS, FRESH_SECONDS, Replica, ids_of, key_of, open_replica
from tests.support.virtual_time import VirtualClock, run_virtual

Scenario = Callable[[Replica, FakeStore], Awaitable[None]]


def play(scenario: Scenario, *, tps: float = 5.0) -> None:
    async def run() -> None:
        store = FakeStore(VirtualClock(asyncio.get_running_loop()), fresh_seconds=FRESH_SECONDS)
        async with open_replica(shared=store.replica(), tps=tps) as replica:
            await scenario(replica, store)

    run_virtual(run())


async def forget_within(replica: Replica, seconds: float) -> None:
    """Forget the user while their call is under way."""
    call = asyncio.create_task(replica.ask())
    await asyncio.sleep(seconds)
    await replica.forgetting.forget("user")
    assert len(ids_of(await call)) == 10
    await asyncio.sleep(0.1)


@pytest.mark.parametrize("failure", [None, RecommenderError], ids=["a list", "a degraded answer"])
def test_what_comes_for_a_user_forgotten_meanwhile_is_kept_nowhere(failure: type[Exception] | None) -> None:
    async def scenario(replica: Replica, store: FakeStore) -> None:
        replica.personalize.latency_seconds, replica.personalize.failure = 0.5, failure
        await forget_within(replica, 0.3)
        assert key_of("user") not in store.lists
        assert key_of("user") not in store.pins
        assert not store.leases
        assert replica.local.get(key_of("user")) is None
        assert replica.pins.get(key_of("user")) is None

    play(scenario)


def test_a_user_forgotten_meanwhile_is_not_queued_for_a_refresh() -> None:
    async def scenario(replica: Replica, _: FakeStore) -> None:
        await replica.ask()
        await asyncio.sleep(FRESH_SECONDS + 1)
        # The list is stale, the transaction fails, and the list would be renewed later.
        replica.personalize.latency_seconds, replica.personalize.failure = 0.5, RecommenderError
        await forget_within(replica, 0.3)
        assert len(replica.refresher) == 0
        replica.personalize.failure = None
        await asyncio.sleep(10)
        assert replica.personalize.transactions["user"] == 2

    play(scenario)


def test_a_refresh_that_waits_ends_with_its_user() -> None:
    async def scenario(replica: Replica, _: FakeStore) -> None:
        await replica.ask()
        await replica.ask("other")
        await asyncio.sleep(FRESH_SECONDS + 1)
        replica.personalize.failure = RecommenderError
        await replica.ask()
        await replica.ask("other")
        # The budget is spent by others, so both wait.
        replica.personalize.failure = None
        await asyncio.gather(*(replica.ask(f"new{number}") for number in range(5)))
        before = replica.personalize.transactions.copy()
        await replica.forgetting.forget("user")
        await asyncio.sleep(20)
        made = replica.personalize.transactions - before
        assert made == {"other": 1}

    play(scenario, tps=1.0)


def test_a_fallbacks_list_is_not_repeated_to_a_user_who_was_forgotten() -> None:
    similar = "arn:aws:personalize:us-east-1:000000000000:campaign/similar"
    placements = {
        "for-you": PlacementTerms(campaign_arn=ARN, tps=50.0),
        "similar": PlacementTerms(kind="similar-items", campaign_arn=similar, tps=50.0, fallback=["for-you"]),
    }

    async def run() -> None:
        async with open_replica(placements=placements) as replica:
            await replica.ask("ann")
            replica.personalize.failure = RecommenderError
            query = RecommendationQuery("ann", 10, kind="similar-items", item_id="item7")
            assert (await replica.answer(query)).placement == "for-you"
            await replica.forgetting.forget("ann")
            assert (await replica.answer(query)).placement == "similar"

    run_virtual(run())


def test_a_fresh_list_is_no_answer_while_a_degraded_one_is_repeated() -> None:
    """The parts of a message agree: one ran out of time, and the list came after it."""

    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        personalize = FakePersonalize(clock, latency_seconds=0.8)
        async with open_replica(personalize=personalize) as replica:
            late = await replica.ask(within=0.5)
            assert late.degraded_reason == "timeout"
            await asyncio.sleep(DEADLINE_SECONDS)
            assert replica.local.get(key_of("user")) is not None
            assert replica.arm.lists.fresh(key_of("user")) is None
            assert ids_of(await replica.ask()) == ids_of(late)
            await asyncio.sleep(PIN_SECONDS)
            assert replica.arm.lists.fresh(key_of("user")) is not None
            assert (await replica.ask()).source == "cache"

    run_virtual(run())
