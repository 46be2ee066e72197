"""Replicas agree on flights, pins and lists while Redis is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import pytest

from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.lists.adapters.linked import LinkedLists
from service.lists.envelope import Envelope, seal
from service.lists.keys import KEY_BYTES, UserKey, prefix_of
from service.lists.ports import Outcome
from service.models import ItemList
from service.settings import Settings, load
from service.wiring.campaign import Stores
from service.wiring.names import freshness
from service.wiring.replica import _open_stores
from service.wiring.shared import SharedState
from tests.support.redis import RedisServer, let_newcomers_in
from tests.support.replica import ARN
from tests.support.waiting import until

LEASE_SECONDS = 30.0
BUDGET = Outcome(None, "popular", "budget")
TIMEOUT = Outcome(None, "popular", "timeout")


class Silent:
    """A `ListsRecorder` that keeps nothing."""

    def lists_event(self, event: str) -> None:
        del event


@dataclass
class Replica:
    stores: Stores
    shared: SharedState
    lists: LinkedLists

    @property
    def is_up(self) -> bool:
        return self.shared.redis_up() == 1

    @property
    def links(self) -> Any:  # noqa: ANN401  # its Links
        return self.lists._owners._links

    async def leads(self, key: UserKey) -> bool:
        return (await self.lists.board(key, lease_seconds=LEASE_SECONDS)).leader

    async def fetched(self, key: UserKey, clock: Clock) -> Envelope:
        """Lead a flight to its end."""
        assert await self.leads(key)
        envelope = made(clock)
        self.stores.memory.put(key, envelope)
        await self.lists.land(key, Outcome(envelope, "personalize"), led=True)
        self.lists.note(key, shared=self.is_up)
        return envelope


def made(clock: Clock) -> Envelope:
    return seal(ItemList(("item1", "item2"), "recommendation", clock.time()))


@pytest.fixture
async def replicas(
    redis_server: RedisServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Replica, Replica]]:
    let_newcomers_in(monkeypatch)
    monkeypatch.setattr("service.fleet.links.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("service.fleet.links.AGAIN_SECONDS", 0.02)
    settings = load(
        Settings,
        None,
        personalize_campaign_arn=ARN,
        redis_url=redis_server.url,
        catalog_url="file:///none.csv",
        allow_anonymous=True,
    )
    recorder: Any = Silent()
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(2):
            stores, shared = await _open_stores(settings, clock, recorder, stack)
            lists = shared.lists_of(freshness(settings))
            assert isinstance(lists, LinkedLists)
            found.append(Replica(stores, shared, lists))
        one, two = found
        await until(lambda: bool(one.links.linked and two.links.linked))
        yield one, two


@pytest.fixture
def keys(replicas: tuple[Replica, Replica]) -> list[UserKey]:
    """Of the first replica, and of the second one."""
    one, two = replicas
    some = [UserKey(blake2b(b"%d" % number, digest_size=KEY_BYTES).digest()) for number in range(64)]
    return [next(key for key in some if one.links.owner_of(key) == each.links.replica) for each in (one, two)]


async def cut_off(server: RedisServer, *replicas: Replica) -> None:
    server.kill()
    await until(lambda: not any(one.is_up for one in replicas))


async def test_of_two_replicas_without_redis_one_leads_and_the_other_gets_its_list(
    replicas: tuple[Replica, Replica], keys: list[UserKey], redis_server: RedisServer, clock: Clock
) -> None:
    """One transaction a user, whichever replica owns the key."""
    one, two = replicas
    await cut_off(redis_server, one, two)
    for key in keys:
        assert await one.leads(key)
        async with two.lists.follow(key) as landing:
            boarding = await two.lists.board(key, lease_seconds=LEASE_SECONDS)
            assert not boarding.leader
            assert 0 < boarding.lease_seconds <= LEASE_SECONDS
            outcome = Outcome(made(clock), "personalize")
            landed = await one.lists.land(key, outcome, led=True)
            assert (landed.outcome, landed.shared) == (outcome, False)
            assert await landing.wait(5) == outcome
        assert (await two.lists.board(key, lease_seconds=LEASE_SECONDS)).envelope == outcome.envelope
        assert not await two.leads(key)


async def test_a_flight_begun_through_redis_is_followed_when_redis_is_lost(
    replicas: tuple[Replica, Replica], keys: list[UserKey], redis_server: RedisServer
) -> None:
    one, two = replicas
    for key in keys:
        assert await one.leads(key)
    await cut_off(redis_server, one, two)
    for key in keys:
        async with two.lists.follow(key) as landing:
            assert not await two.leads(key)
            await one.lists.land(key, BUDGET, led=True)
            assert await landing.wait(5) == BUDGET


async def test_who_follows_when_redis_is_lost_boards_again(
    replicas: tuple[Replica, Replica], keys: list[UserKey], redis_server: RedisServer
) -> None:
    one, two = replicas
    assert await one.leads(keys[0])
    async with two.lists.follow(keys[0]) as landing:
        assert not await two.leads(keys[0])
        waiting = asyncio.create_task(landing.wait(30))
        await cut_off(redis_server, one, two)
        ended = await waiting
    assert ended is not None
    assert ended.source == "none"


async def test_a_list_that_landed_in_redis_just_before_costs_no_second_transaction(
    replicas: tuple[Replica, Replica], keys: list[UserKey], redis_server: RedisServer, clock: Clock
) -> None:
    one, two = replicas
    kept = [await one.fetched(key, clock) for key in keys]
    await cut_off(redis_server, one, two)
    for key, envelope in zip(keys, kept, strict=True):
        boarding = await two.lists.board(key, lease_seconds=LEASE_SECONDS)
        assert (boarding.leader, boarding.envelope) == (False, envelope)


async def test_the_first_degraded_answer_is_that_of_all_replicas(
    replicas: tuple[Replica, Replica], keys: list[UserKey], redis_server: RedisServer, clock: Clock
) -> None:
    """Parts of a message agree without Redis."""
    one, two = replicas
    await cut_off(redis_server, one, two)
    for key in keys:
        assert (await one.lists.land(key, BUDGET, led=False)).outcome == BUDGET
        assert (await two.lists.land(key, TIMEOUT, led=False)).outcome == BUDGET
        live = Outcome(made(clock), "personalize")
        assert (await two.lists.land(key, live, led=True)).outcome == BUDGET
        assert (await one.lists.board(key, lease_seconds=LEASE_SECONDS)).pinned == BUDGET
        for replica in replicas:
            await replica.stores.forgetting._forget_here(prefix_of(key))
        assert (await one.lists.board(key, lease_seconds=LEASE_SECONDS)).pinned is None


async def test_a_list_that_was_there_before_takes_the_place_of_a_degraded_answer(
    replicas: tuple[Replica, Replica], keys: list[UserKey], redis_server: RedisServer, clock: Clock
) -> None:
    one, two = replicas
    await cut_off(redis_server, one, two)
    for key in keys:
        envelope = await one.fetched(key, clock)
        assert (await two.lists.land(key, TIMEOUT, led=False)).outcome == Outcome(envelope, "cache")


async def test_without_the_owner_a_replica_is_by_itself(
    replicas: tuple[Replica, Replica], keys: list[UserKey], redis_server: RedisServer
) -> None:
    one, two = replicas
    await cut_off(redis_server, one, two)
    await two.links.__aexit__()
    await until(lambda: not one.links.linked)
    with pytest.raises(SharedStateUnavailable):
        await one.leads(keys[1])


async def test_owners_decide_until_everybody_has_found_redis_again(
    replicas: tuple[Replica, Replica], keys: list[UserKey], redis_server: RedisServer, clock: Clock
) -> None:
    """A list that landed with an owner is in Redis too when owners are asked no more."""
    one, two = replicas
    await cut_off(redis_server, one, two)
    envelope = await one.fetched(keys[1], clock)
    assert await one.leads(keys[0])
    redis_server.start()
    await until(lambda: one.is_up and two.is_up)
    assert not await two.leads(keys[0])
    assert not await two.leads(keys[1])

    async def put_back() -> bool:
        return await two.lists.look(keys[1]) == envelope

    await until(put_back)


async def test_a_replica_in_touch_hears_what_one_that_is_cut_off_leads_and_takes_no_list_of_it(
    replicas: tuple[Replica, Replica], keys: list[UserKey], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may not know yet who was forgotten."""
    monkeypatch.setattr("service.lists.adapters.owners.HEARD_SECONDS", 0.0)
    one, two = replicas
    assert await one.leads(keys[1])
    landed = next(
        key
        for number in range(256)
        if two.links.owner_of(key := UserKey(keys[1][:-1] + bytes([number]))) == two.links.replica and key != keys[1]
    )
    await one.fetched(landed, clock)
    client = one.lists._redis._client
    monkeypatch.setattr(client, "mark_up", lambda: None)
    monkeypatch.setattr(client, "up", False)
    owners = two.lists._owners
    owners.begin()
    await owners._named()
    assert not owners._owned.board(
        keys[1], two.lists._fresh(keys[1]), lease_seconds=1.0, renew=False, who=b"another"
    ).leader
    assert two.stores.memory.get(landed) is None
    # The other way round: what one in touch leads, an owner that is cut off knows, and gives it no list.
    mine = await one.fetched(keys[0], clock)
    other_key = next(
        key
        for number in range(256)
        if one.links.owner_of(key := UserKey(keys[0][:-1] + bytes([number]))) == one.links.replica and key != keys[0]
    )
    assert await two.leads(other_key)
    assert not (await one.lists.board(other_key, lease_seconds=LEASE_SECONDS)).leader
    given = await two.lists._owners.board(keys[0], two.lists._fresh(keys[0]), lease_seconds=1.0, renew=False)
    assert given.envelope is None
    assert mine


async def test_replicas_that_ask_each_other_go_back_to_redis(
    replicas: tuple[Replica, Replica], keys: list[UserKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question would have put the end off."""
    one, two = (replica.lists._owners for replica in replicas)
    now = one._clock.monotonic()
    monkeypatch.setattr(one._clock, "monotonic", lambda: now)
    one.begin()
    until_one = one._until
    ages = replicas[0].lists._fresh(keys[0])
    for _ in range(20):
        await one.board(keys[1], ages, lease_seconds=1.0, renew=False)
        await two.board(keys[0], ages, lease_seconds=1.0, renew=False)
    assert one._until == until_one
    assert two.decide()
    assert two._until <= until_one
    monkeypatch.setattr(one._clock, "monotonic", lambda: until_one)
    assert not one.decide()
    assert not two.decide()
