"""What stands in Redis of events, and how long; what a replica hears of others, and what it does with odd entries."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from service.clock import Clock, SystemClock
from service.events.adapters import redis as adapter
from service.events.adapters.known_codec import digest_of
from service.events.adapters.redis import RedisEventStore
from service.events.event import Event
from service.events.ports import KnownEvent
from service.events.traits import traits_of
from service.lists.keys import UserPrefix
from tests.support.clocks import StandingClock
from tests.support.fleet import join
from tests.support.redis import RedisServer
from tests.support.waiting import until

ANN, BOB = UserPrefix(b"ann-----"), UserPrefix(b"bob-----")
DAY = 86_400
AT = 1_700_000_000.0

pytestmark = pytest.mark.processes


def event(name: str, *, lifts: bool = False, known_only: bool = False, item: str | None = None) -> Event:
    return Event("View", "ann", "s", AT, name, name if item is None else item, lifts=lifts, known_only=known_only)


@dataclass
class Heard:
    """What a replica heard of all replicas."""

    events: list[tuple[UserPrefix, KnownEvent]] = field(default_factory=list)
    gaps: int = 0

    def on_events(self, user_prefix: UserPrefix, events: Iterable[KnownEvent]) -> None:
        self.events += [(user_prefix, one) for one in events]

    def on_gap(self) -> None:
        self.gaps += 1


@asynccontextmanager
async def opened(
    server: RedisServer,
    *,
    sends_on: bool = True,
    keep_seconds: float = 0.0,
    claim_seconds: float = 1_000.0,
    clock: Clock | None = None,
) -> AsyncIterator[RedisEventStore]:
    async with join(server.url, SystemClock()) as member:
        yield RedisEventStore(
            member.client,
            prefix="pc:{test}",
            replica=member.heartbeat.replica,
            clock=clock or SystemClock(),
            sends_on=sends_on,
            keep_seconds=keep_seconds,
            claim_seconds=claim_seconds,
        )


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[RedisEventStore]:
    async with opened(redis_server) as store:
        yield store


def pending(server: RedisServer) -> dict[bytes, int]:
    """Claimed entries, and for how many milliseconds they have been."""
    found = server.ask("XPENDING", "pc:{test}:events", "personalize", "-", "+", 1_000)
    return {number: idle for number, _, idle, _ in found}


@pytest.mark.parametrize(("keep_days", "kept_days"), [(0, 90), (90, 90), (400, 400)])
async def test_what_is_known_is_kept_for_ninety_days_or_as_long_as_it_excludes_and_ids_for_two_days(
    redis_server: RedisServer, keep_days: int, kept_days: int
) -> None:
    async with opened(redis_server, keep_seconds=keep_days * DAY) as store:
        assert await store.accept([(ANN, event("a"))]) == [True]
    ttl = redis_server.ask("TTL", b"pc:{test}:k:" + ANN)
    assert kept_days * DAY - 60 < ttl <= kept_days * DAY
    [seen] = redis_server.ask("KEYS", "pc:{test}:seen:*")
    assert seen.startswith(b"pc:{test}:seen:%d:" % (time.time() // DAY))
    # And by an hour longer, since clocks differ.
    assert 49 * 3_600 - 60 < redis_server.ask("TTL", seen) <= 49 * 3_600


def test_every_version_remembers_an_id_in_the_same_words() -> None:
    assert [adapter._seen(one) for one in ("e-1", "e-2")] == ["6298-7296847408893733817", "2ebf8244527316368370927"]


async def test_many_events_are_accepted_in_portions_and_claimed_in_pages_up_to_what_is_wanted(
    redis_server: RedisServer, store: RedisEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "ACCEPTED_AT_ONCE", 3)
    monkeypatch.setattr(adapter, "CLAIMED_AT_ONCE", 2)
    names = [f"e{number}" for number in range(8)]
    given = [(ANN if number % 2 else BOB, event(name)) for number, name in enumerate(names)]
    assert await store.accept([*given, given[0]]) == [True] * 8 + [False]
    assert await store.accept([]) == []
    for most, wanted in ((5, names[:5]), (2, names[5:7]), (10, names[7:]), (10, [])):
        assert [one.event.event_id for one in await store.claim(most)] == wanted
    assert len(pending(redis_server)) == 8
    assert [one.item_id for one in await store.known(ANN)] == names[1::2]


async def test_what_is_not_sent_on_is_done_when_it_is_claimed_and_what_is_odd_is_put_aside(
    redis_server: RedisServer, store: RedisEventStore
) -> None:
    await store.accept([(ANN, event("known", known_only=True)), (ANN, event("lifts", lifts=True)), (ANN, event("a"))])
    redis_server.ask("XADD", "pc:{test}:events", "*", "send", "1", "event", "odd", "user", ANN)
    redis_server.ask("XADD", "pc:{test}:events", "*", "what", "ever")
    backlog = await store.backlog()
    assert (backlog.waiting, backlog.oldest_at, backlog.aside) == (5, None, 0)
    [only] = await store.claim(10)
    assert only.event == event("a")
    assert list(pending(redis_server)) == [only.number.encode()]
    backlog = await store.backlog()
    assert (backlog.waiting, backlog.aside) == (1, 1)
    assert backlog.oldest_at == pytest.approx(time.time(), abs=60)
    [(_, fields)] = redis_server.ask("XRANGE", "pc:{test}:events:aside", "-", "+")
    assert dict(zip(fields[::2], fields[1::2], strict=True)) == {
        b"send": b"1",
        b"event": b"odd",
        b"user": bytes(ANN),
        b"problem": b"unreadable",
    }
    # Of what is no longer there, nothing is put aside.
    await store.aside("1-1", "gone")
    await store.done([])
    await store.done([only.number])
    backlog = await store.backlog()
    assert (backlog.waiting, backlog.aside) == (0, 1)


async def test_what_waits_again_is_claimed_when_its_pause_is_over(
    redis_server: RedisServer, store: RedisEventStore
) -> None:
    await store.accept([(ANN, event("a")), (ANN, event("b")), (ANN, event("c"))])
    first, second, third = await store.claim(10)
    await store.again([first.number], 900.0)
    await store.again([second.number, third.number], 2_000.0)
    idle = pending(redis_server)
    assert idle[first.number.encode()] == pytest.approx(100_000, abs=30_000)
    assert [idle[one.number.encode()] < 30_000 for one in (second, third)] == [True] * 2
    await store.again([second.number], 0.0)
    assert [one.event.event_id for one in await store.claim(1)] == ["b"]


async def test_a_replica_hears_of_every_event_once_and_of_no_columns_of_users(
    redis_server: RedisServer, store: RedisEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "FOLLOWED_AT_ONCE", 2)
    monkeypatch.setattr(adapter, "FOLLOW_SECONDS", 0.01)
    await store.accept([(ANN, event("before"))])
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(opened(redis_server))
        heard = Heard()
        other.listen(heard.on_events, heard.on_gap)
        await stack.enter_async_context(other)
        redis_server.ask("XADD", "pc:{test}:events", "*", "user", "odd")
        await store.accept(
            [
                (ANN, event("a")),
                (BOB, event("a2", item="a")),
                (ANN, traits_of("ann", {"AGE": 31}, AT)),
                (ANN, event("gone", lifts=True)),
                (ANN, event("nothing", item="")),
            ]
        )
        wanted = [
            (ANN, KnownEvent("View", "a", AT)),
            (BOB, KnownEvent("View", "a", AT)),
            (ANN, KnownEvent("View", "gone", AT, lifts=True)),
            (ANN, KnownEvent("View", "", AT)),
        ]
        await until(lambda: len(heard.events) >= 4)
        await asyncio.sleep(0.05)
        assert heard.events == wanted
        # It began at the newest entry, and nothing was missed.
        assert heard.gaps == 0

        # A Redis that comes back empty has entries that are older than what was heard last.
        redis_server.ask("FLUSHALL")
        await until(lambda: heard.gaps == 1)
        heard.events.clear()
        await store.accept([(ANN, event("new"))])
        await until(lambda: bool(heard.events))
        assert heard.events == [(ANN, KnownEvent("View", "new", AT))]
        assert heard.gaps == 1


async def test_a_replica_that_stood_still_for_half_a_minute_may_have_missed_something(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent on leaves the stream after a minute."""
    monkeypatch.setattr(adapter, "FOLLOW_SECONDS", 0.01)
    clock, heard, pages = StandingClock(), Heard(), 0
    async with opened(redis_server, clock=clock) as store:
        store.listen(heard.on_events, heard.on_gap)
        page = store._page

        async def counted() -> list[tuple[bytes, dict[bytes, bytes]]]:
            nonlocal pages
            found = await page()
            pages += 1
            return found

        monkeypatch.setattr(store, "_page", counted)
        async with store:
            for seconds, gaps in ((30.0, 0), (30.1, 1), (30.0, 1)):
                seen = pages
                await until(lambda seen=seen: pages > seen)
                clock.now += seconds
                seen = pages
                await until(lambda seen=seen: pages > seen + 2)
                assert heard.gaps == gaps


