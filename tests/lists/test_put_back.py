"""Which lists are offered to a Redis that is back, and which never again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from service.errors import SharedStateUnavailable
from service.lists.adapters.forgotten import RedisForgotten
from service.lists.adapters.put_back import AT_ONCE, LOST_SECONDS, PutBack
from service.lists.envelope import Envelope, seal
from service.lists.keys import UserKey, UserPrefix
from service.lists.memory import ListMemory
from service.models import ItemList
from tests.support.clocks import MovingClock
from tests.support.fleet import Member, join
from tests.support.redis import RedisServer
from tests.support.waiting import until

pytestmark = pytest.mark.processes

OTHERS = seal(ItemList(("theirs",), "RID-2", 1.0))


def key(number: int) -> UserKey:
    return UserKey(number.to_bytes(8))


class Lists:
    """Where lists are offered; it can be away."""

    def __init__(self) -> None:
        self.offered: list[UserKey] = []
        self.taken_out: list[UserKey] = []
        self.there: dict[UserKey, Envelope] = {}
        self.left = 1_000
        self.refused = 0
        self.on_offer: Callable[[UserKey], None] = lambda _: None

    async def offer(self, key: UserKey, envelope: Envelope) -> Envelope:
        if not self.left:
            self.refused += 1
            raise SharedStateUnavailable
        self.left -= 1
        self.offered.append(key)
        self.on_offer(key)
        return self.there.get(key, envelope)

    async def take_out(self, key: UserKey) -> None:
        if not self.left:
            raise SharedStateUnavailable
        self.taken_out.append(key)


class Stage:
    def __init__(self, member: Member, forgotten: RedisForgotten, clock: MovingClock) -> None:
        self.memory, self.lists, self.clock, self._member = ListMemory(10_000_000), Lists(), clock, member
        self.forgotten = forgotten
        self.put_back = PutBack(member.client, memory=self.memory, forgotten=forgotten, clock=clock)

    def land(self, number: int, *, shared: bool = True) -> None:
        self.memory.put(key(number), seal(ItemList((f"item{number}",), "RID-1", 1.0)))
        self.put_back.note(key(number), self.lists, shared=shared)

    def go(self) -> None:
        self._member.client.mark_down(TimeoutError())

    async def come_back(self) -> None:
        await until(lambda: self._member.client.up)


@asynccontextmanager
async def a_stage(server: RedisServer) -> AsyncIterator[Stage]:
    clock = MovingClock()
    async with (
        # A busy machine must not lose Redis by itself.
        join(server.url, clock, timeout_seconds=10.0) as member,
        RedisForgotten(
            member.client,
            key="pc:{test}:forgotten",
            clock=clock,
            stale_seconds=60.0,
            on_forgotten=lambda _: None,
            on_gap=lambda: None,
        ) as forgotten,
    ):
        stage = Stage(member, forgotten, clock)
        async with stage.put_back:
            yield stage


async def test_what_landed_while_redis_was_away_or_just_before_is_offered(redis_server: RedisServer) -> None:
    async with a_stage(redis_server) as stage:
        stage.land(1)
        stage.clock.moved_seconds += LOST_SECONDS + 1
        stage.land(2)
        stage.go()
        stage.land(3, shared=False)
        stage.clock.moved_seconds += 100
        stage.land(4, shared=False)
        assert stage.lists.offered == []
        await stage.come_back()
        await until(lambda: len(stage.lists.offered) == 3)
        assert sorted(stage.lists.offered) == [key(2), key(3), key(4)]
        assert len(stage.put_back) == 0
        # What lands from now on is safe some seconds later.
        for _ in range(10):
            await asyncio.sleep(0)
        for number in (5, 6):
            stage.land(number)
            assert len(stage.put_back) == 1
            stage.clock.moved_seconds += LOST_SECONDS + 1


async def test_a_list_that_redis_never_had_is_offered_however_often_redis_goes(redis_server: RedisServer) -> None:
    async with a_stage(redis_server) as stage:
        stage.lists.left = 0
        stage.go()
        stage.land(1, shared=False)
        for _ in range(2):
            await stage.come_back()
            stage.clock.moved_seconds += LOST_SECONDS + 1
            stage.go()
        stage.lists.left = 1
        await until(lambda: stage.lists.offered == [key(1)])


async def test_a_list_that_missed_the_return_is_offered_at_once(redis_server: RedisServer) -> None:
    async with a_stage(redis_server) as stage:
        stage.land(1, shared=False)
        await until(lambda: stage.lists.offered == [key(1)])


async def test_a_list_that_was_there_first_takes_the_place_of_ours(redis_server: RedisServer) -> None:
    async with a_stage(redis_server) as stage:
        stage.lists.there[key(1)] = OTHERS
        stage.go()
        stage.land(1, shared=False)
        stage.land(2, shared=False)
        await stage.come_back()
        await until(lambda: stage.memory.get(key(1)) == OTHERS)
        assert stage.memory.get(key(2)) != OTHERS


async def test_nothing_of_a_user_who_was_forgotten_meanwhile_comes_back(redis_server: RedisServer) -> None:
    async with a_stage(redis_server) as stage:
        await stage.forgotten.forget_user(UserPrefix(key(1)))
        stage.go()
        stage.land(1, shared=False)
        stage.land(2, shared=False)
        await stage.come_back()
        await until(lambda: stage.lists.offered == [key(2)])
        assert len(stage.put_back) == 0


async def test_a_list_whose_user_turns_out_to_be_forgotten_is_taken_out_again(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J1: Redis had lost who was forgotten, and who knew it said so a moment after the list was put back."""
    monkeypatch.setattr("service.lists.adapters.put_back.AGAIN_SECONDS", 0.01)
    async with a_stage(redis_server) as stage:
        stage.go()
        for number in (1, 2, 3):
            stage.land(number, shared=False)
        await stage.come_back()
        await until(lambda: len(stage.lists.offered) == 3)

        assert set(stage.put_back.kept_keys()) == {key(1), key(2), key(3)}
        stage.lists.left = 0
        await stage.put_back.forget_user(UserPrefix(key(1)))
        assert stage.lists.taken_out == []
        stage.lists.left = 10
        await until(lambda: stage.lists.taken_out == [key(1)])
        stage.put_back.clear()
        await until(lambda: sorted(stage.lists.taken_out) == [key(1), key(2), key(3)])
        assert list(stage.put_back.kept_keys()) == []


