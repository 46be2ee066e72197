"""K7: what a ledger learns, keeps, puts back and asks for, to the moment; a model of Redis runs the real Lua."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from service.errors import SharedStateUnavailable
from service.fleet import ledger as ledger_module
from service.fleet.ledger import ASKING_SECONDS, LOOK_SECONDS, Keeping, Ledger, _Answer
from tests.support.redis_network import ModelClient, RedisServerModel, model_client
from tests.support.virtual_time import VirtualClock, run_virtual

KEY = "pc:{test}:things"
FOR_EVER = Keeping(entry_seconds=None, removal_seconds=3_600, most=100)


@dataclass
class Replica:
    ledger: Ledger
    client: ModelClient
    changes: list[int] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)

    @property
    def names(self) -> str:
        return b"".join(sorted(self.ledger.entries)).decode()


class World:
    """One Redis, and replicas that begin when a test says so."""

    def __init__(self, stack: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        self.clock, self.redis_clock = VirtualClock(loop), VirtualClock(loop)
        self.server = RedisServerModel(self.redis_clock.time)
        self._stack = stack

    async def replica(self, keeping: Keeping = FOR_EVER, *, others: int | None = None) -> Replica:
        client = await self._stack.enter_async_context(model_client(self.server))
        await client.find()
        client.mark_up()
        changes: list[int] = []
        gaps: list[int] = []
        ledger = Ledger(
            client,
            KEY,
            clock=self.clock,
            keeping=keeping,
            others=None if others is None else lambda: others,
            on_change=lambda: changes.append(1),
            on_gap=lambda: gaps.append(1),
        )
        await self._stack.enter_async_context(ledger)
        return Replica(ledger, client, changes, gaps)

    def ask(self, *command: object) -> object:
        return self.server.redis.command(str(command[0]), *command[1:])


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack)


def play(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        async with world() as here:
            await scenario(here)

    run_virtual(run())


@pytest.mark.parametrize(
    ("others", "knows", "waits"),
    [(None, False, False), (0, False, True), (0, True, False), (1, True, True), (1, False, True)],
)
def test_a_new_replica_waits_for_those_who_may_know_more(
    others: int | None, monkeypatch: pytest.MonkeyPatch, *, knows: bool, waits: bool
) -> None:
    looks: list[float] = []
    look = Ledger.look

    async def noted(ledger: Ledger) -> None:
        looks.append(ledger._clock.monotonic())
        await look(ledger)

    monkeypatch.setattr(Ledger, "look", noted)

    async def scenario(here: World) -> None:
        if knows:
            here.ask("SET", f"{KEY}:merged", "1")
        began = here.clock.monotonic()
        await here.replica(others=others)
        waited = here.clock.monotonic() - began
        assert ASKING_SECONDS <= waited <= ASKING_SECONDS + LOOK_SECONDS / 2 if waits else waited < LOOK_SECONDS / 4
        # It does not ask much oftener than those who are not new.
        assert all(after - before >= LOOK_SECONDS / 5 for before, after in pairwise(looks))

    play(scenario)


def test_a_replica_puts_back_what_redis_lacks_once_it_is_no_longer_new() -> None:
    async def scenario(here: World) -> None:
        one = await here.replica()
        assert here.ask("GET", f"{KEY}:merged") is None
        await one.ledger.add(b"a")
        await one.ledger.remove(b"b")
        here.ask("DEL", KEY, f"{KEY}:removed")
        await asyncio.sleep(ASKING_SECONDS - LOOK_SECONDS / 2)
        assert here.ask("ZCARD", KEY) == 0
        await asyncio.sleep(LOOK_SECONDS * 1.5)
        assert here.ask("ZRANGE", KEY, 0, -1) == [b"a"]
        assert here.ask("ZRANGE", f"{KEY}:removed", 0, -1) == [b"b"]
        # Redis is to know that it was looked after, also when there was nothing; and then it is left in peace.
        merged = here.ask("GET", f"{KEY}:merged")
        assert merged
        await asyncio.sleep(3 * LOOK_SECONDS)
        assert here.ask("GET", f"{KEY}:merged") == merged
        for lost in (f"{KEY}:merged", f"{KEY}:removed", KEY):
            here.ask("DEL", lost)
            await asyncio.sleep(2 * LOOK_SECONDS)
            assert here.ask("EXISTS", lost) == 1
        assert one.gaps == []

    play(scenario)


@pytest.mark.parametrize(("count", "removed"), [(0, 0), (1, 0), (4, 0), (5, 5), (1, 4), (4, 1), (0, 2)])
def test_what_is_put_back_goes_in_portions_and_comes_in_pages(
    count: int, removed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "AT_ONCE", 2)

    async def scenario(here: World) -> None:
        one = await here.replica()
        for number in range(count):
            await one.ledger.add(b"%d" % number)
        for number in range(removed):
            await one.ledger.remove(b"x%d" % number)
        await asyncio.sleep(ASKING_SECONDS + LOOK_SECONDS)
        portions: list[int] = []
        tell = one.ledger._tell

        async def noted(changes: list[object], *, merging: bool = False) -> object:
            if merging:
                portions.append(len(changes) // 3)
            return await tell(changes, merging=merging)

        monkeypatch.setattr(one.ledger, "_tell", noted)
        here.server.redis.empty()
        await asyncio.sleep(2 * LOOK_SECONDS)
        both = count + removed
        assert portions == ([2] * (both // 2) + [1] * (both % 2) or [0])
        assert [here.ask("ZCARD", KEY), here.ask("ZCARD", f"{KEY}:removed")] == [count, removed]
        late = await here.replica()
        assert late.names == one.names == "01234"[:count]
        # All of it is one change for whose answers it matters.
        assert len(late.changes) == (both > 0)
        assert sorted(late.ledger._removals) == [b"x%d" % number for number in range(removed)]

    play(scenario)


MOST = 3
FEW = Keeping(entry_seconds=None, removal_seconds=3_600, most=MOST)


@pytest.mark.parametrize("loses_its_memory", [False, True])
@pytest.mark.parametrize(("added", "may_have_missed"), [(1, False), (2, False), (3, True), (5, True)])
def test_who_may_have_missed_names_hears_so_and_nobody_else(
    added: int, *, may_have_missed: bool, loses_its_memory: bool
) -> None:
    """J1: of two that Redis keeps, a third one makes room, and nobody knows whether it was one that was known."""

    async def scenario(here: World) -> None:
        one, other = await here.replica(FEW), await here.replica(FEW)
        await one.ledger.add(b"a")
        await asyncio.sleep(ASKING_SECONDS + LOOK_SECONDS)
        other.client.link.cut = True
        await asyncio.sleep(2 * LOOK_SECONDS)
        for name in b"bcdef"[:added]:
            await one.ledger.add(bytes([name]))
        if loses_its_memory:
            here.server.redis.empty()
            await asyncio.sleep(2 * LOOK_SECONDS)
        other.client.link.cut = False
        other.client.mark_up()
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert one.names == other.names == "abcdef"[: added + 1][-MOST:]
        assert (len(other.gaps) > 0) is may_have_missed
        late = await here.replica(FEW)
        assert late.names == one.names
        assert late.gaps == one.gaps == []

    play(scenario)


def test_the_oldest_make_room_and_all_lapse_in_the_copies_too() -> None:
    async def scenario(here: World) -> None:
        brief = Keeping(entry_seconds=10.0, removal_seconds=5.0, most=MOST)
        one, other = await here.replica(brief), await here.replica(brief)
        for name in "abcde":
            await one.ledger.add(name.encode())
        await one.ledger.remove(b"e")
        for removed in "vwxyz":
            await one.ledger.remove(removed.encode())
        await asyncio.sleep(LOOK_SECONDS)
        for replica in (one, other):
            assert replica.names == "cd"
            assert sorted(replica.ledger._removals) == [b"x", b"y", b"z"]
        await asyncio.sleep(5.0)
        assert [one.ledger._removals, other.ledger._removals] == [{}, {}]
        await one.ledger.add(b"f")
        await asyncio.sleep(10.0 - 5.0 - 2 * LOOK_SECONDS)
        assert [one.names, other.names] == ["cdf", "cdf"]
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert [one.names, other.names] == ["f", "f"]
        await asyncio.sleep(5.0 + 2 * LOOK_SECONDS)
        assert [one.names, other.names] == ["", ""]

    play(scenario)


def test_a_change_is_heard_of_once_on_every_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(here: World) -> None:
        one, other = await here.replica(), await here.replica()
        await asyncio.sleep(ASKING_SECONDS + LOOK_SECONDS)
        for change, name in (("add", b"a"), ("remove", b"a"), ("remove", b"b"), ("add", b"b")):
            await getattr(one.ledger, change)(name)
            await asyncio.sleep(2 * LOOK_SECONDS)
        assert [len(one.changes), len(other.changes)] == [4, 4]
        # All of it is read again, and there is nothing new.
        here.ask("SET", f"{KEY}:merged", "1")
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert [len(one.changes), len(other.changes)] == [4, 4]
        assert [one.names, other.names] == ["b", "b"]
        # What is known is not sent again, and nobody asks twice.
        answers: list[_Answer] = []
        tell = other.ledger._tell

        async def noted(changes: list[object]) -> _Answer:
            answers.append(await tell(changes))
            return answers[-1]

        monkeypatch.setattr(other.ledger, "_tell", noted)
        await other.ledger.look()
        [answer] = answers
        assert (answer.entries, answer.removals, answer.new_entries, answer.new_removals) == (1, 1, [], [])

    play(scenario)


def test_redis_is_looked_at_as_soon_as_it_is_back_and_a_change_that_it_does_not_take_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger_module, "LOOK_SECONDS", 1_000.0)

    async def scenario(here: World) -> None:
        one, other = await here.replica(), await here.replica()
        await asyncio.sleep(1)
        other.client.mark_down(ConnectionResetError("reset"))
        with pytest.raises(SharedStateUnavailable):
            await other.ledger.add(b"b")
        await one.ledger.add(b"a")
        assert other.names == ""
        other.client.mark_up()
        await asyncio.sleep(0.1)
        assert other.names == "a"
        await one.ledger.add(b"c")
        other.client.mark_down(ConnectionResetError("reset"))
        await asyncio.sleep(0.1)
        assert other.names == "a"

    play(scenario)


def test_a_removal_counts_although_redis_has_lost_its_memory_and_its_clock_was_set_back() -> None:
    async def scenario(here: World) -> None:
        one, other = await here.replica(), await here.replica()
        await one.ledger.add(b"a")
        await asyncio.sleep(ASKING_SECONDS + LOOK_SECONDS)
        here.server.redis.empty()
        here.redis_clock.skew -= 60.0
        await one.ledger.remove(b"a")
        assert one.names == ""
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert [one.names, other.names] == ["", ""]

    play(scenario)