async def test_names_that_are_not_known_here_are_looked_up_and_kept_up_to_a_bound(
    redis_server: RedisServer, store: RedisEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "MAX_NAMES", 3)
    await store.accept([(ANN, event(name)) for name in "abc"])
    await store.accept([(BOB, event(f"{name}2", item=name)) for name in "de"])
    assert [one.item_id for one in await store.known(ANN)] == ["a", "b", "c"]
    assert len(store._names) == 4
    # More than there may be: those of before go, and come again when they are asked for.
    assert [one.item_id for one in await store.known(BOB)] == ["d", "e"]
    assert sorted(store._names.values()) == ["d", "e"]
    assert [one.item_id for one in await store.known(ANN)] == ["a", "b", "c"]
    # Nobody knows what it was.
    redis_server.ask("HDEL", "pc:{test}:items", digest_of("b"))
    store._names.clear()
    assert [one.item_id for one in await store.known(ANN)] == ["a", "c"]
    assert await store.known(UserPrefix(b"nobody--")) == []


async def test_entries_go_that_were_sent_and_are_old_and_no_others(
    redis_server: RedisServer, store: RedisEventStore
) -> None:
    def length() -> int:
        return int(redis_server.ask("XLEN", "pc:{test}:events"))

    await store.accept([(ANN, event(f"e{number}")) for number in range(250)])
    claimed = await store.claim(220)
    await store.done([one.number for one in claimed])
    await store.trim(3_600.0)
    assert length() == 250
    await store.trim(0.0)
    # Redis lets go of whole blocks of up to 100 entries.
    assert 30 <= length() < 130
    async with opened(redis_server, sends_on=False) as other:
        await other.trim(-10.0)
    # Where nobody sends on, nobody has to have them.
    assert length() < 30


