"""Both stores of events: nothing that was accepted goes, and nothing is sent by two at once."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.errors import SharedStateFull
from service.events.adapters.redis import RedisEventStore
from service.events.adapters.sqlite import SqliteEventStore
from service.events.event import Event
from service.events.known import MAX_OF_A_TYPE
from service.events.ports import EventStore
from service.lists.keys import UserPrefix
from tests.support.fleet import join
from tests.support.redis import RedisServer
from tests.support.waiting import until

ANN = UserPrefix(b"ann-----")
BOB = UserPrefix(b"bob\n\0\xff--")
MAX = 300

pytestmark = pytest.mark.processes

OpenStore = Callable[[], Awaitable[EventStore]]


def event(number: int, *, kind: str = "View", item: str = "", at: float | None = None, **more: object) -> Event:
    # Years apart from now, so that nothing here depends on the clock.
    moment = 1_700_000_000.0 + number if at is None else at
    return Event(kind, "ann", "s", moment, f"{kind}{item}{number}", item or f"item-{number}", **more)  # type: ignore[arg-type]


@pytest.fixture(params=["a file", "Redis"])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Opens one process's way to the same store."""
    async with AsyncExitStack() as stack:
        if request.param == "a file":

            async def in_a_file() -> EventStore:
                store = SqliteEventStore(tmp_path, clock=SystemClock(), sends_on=True, max_waiting=MAX)
                stack.push_async_callback(store.close)
                return store

            yield in_a_file
            return
        server = stack.enter_context(RedisServer())

        async def in_redis() -> EventStore:
            member = await stack.enter_async_context(join(server.url, SystemClock()))
            return RedisEventStore(
                member.client,
                prefix="pc:{test}",
                replica=member.heartbeat.replica,
                clock=SystemClock(),
                sends_on=True,
                keep_seconds=0,
                max_waiting=MAX,
                claim_seconds=0.3,
            )

        yield in_redis


async def test_an_event_is_kept_once_and_known_with_the_latest_time_of_its_item(open_store: OpenStore) -> None:
    store = await open_store()
    twice = event(1, item="6579c22f-be2b-444c-a52b-0116dd82df6c", at=1_700_000_100.0)
    older = event(2, item=twice.item_id, at=1_700_000_050.0)
    other = event(3, kind="Küche", item="ü" * 200, at=1_700_000_001.0)
    assert await store.accept([(ANN, twice), (BOB, twice), (ANN, older), (ANN, other)]) == [True, False, True, True]
    assert [(one.event_type, one.item_id, one.at) for one in await store.known(ANN)] == [
        ("Küche", "ü" * 200, 1_700_000_001.0),
        ("View", twice.item_id, 1_700_000_100.0),
    ]
    assert await store.known(BOB) == []
    # Another process has to look the names up.
    assert await (await open_store()).known(ANN) == await store.known(ANN)


async def test_ids_of_events_stay_few_in_redis_however_many_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.events.adapters.redis.MAX_SEEN_OF_A_SET", 2)
    monkeypatch.setattr("service.events.adapters.redis._seen", lambda event_id: "00ff" + event_id.rpartition("-")[2])
    with RedisServer() as server:
        async with join(server.url, SystemClock()) as member:
            store = RedisEventStore(
                member.client, prefix="pc:{test}", replica="r", clock=SystemClock(), sends_on=True, keep_seconds=0
            )
            assert all(await store.accept([(ANN, event(number, item="item-")) for number in range(10)]))
            [ids] = server.ask("KEYS", "pc:{test}:seen:*")
            assert ids.endswith(b":00ff")
            assert (server.ask("SCARD", ids), server.ask("OBJECT", "ENCODING", ids)) == (2, b"intset")
            # The latest is among those that are remembered.
            assert await store.accept([(ANN, event(9, item="item-"))]) == [False]


