"""Whom a replica asks, Redis or the owner of a key, and what it makes of both answers."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from service.constants import PIN_SECONDS
from service.errors import SharedStateUnavailable
from service.lists.adapters.linked import LinkedLists
from service.lists.adapters.owned import Ages, Ended
from service.lists.envelope import Envelope, seal
from service.lists.freshness import Freshness
from service.lists.keys import KEY_BYTES, UserKey
from service.lists.ports import ABANDONED, Boarding, Landed, Outcome
from service.models import ItemList
from tests.support.clocks import StandingClock

KEY = UserKey(b"k" * KEY_BYTES)
DOWN = SharedStateUnavailable("down")
CLOCK = StandingClock(1_000.0)
NOW = CLOCK.time()
FRESH_SECONDS = 60.0
FRESH = Ages(NOW - FRESH_SECONDS, NOW + 2.0)
BUDGET = Outcome(None, "popular", "budget")
TIMEOUT = Outcome(None, "popular", "timeout")
OLD, NEW, NEWEST = (seal(ItemList(("a",), f"RID{age}", NOW - age)) for age in (100.0, 10.0, 5.0))
LIVE = Outcome(NEW, "personalize")

LEADS, FOLLOWS = Boarding(leader=True), Boarding(leader=False, lease_seconds=3.0)
NOTHING_BEFORE = Ended(None, None, {})


@dataclass
class Store:
    """Redis, or the owners: says what it is to, in turn, the last one again; and remembers what it was asked."""

    boardings: list[Boarding | Exception] = field(default_factory=list)
    landings: list[Any] = field(default_factory=list)
    boarded: list[dict[str, Any]] = field(default_factory=list)
    landed: list[tuple[Any, ...]] = field(default_factory=list)

    async def board(self, key: UserKey, *args: object, **options: object) -> Boarding:
        assert key == KEY
        self.boarded.append({"ages": args, **options})
        boarding: Boarding = self._next(self.boardings)
        return boarding

    async def land(self, key: UserKey, outcome: Outcome, *args: object, led: bool) -> Any:  # noqa: ANN401  # of both kinds
        assert key == KEY
        self.landed.append((outcome, *args, led))
        return self._next(self.landings)

    def _next(self, answers: list[Any]) -> Any:  # noqa: ANN401  # of any kind
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Redis(Store):
    freshness = Freshness(FRESH_SECONDS, 600.0)
    noted: bool | None = None
    on_board: Any = staticmethod(lambda: None)

    async def board(self, key: UserKey, *args: object, **options: object) -> Boarding:
        self.on_board()
        return await super().board(key, *args, **options)

    def note(self, key: UserKey, *, shared: bool) -> None:
        assert key == KEY
        self.noted = shared

    async def look(self, key: UserKey) -> object:
        return ("looked", key)

    async def made_at(self, keys: Sequence[UserKey]) -> object:
        return ("made", keys)

    def waiting(self, key: UserKey, *, when_lost: Outcome) -> AbstractAsyncContextManager[object]:
        return nullcontext((key, when_lost))

    @property
    def channel(self) -> object:
        return SimpleNamespace(waiting=self.waiting)


class Owners(Store):
    deciding = False
    begun = 0
    knows = False

    def decide(self) -> bool:
        return self.deciding

    def begin(self) -> None:
        self.deciding = True
        self.begun += 1

    def concerns(self, key: UserKey) -> bool:
        assert key == KEY
        return self.deciding

    def knows_who_was_forgotten(self) -> bool:
        return self.knows


class Both:
    def __init__(self) -> None:
        self.redis, self.owners = Redis(), Owners()
        redis: Any = self.redis
        owners: Any = self.owners
        self.lists = LinkedLists(redis, owners, CLOCK)

    async def board(self, **options: bool) -> Boarding:
        return await self.lists.board(KEY, lease_seconds=7.0, **options)


@pytest.fixture
def both() -> Iterator[Both]:
    found = Both()
    yield found
    # Each asks for the lease and with the ages of this moment.
    assert all(asked["lease_seconds"] == 7.0 for asked in (*found.redis.boarded, *found.owners.boarded))
    assert all(asked["ages"] == (FRESH,) for asked in found.owners.boarded)


@pytest.mark.parametrize("boarding", [LEADS, FOLLOWS])
@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("renew", [False, True])
async def test_while_redis_answers_no_owner_is_asked(
    both: Both, boarding: Boarding, *, background: bool, renew: bool
) -> None:
    both.redis.boardings = [boarding]
    assert await both.board(background=background, renew=renew) is boarding
    assert both.redis.boarded == [{"ages": (), "lease_seconds": 7.0, "background": background, "renew": renew}]
    assert both.owners.boarded == []


async def test_a_flight_for_nobody_asks_no_owner(both: Both) -> None:
    both.redis.boardings, both.owners.deciding = [FOLLOWS, DOWN], True
    assert await both.board(background=True) is FOLLOWS
    with pytest.raises(SharedStateUnavailable):
        await both.board(background=True)
    assert both.owners.boarded == []


@pytest.mark.parametrize("deciding", [True, False])
@pytest.mark.parametrize("renew", [True, False])
async def test_without_redis_the_owner_says_who_leads(both: Both, *, deciding: bool, renew: bool) -> None:
    for here in (LEADS, FOLLOWS):
        both.redis.boardings, both.owners.boardings, both.owners.deciding = [DOWN], [here], deciding
        assert await both.board(renew=renew) is here
        assert both.owners.boarded[-1]["renew"] is renew
    assert both.owners.begun == (0 if deciding else 2)
    # Who follows at an owner need not ask Redis.
    assert len(both.redis.boarded) == (1 if deciding else 3)


async def test_without_the_owner_redis_says_who_leads(both: Both) -> None:
    both.redis.boardings, both.owners.boardings, both.owners.deciding = [FOLLOWS, DOWN], [DOWN], True
    assert await both.board() is FOLLOWS
    with pytest.raises(SharedStateUnavailable):
        await both.board()
    assert len(both.redis.boarded) == 2


async def test_an_owner_that_withheld_its_list_is_asked_once_more_when_redis_is_gone(both: Both) -> None:
    given = Boarding(leader=True, envelope=OLD)
    both.redis.boardings, both.owners.boardings, both.owners.deciding = [DOWN], [LEADS, given], True
    both.owners.knows = True
    assert await both.board() == given
    both.owners.boardings, both.owners.knows = [LEADS, given], False
    assert await both.board() is LEADS
    assert both.owners.landed == []


async def test_who_leads_at_both_has_the_newer_list_of_both(both: Both) -> None:
    both.owners.deciding = True
    for here, there, envelope in ((OLD, NEW, NEW), (NEW, OLD, NEW), (None, OLD, OLD), (OLD, None, OLD)):
        both.owners.boardings = [Boarding(leader=True, envelope=here)]
        both.redis.boardings = [Boarding(leader=True, envelope=there)]
        assert await both.board() == Boarding(leader=True, envelope=envelope)
    assert both.owners.landed == []


@pytest.mark.parametrize(
    ("envelope", "left"), [(None, ABANDONED), (OLD, ABANDONED), (NEW, Outcome(NEW, "cache"))], ids=str
)
async def test_an_owner_hears_that_redis_has_another_leader_or_a_list(
    both: Both,
    envelope: Envelope | None,
    left: Outcome,
) -> None:
    there = Boarding(leader=False, envelope=envelope, lease_seconds=3.0)
    both.redis.boardings, both.owners.boardings, both.owners.deciding = [there], [LEADS], True
    for answer in (NOTHING_BEFORE, DOWN):
        both.owners.landings = [answer]
        assert await both.board() is there
        assert both.owners.landed.pop() == (left, FRESH, True)
    assert both.redis.landed == []


@pytest.mark.parametrize(
    ("there", "here", "found", "leaves"),
    [
        (FOLLOWS, None, FOLLOWS, False),
        (LEADS, DOWN, LEADS, False),
        (LEADS, Boarding(leader=True), LEADS, False),
        (LEADS, FOLLOWS, FOLLOWS, True),
    ],
)
async def test_who_leads_through_a_redis_that_is_lost_meanwhile_asks_the_owner_too(
    both: Both, there: Boarding, here: Boarding | Exception | None, found: Boarding, *, leaves: bool
) -> None:
    for landed in (Landed(ABANDONED), DOWN):
        both.redis.boardings, both.owners.boardings, both.redis.landings = [there], [here or FOLLOWS], [landed]
        both.redis.on_board, both.owners.deciding = both.owners.begin, False
        assert await both.board() is found
        assert both.redis.landed == ([(ABANDONED, True)] if leaves else [])
        both.redis.landed.clear()
    assert len(both.owners.boarded) == (0 if here is None else 2)


async def test_while_redis_answers_an_end_lands_there_only(both: Both) -> None:
    both.redis.landings = [Landed(BUDGET, 2.0)]
    assert await both.lists.land(KEY, LIVE, led=True) == Landed(BUDGET, 2.0)
    assert (both.redis.landed, both.owners.landed) == ([(LIVE, True)], [])


SHOWN_LATELY = Ages(NOW - FRESH_SECONDS, NOW + 2.0)


@pytest.mark.parametrize("led", [True, False])
@pytest.mark.parametrize("outcome", [LIVE, BUDGET, ABANDONED])
async def test_an_end_lands_with_the_owner_when_redis_fails(both: Both, outcome: Outcome, *, led: bool) -> None:
    both.redis.landings, both.owners.landings = [DOWN], [NOTHING_BEFORE]
    assert await both.lists.land(KEY, outcome, led=led) == Landed(outcome, shared=False)
    assert both.owners.begun == 1
    assert both.owners.landed == [(outcome, SHOWN_LATELY, led)]
    both.owners.landings = [DOWN]
    with pytest.raises(SharedStateUnavailable, match="neither"):
        await both.lists.land(KEY, outcome, led=led)
    assert both.redis.landed == [(outcome, led)] * 3


@pytest.mark.parametrize(
    ("ended", "shown"),
    [
        (Ended((TIMEOUT, 2.5), None, {}), Landed(TIMEOUT, 2.5)),
        (Ended((TIMEOUT, 2.5), NEW, {}), Landed(TIMEOUT, 2.5)),
        (Ended(None, NEW, {}), Landed(Outcome(NEW, "cache"))),
        (Ended(None, OLD, {}), Landed(Outcome(OLD, "stale", "budget"))),
    ],
)
async def test_what_an_owner_had_before_is_shown_by_redis_too(both: Both, ended: Ended, shown: Landed) -> None:
    both.owners.deciding, both.owners.landings = True, [ended]
    for there, shared in ((Landed(BUDGET), True), (DOWN, False)):
        both.redis.landings = [there]
        found = await both.lists.land(KEY, BUDGET, led=True)
        assert found == Landed(shown.outcome, shown.pinned_seconds, shared)
        assert both.redis.landed.pop() == (shown.outcome, True)
    # Redis keeps a live list all the same.
    live = Outcome(NEWEST, "personalize")
    both.redis.landings = [Landed(live)]
    expected = shown if shown.outcome.source != "stale" else Landed(Outcome(OLD, "stale"))
    assert await both.lists.land(KEY, live, led=True) == expected
    assert both.redis.landed == [(live, True)]


async def test_what_redis_had_before_is_shown_where_the_owner_had_nothing(both: Both) -> None:
    both.owners.deciding = True
    for ended in (NOTHING_BEFORE, DOWN):
        both.owners.landings, both.redis.landings = [ended], [Landed(TIMEOUT, 1.5)]
        for outcome in (BUDGET, LIVE):
            assert await both.lists.land(KEY, outcome, led=True) == Landed(TIMEOUT, 1.5)


async def test_a_list_as_young_as_a_pin_lasts_may_have_been_shown_although_it_is_not_fresh(both: Both) -> None:
    both.redis.freshness = Freshness(1.0, 600.0)
    both.owners.deciding, both.owners.landings, both.redis.landings = True, [NOTHING_BEFORE], [DOWN]
    await both.lists.land(KEY, BUDGET, led=False)
    assert both.owners.landed == [(BUDGET, Ages(NOW - PIN_SECONDS, NOW + 1.0), False)]


async def test_looking_noting_and_following_go_to_redis(both: Both) -> None:
    both.owners.deciding = True
    looked: object = await both.lists.look(KEY)
    made: object = await both.lists.made_at([KEY])
    both.lists.note(KEY, shared=True)
    async with both.lists.follow(KEY) as landing:
        followed: object = landing
    assert (looked, made, both.redis.noted) == (("looked", KEY), ("made", [KEY]), True)
    assert followed == (KEY, ABANDONED)