async def test_notes_and_what_was_put_aside_of_a_user(redis_server: RedisServer, store: RedisEventStore) -> None:
    assert await store.noted("s3://a") is None
    await store.note("s3://a", b"1")
    await store.note("s3://a", b"2")
    await store.note("s3://b", b"3")
    assert [await store.noted(one) for one in ("s3://a", "s3://b")] == [b"2", b"3"]
    await store.accept([(ANN, event("a")), (BOB, event("b")), (ANN, event("c"))])
    claimed = await store.claim(2)
    await store.aside(claimed[0].number, "refused")
    await store.forget_user(ANN)
    assert pending(redis_server) == {claimed[1].number.encode(): pytest.approx(0, abs=60_000)}
    assert redis_server.ask("EXISTS", b"pc:{test}:k:" + ANN) == 0
    assert redis_server.ask("EXISTS", b"pc:{test}:k:" + BOB) == 1
    backlog = await store.backlog()
    assert (backlog.waiting, backlog.aside) == (1, 0)
    assert await store.retry() == 0


@pytest.mark.parametrize(
    ("number", "order", "seconds"),
    [("1700000000123-4", (1_700_000_000_123, 4), 1_700_000_000.123), ("5", (5, 0), 0.005), ("0-0", (0, 0), 0.0)],
)
def test_the_number_of_an_entry_has_its_moment_and_its_place(
    number: str, order: tuple[int, int], seconds: float
) -> None:
    assert adapter._order(number) == order
    assert adapter._seconds_of(number) == adapter._seconds_of(number.encode()) == seconds