async def test_the_latest_hundred_of_a_type_are_known_in_whatever_order_they_come(open_store: OpenStore) -> None:
    store = await open_store()
    await store.accept([(ANN, event(number)) for number in (*range(100, 200), *range(100))])
    await store.accept([(ANN, event(1, kind="Purchase"))])
    views = [one.item_id for one in await store.known(ANN) if one.event_type == "View"]
    assert views == [f"item-{number}" for number in range(200 - MAX_OF_A_TYPE, 200)]
    assert len(await store.known(ANN)) == MAX_OF_A_TYPE + 1


async def test_a_refund_leaves_nothing_of_its_item(open_store: OpenStore) -> None:
    store = await open_store()
    await store.accept([(ANN, event(1)), (ANN, event(2, item="item-1", lifts=True))])
    assert await store.known(ANN) == []
    assert [one.event.event_id for one in await store.claim(10)] == [event(1).event_id]


async def test_what_is_only_known_is_not_sent_on(open_store: OpenStore) -> None:
    store = await open_store()
    await store.accept([(ANN, event(1, known_only=True)), (ANN, event(2))])
    assert len(await store.known(ANN)) == 2
    assert [one.event.item_id for one in await store.claim(10)] == ["item-2"]


async def test_a_full_store_accepts_nothing_and_loses_nothing(open_store: OpenStore) -> None:
    store = await open_store()
    assert all(await store.accept([(ANN, event(number)) for number in range(MAX)]))
    with pytest.raises(SharedStateFull, match="300 events wait"):
        await store.accept([(ANN, event(MAX))])
    if isinstance(store, RedisEventStore):
        await store.trim(0)
    assert (await store.backlog()).waiting == MAX
    sent = [one.number for one in await store.claim(MAX)]
    await store.done(sent)
    if isinstance(store, RedisEventStore):
        await store.trim(0)
        # Redis lets go of whole blocks of 100 entries.
        assert await store.accept([(ANN, event(MAX))]) == [True]
    assert await store.accept([(ANN, event(MAX + 1))]) == [True]


async def test_what_was_not_sent_outlives_every_trim_also_when_claimed(open_store: OpenStore) -> None:
    store = await open_store()
    await store.accept([(ANN, event(number)) for number in range(250)])
    claimed = await store.claim(150)
    await store.done([one.number for one in claimed[1:]])
    if isinstance(store, RedisEventStore):
        await store.trim(0)
    await store.again([claimed[0].number], 0)
    found: dict[str, str] = {}

    async def all_are_there() -> bool:
        found.update((one.number, one.event.item_id) for one in await store.claim(MAX))
        return len(found) == 101

    await until(all_are_there)
    assert set(found.values()) == {"item-0", *(f"item-{number}" for number in range(150, 250))}


async def test_what_a_dead_process_had_claimed_goes_to_another_and_to_nobody_before(open_store: OpenStore) -> None:
    dead = await open_store()
    await dead.accept([(ANN, event(number)) for number in range(3)])
    began = time.monotonic()
    assert len(await dead.claim(10)) == 3
    other = await open_store()
    if isinstance(other, SqliteEventStore):
        assert await other.claim(10) == []
        await other.release()
        assert len(await other.claim(10)) == 3
        return

    async def taken_over() -> bool:
        return len(await other.claim(10)) == 3

    await until(taken_over)
    assert time.monotonic() - began >= 0.3


async def test_what_was_put_aside_waits_again_when_asked_and_goes_with_its_user(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than are looked through at a time; a forgotten user's event was kept aside in Redis, and sent on later."""
    monkeypatch.setattr("service.events.adapters.redis.SEARCHED_AT_ONCE", 2)
    store = await open_store()
    await store.accept([(BOB if number % 3 == 0 else ANN, event(number)) for number in range(7)])
    for one in await store.claim(10):
        await store.aside(one.number, "refused")
    assert (await store.backlog()).aside == 7
    await store.forget_user(BOB)
    assert (await store.backlog()).aside == 4
    assert await store.retry() == 4
    assert sorted(one.event.item_id for one in await store.claim(10)) == [f"item-{number}" for number in (1, 2, 4, 5)]
    assert (await store.backlog()).aside == 0
