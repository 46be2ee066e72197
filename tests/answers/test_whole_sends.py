"""Whole sends through the real core, in virtual time."""

import asyncio

import pytest

from service.lists.envelope import Envelope, seal
from service.lists.keys import UserKey, UserPrefix
from service.models import Answer, ItemList
from tests.support.fakes import FakePersonalize, FakeStore
from tests.support.replica import ARN, DEADLINE_SECONDS, ITEMS, Replica, ids_of, open_replica
from tests.support.virtual_time import EPOCH, VirtualClock, run_virtual

pytestmark = pytest.mark.long

Timed = list[tuple[Answer, float]]


async def _message(replicas: list[Replica], user: str, after: float) -> Timed:
    """Three simultaneous calls for one user, each on another replica if there are several."""
    await asyncio.sleep(after)

    async def call(replica: Replica) -> tuple[Answer, float]:
        began = replica.clock.monotonic()
        answer = await replica.ask(user)
        return answer, replica.clock.monotonic() - began

    return list(await asyncio.gather(*(call(replicas[one % len(replicas)]) for one in range(3))))


async def _send(replicas: list[Replica], *, users: int, rate: float) -> list[Timed]:
    return list(
        await asyncio.gather(
            *(_message(replicas, f"user{one}", one / rate) for one in range(users)),
        )
    )


def _complete(messages: list[Timed]) -> None:
    for message in messages:
        for answer, seconds in message:
            assert len(ids_of(answer)) == 10
            assert len(set(ids_of(answer))) == 10
            assert seconds <= DEADLINE_SECONDS


def _agree(messages: list[Timed]) -> None:
    for message in messages:
        assert len({answer.body for answer, _ in message}) == 1


def test_a_send_on_one_replica_fills_every_message_within_the_budget() -> None:
    async def scenario() -> None:
        async with open_replica(tps=5) as replica:
            messages = await _send([replica], users=300, rate=10)
            personalize = replica.personalize
            _complete(messages)
            _agree(messages)
            assert max(personalize.transactions.values()) == 1
            assert personalize.transactions.total() <= 300
            assert personalize.most_starts_in_a_second() <= 6
            # 30 s of a send at 5 TPS, and what is still in the queue after it.
            assert personalize.transactions.total() >= 0.95 * 5 * 30
            live = sum(message[0][0].source == "personalize" for message in messages)
            assert live == personalize.transactions.total()

    run_virtual(scenario())


def test_a_send_on_three_replicas_spends_one_budget() -> None:
    async def scenario() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        personalize = FakePersonalize(clock)
        store = FakeStore(clock)
        async with open_replica(tps=20, personalize=personalize, shared=store.replica()) as one:
            others = {"personalize": personalize, "governor": one.governors[ARN]}
            async with (
                open_replica(**others, shared=store.replica()) as two,  # type: ignore[arg-type]  # two of the keywords
                open_replica(**others, shared=store.replica()) as three,  # type: ignore[arg-type]  # as above
            ):
                messages = await _send([one, two, three], users=900, rate=60)
        _complete(messages)
        _agree(messages)
        assert max(personalize.transactions.values()) == 1
        assert personalize.most_starts_in_a_second() <= 21
        assert personalize.transactions.total() >= 0.95 * 20 * 15

    run_virtual(scenario())


def test_a_thousand_calls_for_one_user_cost_one_transaction() -> None:
    async def scenario() -> None:
        async with open_replica() as replica:
            answers = await asyncio.gather(*(replica.ask("one") for _ in range(1000)))
            assert replica.personalize.transactions.total() == 1
            assert len({answer.body for answer in answers}) == 1

    run_virtual(scenario())


class EverybodysBatch:
    """A batch with the same list for everybody."""

    def __init__(self) -> None:
        self.envelope = seal(ItemList(ITEMS[:25], "", EPOCH))

    async def get(self, key: UserKey) -> Envelope | None:
        del key
        await asyncio.sleep(0.001)
        return self.envelope

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        raise NotImplementedError(user_prefix)


def test_a_send_ten_times_the_tps_to_users_of_a_batch_is_personalised_throughout() -> None:
    async def scenario() -> None:
        async with open_replica(tps=5, batch=EverybodysBatch()) as replica:
            messages = await _send([replica], users=300, rate=50)
            _complete(messages)
            _agree(messages)
            assert {answer.source for message in messages for answer, _ in message} == {"personalize", "batch"}
            assert replica.personalize.most_starts_in_a_second() <= 6
            assert max(replica.personalize.transactions.values()) == 1

    run_virtual(scenario())


def test_a_send_with_the_store_away_for_six_seconds_is_still_filled() -> None:
    async def scenario() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        store = FakeStore(clock)
        async with open_replica(tps=20, shared=store.replica()) as replica:

            async def outage() -> None:
                await asyncio.sleep(4)
                store.down = True
                await asyncio.sleep(6)
                store.down = False

            _, messages = await asyncio.gather(outage(), _send([replica], users=300, rate=20))
            _complete(messages)
            assert replica.personalize.most_starts_in_a_second() <= 21
            live = [message[0][0].source == "personalize" for message in messages]
            assert sum(live) >= 0.95 * 300

    run_virtual(scenario())


def test_a_send_with_calls_that_hang_for_six_seconds_is_still_filled_and_recovers() -> None:
    async def scenario() -> None:
        async with open_replica(tps=20) as replica:

            async def fault() -> None:
                await asyncio.sleep(4)
                replica.personalize.failure = "hang"
                await asyncio.sleep(6)
                replica.personalize.failure = None

            _, messages = await asyncio.gather(fault(), _send([replica], users=400, rate=20))
            _complete(messages)
            _agree(messages)
            live = [message[0][0].source == "personalize" for message in messages]
            assert all(live[:70])
            # The fault ends after 10 s, at user 200; personalised again within 6 s.
            assert sum(live[320:]) >= 0.95 * 80

    run_virtual(scenario())
