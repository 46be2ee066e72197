"""What an embedded replica's file of events keeps, for how long, and for whom; by a clock that stands."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.errors import SharedStateFull
from service.events.adapters.sqlite import FILE_NAME, SqliteEventStore
from service.events.event import Event
from service.events.ports import Backlog, KnownEvent
from service.lists.keys import UserPrefix
from tests.support.clocks import StandingClock
from tests.support.waiting import until

ANN, BOB = UserPrefix(b"ann-----"), UserPrefix(b"bob-----")
AT = 1_700_000_000.0
MAX = 5
TWO_DAYS = 48 * 3_600.0


def event(name: str, *, lifts: bool = False, known_only: bool = False, item: str | None = None) -> Event:
    return Event("View", "ann", "s", AT, name, name if item is None else item, lifts=lifts, known_only=known_only)


def opened(folder: Path, clock: StandingClock, *, sends_on: bool = True) -> SqliteEventStore:
    return SqliteEventStore(folder, clock=clock, sends_on=sends_on, max_waiting=MAX)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
async def store(tmp_path: Path, clock: StandingClock) -> AsyncIterator[SqliteEventStore]:
    store = opened(tmp_path, clock)
    yield store
    await store.close()


async def names(store: SqliteEventStore, most: int = 10) -> list[str]:
    return [one.event.event_id for one in await store.claim(most)]


async def test_an_id_is_remembered_for_two_days(store: SqliteEventStore, clock: StandingClock) -> None:
    assert await store.accept([]) == []
    assert await store.accept([(ANN, event("a"))]) == [True]
    clock.now = TWO_DAYS
    assert await store.accept([(ANN, event("a"))]) == [False]
    clock.now = TWO_DAYS + 0.001
    assert await store.accept([(ANN, event("a"))]) == [True]


async def test_a_claim_lapses_and_a_pause_ends_when_its_time_has_come(
    store: SqliteEventStore, clock: StandingClock
) -> None:
    await store.accept([(ANN, event(name)) for name in "abc"])
    assert await store.backlog() == Backlog(3, clock.time(), 0)
    assert await names(store, 2) == ["a", "b"]
    assert await names(store) == ["c"]
    clock.now = 29.9
    assert await names(store) == []
    clock.now = 30.0
    found = await store.claim(10)
    assert [one.event.event_id for one in found] == ["a", "b", "c"]
    await store.again([found[0].number], 5.0)
    await store.done([found[1].number])
    clock.now = 34.9
    assert await names(store) == []
    clock.now = 35.0
    assert await names(store) == ["a"]
    # Another process begins: what the one before had claimed waits again.
    await store.release()
    assert await names(store) == ["a", "c"]
    await store.aside(found[0].number, "refused")
    clock.now = 100.0
    assert await names(store) == ["c"]
    assert await store.backlog() == Backlog(1, StandingClock().time(), 1)
    assert await store.retry() == 1
    assert await names(store) == ["a"]
    assert await store.retry() == 0


async def test_what_lifts_or_is_only_known_waits_for_nobody_and_nothing_does_where_nobody_sends_on(
    store: SqliteEventStore, clock: StandingClock, tmp_path: Path
) -> None:
    await store.accept([(ANN, event("a")), (ANN, event("b", known_only=True)), (ANN, event("c", item=""))])
    await store.accept([(ANN, event("lift", lifts=True, item="a")), (BOB, event("d"))])
    assert await names(store) == ["a", "c", "d"]
    assert await store.known(ANN) == [KnownEvent("View", "b", AT)]
    other = opened(tmp_path / "other", clock, sends_on=False)
    await other.accept([(ANN, event("a"))])
    assert await names(other) == []
    assert await other.known(ANN) == [KnownEvent("View", "a", AT)]
    await other.close()


async def test_there_is_room_for_as_many_as_wait_whatever_numbers_they_have(store: SqliteEventStore) -> None:
    await store.accept([(ANN, event(f"e{number}")) for number in range(MAX)])
    with pytest.raises(SharedStateFull, match="5 events wait"):
        await store.accept([(ANN, event("more"))])
    found = await store.claim(10)
    # The first and the last are left: their numbers span five, and there is room for three.
    await store.done([one.number for one in found[1:-1]])
    with pytest.raises(SharedStateFull):
        await store.accept([(ANN, event(f"f{number}")) for number in range(4)])
    assert await store.accept([(ANN, event(f"f{number}")) for number in range(3)]) == [True] * 3
    # What was put aside takes its room too.
    await store.aside(found[0].number, "refused")
    with pytest.raises(SharedStateFull):
        await store.accept([(ANN, event("more"))])


async def test_a_forgotten_user_leaves_nothing_and_others_keep_theirs(store: SqliteEventStore, tmp_path: Path) -> None:
    await store.accept([(ANN, event("a")), (BOB, event("b"))])
    await store.forget_user(ANN)
    assert await names(store) == ["b"]
    assert (await store.known(ANN), await store.known(BOB)) == ([], [KnownEvent("View", "b", AT)])
    assert await store.noted("a") is None
    for note in (b"1", b"2"):
        await store.note("a", note)
    assert await store.noted("a") == b"2"
    # What cannot be read is put aside and keeps nothing back.
    with sqlite3.connect(tmp_path / FILE_NAME) as odd:
        odd.execute("UPDATE outbox SET packed = ?, due = 0", (b"odd",))
    odd.close()
    await store.accept([(ANN, event("c"))])
    assert await names(store) == ["c"]
    assert (await store.backlog()).aside == 1


async def test_a_change_of_another_process_is_seen_and_one_of_its_own_is_none(
    store: SqliteEventStore, clock: StandingClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps: list[None] = []
    looks = 0
    run = store._file.run

    async def counted(work: object) -> object:
        nonlocal looks
        looks += 1
        return await run(work)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(store._file, "run", counted)
    monkeypatch.setattr("service.events.adapters.sqlite.FOLLOW_SECONDS", 600.0)
    following = asyncio.create_task(store.follow(lambda: gaps.append(None)))
    await until(lambda: looks == 1)
    for _ in range(5):
        await run(lambda _: None)
    # It pauses between two looks.
    assert looks == 1
    following.cancel()
    await asyncio.wait({following})

    monkeypatch.setattr("service.events.adapters.sqlite.FOLLOW_SECONDS", 0.001)
    following = asyncio.create_task(store.follow(lambda: gaps.append(None)))
    await until(lambda: looks > 2)
    await store.accept([(ANN, event("a"))])
    seen = looks
    await until(lambda: looks > seen + 3)
    assert gaps == []
    other = opened(tmp_path, clock)
    await other.accept([(ANN, event("b"))])
    await until(lambda: bool(gaps))
    seen = looks
    await until(lambda: looks > seen + 3)
    assert len(gaps) == 1
    await other.close()
    following.cancel()
    await asyncio.wait({following})
