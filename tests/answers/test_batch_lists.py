"""Lists that a batch made, in the place of a live one that cannot be had."""

import asyncio

import pytest

from service.errors import RecommenderTimeout, SharedStateUnavailable
from service.lists.envelope import Envelope, seal
from service.lists.keys import UserKey, UserPrefix
from service.models import ItemList
from tests.support.fakes import HANG
from tests.support.replica import DEADLINE_SECONDS, ITEMS, STALE_SECONDS, Replica, ids_of, key_of, open_replica
from tests.support.virtual_time import EPOCH, run_virtual

BATCH_ITEMS = tuple(reversed(ITEMS))[:25]
KEY = key_of("user")


class FakeBatch:
    """Lists by key; counts the look-ups."""

    def __init__(self, made_at: float = EPOCH, seconds: float = 0.0) -> None:
        self.lists = {KEY: seal(ItemList(BATCH_ITEMS, "", made_at))}
        self.seconds = seconds
        self.look_ups = 0
        self.down = False

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        pass

    async def get(self, key: UserKey) -> Envelope | None:
        self.look_ups += 1
        await asyncio.sleep(self.seconds)
        if self.down:
            raise SharedStateUnavailable
        return self.lists.get(key)

    async def forget(self, user_prefix: bytes) -> None:
        raise NotImplementedError(user_prefix)


async def after(replica: Replica, seconds: float) -> None:
    await asyncio.sleep(seconds)
    replica.personalize.failure = RecommenderTimeout


@pytest.mark.parametrize("failure", [RecommenderTimeout, HANG])
def test_without_a_live_list_the_batch_list_is_shown_within_the_deadline(failure: str | type[Exception]) -> None:
    async def scenario() -> None:
        batch = FakeBatch()
        async with open_replica(batch=batch) as replica:
            replica.personalize.failure = failure
            began = replica.clock.monotonic()
            answers = await asyncio.gather(*(replica.ask() for _ in range(3)))
            assert replica.clock.monotonic() - began <= DEADLINE_SECONDS
            for answer in answers:
                assert (answer.source, answer.degraded_reason) == ("batch", "timeout")
                assert ids_of(answer) == list(BATCH_ITEMS[:10])

    run_virtual(scenario())


def test_a_live_list_and_a_fresh_one_cost_no_look_up() -> None:
    async def scenario() -> None:
        batch = FakeBatch()
        async with open_replica(batch=batch) as replica:
            assert [(await replica.ask()).source for _ in range(3)] == ["personalize", "cache", "cache"]
            assert batch.look_ups == 0

    run_virtual(scenario())


@pytest.mark.parametrize(("made_after", "source"), [(-3600.0, "stale"), (3600.0, "batch")])
def test_of_a_stale_and_a_batch_list_the_newer_one_is_shown(made_after: float, source: str) -> None:
    async def scenario() -> None:
        async with open_replica(batch=(batch := FakeBatch())) as replica:
            await replica.ask()
            batch.lists[KEY] = seal(ItemList(BATCH_ITEMS, "", replica.clock.time() + made_after))
            await after(replica, 7200)
            answer = await replica.ask()
            assert answer.source == source

    run_virtual(scenario())


def test_a_batch_list_past_the_stale_horizon_is_not_shown() -> None:
    async def scenario() -> None:
        async with open_replica(batch=FakeBatch()) as replica:
            await after(replica, STALE_SECONDS)
            assert (await replica.ask()).source == "popular"

    run_virtual(scenario())


@pytest.mark.parametrize(("seconds", "down"), [(0.0, True), (60.0, False)])
def test_a_store_that_is_down_or_hangs_costs_no_answer_and_no_deadline(seconds: float, down: bool) -> None:  # noqa: FBT001  # a parameter of the test
    async def scenario() -> None:
        batch = FakeBatch(seconds=seconds)
        batch.down = down
        async with open_replica(batch=batch) as replica:
            for failure in (RecommenderTimeout, HANG):
                replica.personalize.failure = failure
                began = replica.clock.monotonic()
                answer = await replica.ask(str(failure))
                assert answer.source == "popular"
                assert replica.clock.monotonic() - began <= DEADLINE_SECONDS

    run_virtual(scenario())