async def test_a_node_that_is_away_is_asked_again(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.lists.adapters.put_back.AGAIN_SECONDS", 0.0)
    async with a_stage(redis_server) as stage:
        stage.lists.left = 0
        stage.land(1, shared=False)
        await until(lambda: stage.lists.refused > 1)
        stage.lists.left = 1
        await until(lambda: stage.lists.offered == [key(1)])


async def test_what_is_left_when_redis_goes_again_is_offered_the_next_time(redis_server: RedisServer) -> None:
    async with a_stage(redis_server) as stage:
        stage.lists.left = AT_ONCE
        stage.go()
        for number in range(3 * AT_ONCE):
            stage.land(number, shared=False)
        await stage.come_back()
        await until(lambda: len(stage.lists.offered) == AT_ONCE)
        stage.go()
        stage.lists.left = 1_000
        await stage.come_back()
        await until(lambda: len(stage.lists.offered) == 3 * AT_ONCE)
        assert sorted(stage.lists.offered) == [key(number) for number in range(3 * AT_ONCE)]


async def test_of_too_many_lists_the_latest_are_offered(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.lists.adapters.put_back.MAX_NOTED", 3)
    async with a_stage(redis_server) as stage:
        stage.go()
        for number in (1, 2, 3, 4, 1, 5):
            stage.land(number, shared=False)
        await stage.come_back()
        await until(lambda: len(stage.put_back) == 0)
        await until(lambda: sorted(stage.lists.offered) == [key(1), key(4), key(5)])


async def test_what_is_forgotten_or_renewed_while_it_is_offered_stays_so(redis_server: RedisServer) -> None:
    async with a_stage(redis_server) as stage:
        new = seal(ItemList(("new",), "RID-3", 1.0))
        stage.lists.there = {key(number): OTHERS for number in (1, 2, 3)}

        def meanwhile(offered: UserKey) -> None:
            if offered == key(1):
                stage.memory.discard(offered)
            elif offered == key(2):
                stage.memory.put(offered, new)

        stage.lists.on_offer = meanwhile
        stage.go()
        for number in (1, 2, 3):
            stage.land(number, shared=False)
        await stage.come_back()
        await until(lambda: stage.memory.get(key(3)) == OTHERS)
        assert [stage.memory.get(key(1)), stage.memory.get(key(2))] == [None, new]
