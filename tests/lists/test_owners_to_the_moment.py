"""How a replica takes part among owners, to the moment and to the word; links and Redis are in the hand of the test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from service.constants import PIN_SECONDS
from service.errors import SharedStateUnavailable
from service.fleet.link import Message
from service.lists.adapters import owner_words
from service.lists.adapters import owners as owners_module
from service.lists.adapters.outcome_codec import pack_outcome
from service.lists.adapters.owned import Ages, OwnedKeys
from service.lists.adapters.owners import AFTERWARDS_SECONDS, HEARD_SECONDS, MAX_LATEST, Owners
from service.lists.envelope import seal
from service.lists.forgetting import ForgottenLately
from service.lists.keys import KEY_BYTES, UserKey
from service.lists.memory import ListMemory
from service.lists.pins import LocalPins
from service.lists.ports import ABANDONED, Boarding, Outcome
from service.models import ItemList
from tests.support.clocks import StandingClock

ME, YOU, THEM = b"me", b"you", b"them"
FRESH = Ages(100.0, 200.0)
BUDGET = Outcome(None, "popular", "budget")
TIMEOUT = Outcome(None, "popular", "timeout")
LIST = seal(ItemList(("a", "b"), "RID", 150.0))
LIVE = Outcome(LIST, "personalize")
AGES = owner_words.written_ages(FRESH)
MAY_ASK_SECONDS = 0.25


def key(number: int, owner: bytes = ME) -> UserKey:
    return UserKey(owner[:1] + bytes([number]) * (KEY_BYTES - 1))


MINE, YOURS = key(1), key(1, YOU)


class Links:
    """The owner of a key is the replica whose name begins as it does; what it answers is up to the test."""

    def __init__(self) -> None:
        self.replica = ME
        self.linked: tuple[bytes, ...] = (YOU, THEM)
        self.timeout_seconds = MAY_ASK_SECONDS
        self.asked: list[tuple[bytes, ...]] = []
        self.said: list[tuple[bytes, ...]] = []
        self.answers: dict[tuple[bytes, bytes], Message | Exception] = {}
        self.way = asyncio.Event()
        self.way.set()
        self.answering: Callable[[bytes, Message], Awaitable[Message]]
        self.on_lost: Callable[[], None]

    def answer_with(
        self, answering: Callable[[bytes, Message], Awaitable[Message]], *, on_lost: Callable[[], None]
    ) -> None:
        self.answering, self.on_lost = answering, on_lost

    def owner_of(self, key: bytes) -> bytes:
        return next(one for one in (ME, YOU, THEM) if key[:1] == one[:1])

    async def ask(self, replica: bytes, *words: bytes) -> Message:
        self.asked.append((replica, *words))
        await self.way.wait()
        answer = self.answers.get((replica, words[0]), [])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def tell(self, replica: bytes, *words: bytes) -> None:
        self.said.append((replica, *words))


class Client:
    """Whether Redis answers is up to the test."""

    def __init__(self, *, up: bool) -> None:
        self.up = up
        self.listener: Callable[[bool], None]

    def on_change(self, listener: Callable[[bool], None]) -> None:
        self.listener = listener

    def turn(self, *, up: bool) -> None:
        self.up = up
        self.listener(up)


class Replica:
    def __init__(self, *, up: bool = True) -> None:
        self.clock = StandingClock(1_000.0)
        self.links, self.client = Links(), Client(up=up)
        self.memory = ListMemory(1_000_000)
        self.leads: list[tuple[UserKey, float]] = []
        self.latest: list[UserKey] = []
        self.latest_asked: list[int] = []
        self.ends: list[tuple[UserKey, Outcome]] = []
        self.abandoned = 0
        self.pins = LocalPins(PIN_SECONDS, self.clock)
        lately = ForgottenLately(clock=self.clock, flight_seconds=30.0)
        self.owned = OwnedKeys(self.memory, self.pins, lately, self.clock)
        links: Any = self.links
        client: Any = self.client
        self.owners = Owners(
            links,
            self.owned,
            client=client,
            clock=self.clock,
            memory=self.memory,
            leads=lambda: list(self.leads),
            latest=self._latest,
            end=lambda key, outcome: self.ends.append((key, outcome)),
            abandon_all=self._abandon,
        )

    def _latest(self, most: int) -> list[UserKey]:
        self.latest_asked.append(most)
        return list(self.latest)

    def _abandon(self) -> None:
        self.abandoned += 1

    async def board(self, key: UserKey, *, lease: float = 10.0, renew: bool = False) -> Boarding:
        return await self.owners.board(key, FRESH, lease_seconds=lease, renew=renew)

    async def asked_to_board(
        self, who: bytes, key: UserKey, *, left: float = 0.0, knowing: bytes = b"", renew: bytes = b""
    ) -> Boarding:
        words = [b"board", key, owner_words.seconds(left), knowing, *AGES, b"10.0", renew]
        return owner_words.read_boarding(await self.links.answering(who, words))

    async def settled(self) -> None:
        """The others have named what they lead."""
        await self.owners._named()


async def turns() -> None:
    """Whatever can be done without waiting is done."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    found = Replica()
    async with found.owners:
        yield found


async def test_owners_decide_while_redis_is_away_and_for_so_long_after(replica: Replica) -> None:
    owners, clock = replica.owners, replica.clock
    assert not owners.decide()
    owners.begin()
    clock.now += AFTERWARDS_SECONDS - 0.125
    assert owners.decide()
    clock.now += 0.125
    assert not owners.decide()
    # However long it is away.
    replica.client.turn(up=False)
    clock.now += 1_000.0
    assert owners.decide()
    replica.client.turn(up=True)
    clock.now += AFTERWARDS_SECONDS - 0.125
    assert owners.decide()
    clock.now += 0.125
    assert not owners.decide()


async def test_a_later_failure_puts_the_end_off_and_redis_return_sets_it(replica: Replica) -> None:
    owners, clock = replica.owners, replica.clock
    owners.begin()
    clock.now += 1.0
    # That another one would end sooner does not bring the end nearer.
    await replica.asked_to_board(YOU, MINE, left=1.0)
    clock.now += 1.875
    assert owners.decide()
    owners.begin()
    clock.now += 2.875
    assert owners.decide()
    clock.now += 0.125
    assert not owners.decide()


@pytest.mark.parametrize(
    ("left", "lasts"),
    [
        (0.0, 0.0),
        (MAY_ASK_SECONDS, 0.0),
        (1.0, 1.0 - MAY_ASK_SECONDS),
        (AFTERWARDS_SECONDS, AFTERWARDS_SECONDS - MAY_ASK_SECONDS),
        (600.0, AFTERWARDS_SECONDS - MAY_ASK_SECONDS),
    ],
)
async def test_who_is_asked_decides_for_as_long_as_who_asks_less_the_time_of_a_question(
    replica: Replica, left: float, lasts: float
) -> None:
    for asked in ([b"name", owner_words.seconds(left), b""], [b"board", MINE, owner_words.seconds(left), b"", *AGES]):
        words = asked if asked[0] == b"name" else [*asked, b"10.0", b""]
        began = replica.clock.now
        await replica.links.answering(YOU, words)
        if lasts:
            replica.clock.now = began + lasts - 0.125
            assert replica.owners.decide()
        replica.clock.now = began + lasts
        assert not replica.owners.decide()
    assert (replica.links.asked == []) is not bool(lasts)


async def test_a_question_says_how_long_owners_decide_and_whether_who_was_forgotten_is_known(replica: Replica) -> None:
    links, client, clock = replica.links, replica.client, replica.clock
    links.answers[YOU, b"board"] = owner_words.written_boarding(Boarding(leader=False, lease_seconds=1.0))

    async def said(*, renew: bool = False) -> tuple[bytes, ...]:
        links.asked.clear()
        await replica.board(YOURS, lease=2.0, renew=renew)
        return links.asked[0]

    assert await said() == (YOU, b"board", YOURS, b"0.0", b"", *AGES, b"2.0", b"")
    replica.owners.begin()
    await replica.settled()
    clock.now += HEARD_SECONDS - 0.125
    assert (await said(renew=True))[3:] == (b"2.125", b"", *AGES, b"2.0", b"1")
    clock.now += 0.125
    assert (await said())[3:5] == (b"2.0", b"1")
    client.turn(up=False)
    await replica.settled()
    assert (await said())[3:5] == (b"3.0", b"")
    clock.now += 100.0
    assert (await said())[3:5] == (b"3.0", b"")
    client.turn(up=True)
    assert not replica.owners.knows_who_was_forgotten()
    clock.now += HEARD_SECONDS
    assert replica.owners.knows_who_was_forgotten()


async def test_who_has_not_seen_redis_does_not_know_who_was_forgotten(replica: Replica) -> None:
    replica.clock.now += HEARD_SECONDS
    assert replica.owners.knows_who_was_forgotten()
    without_redis = Replica(up=False)
    without_redis.client.up = True
    without_redis.clock.now += HEARD_SECONDS
    assert not without_redis.owners.knows_who_was_forgotten()


async def test_each_replica_is_asked_once_what_it_leads_and_which_lists_it_has(replica: Replica) -> None:
    links, owned = replica.links, replica.owned
    broken, other = key(2), key(3)
    links.answers[YOU, b"name"] = [MINE, b"4.0", other, LIST, broken, b"soon", key(4), b"", key(5), b"nan", key(6)]
    links.answers[THEM, b"name"] = SharedStateUnavailable("gone")
    replica.leads = [(key(7), 5.0), (key(7, YOU), 5.0)]
    replica.owners.begin()
    replica.owners.begin()

    assert await replica.board(MINE) == Boarding(leader=False, lease_seconds=4.0)
    assert sorted(links.asked) == [(one, b"name", b"3.0", b"") for one in (THEM, YOU)]
    assert (await replica.board(other)).envelope == LIST
    for number in (2, 4, 5, 6):
        assert (await replica.board(key(number))).leader
    # What it leads itself is not followed, but others follow it.
    assert owned.board(key(7), FRESH, lease_seconds=1.0, renew=False, who=THEM).lease_seconds == 5.0
    assert (await replica.board(key(7))).leader
    assert owned.board(key(7, YOU), FRESH, lease_seconds=1.0, renew=False, who=THEM).leader


async def test_who_asks_an_owner_waits_until_that_one_has_heard_of_all_flights(replica: Replica) -> None:
    links = replica.links
    links.answers[THEM, b"name"] = [MINE, b"4.0"]
    links.way.clear()
    boarding = asyncio.create_task(replica.asked_to_board(YOU, MINE, left=2.0))
    await turns()
    assert (len(links.asked), boarding.done()) == (2, False)
    links.way.set()
    assert await boarding == Boarding(leader=False, lease_seconds=4.0)


async def test_what_is_no_answer_to_who_leads_is_an_error(replica: Replica) -> None:
    replica.links.answers[YOU, b"name"] = RuntimeError("ours")
    replica.owners.begin()
    naming = replica.owners._naming
    await replica.settled()
    assert naming is not None
    assert isinstance(naming.exception(), RuntimeError)


async def test_owners_ask_again_when_their_own_way_to_redis_ends_later_and_wait_for_both_answers(
    replica: Replica,
) -> None:
    links = replica.links
    links.way, before = asyncio.Event(), links.way
    replica.owners.begin()
    await turns()
    assert len(links.asked) == 2
    links.way, first_way = before, links.way
    replica.client.turn(up=False)
    links.answers[YOU, b"name"] = [MINE, b"3.0"]
    boarding = asyncio.create_task(replica.board(MINE))
    await turns()
    assert not boarding.done()
    first_way.set()
    assert (await boarding).lease_seconds == 3.0
    assert len(links.asked) == 4
    replica.client.turn(up=True)
    replica.owners.begin()
    await replica.settled()
    assert len(links.asked) == 4


async def test_a_replica_names_what_it_leads_and_its_latest_lists_to_the_owner(replica: Replica) -> None:
    links, clock = replica.links, replica.clock
    listed, gone = key(2, YOU), key(3, YOU)
    replica.latest = [listed, gone, key(2, THEM)]
    replica.memory.put(listed, LIST)
    replica.memory.put(key(2, THEM), LIST)
    replica.leads = [(YOURS, 2.5), (MINE, 2.5)]
    links.answers[YOU, b"board"] = owner_words.written_boarding(Boarding(leader=True))
    await replica.board(key(4, YOU), lease=1.5)

    async def named(who: bytes = YOU, knowing: bytes = b"") -> Message:
        return await links.answering(who, [b"name", b"0.0", knowing])

    everything = [YOURS, b"2.5", key(4, YOU), b"1.5", listed, LIST]
    assert await named() == everything
    assert replica.latest_asked == [MAX_LATEST]
    assert await named(THEM) == [key(2, THEM), LIST]
    assert await named(b"new") == []
    # It is looked up twice a second only.
    replica.leads, replica.latest = [], []
    clock.now += 0.5
    assert await named() == everything
    # Who is cut off itself names no list to one that knows who was forgotten.
    replica.client.turn(up=False)
    await replica.settled()
    assert await named(knowing=b"1") == everything[:4]
    assert await named() == everything
    replica.client.turn(up=True)
    assert await named(knowing=b"1") == everything
    clock.now += 0.25
    assert await named() == [key(4, YOU), b"0.75"]
    clock.now += 0.25
    assert await named() == [key(4, YOU), b"0.75"]
    clock.now += 0.5
    assert await named() == []


async def test_a_flight_that_an_owner_gave_concerns_it_until_its_end(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners, links = replica.owners, replica.links
    links.answers[YOU, b"board"] = owner_words.written_boarding(Boarding(leader=True))
    links.answers[YOU, b"land"] = [b"", b"0.0", b""]
    assert not owners.concerns(YOURS)
    await replica.board(YOURS)
    assert owners.concerns(YOURS)
    assert not owners.concerns(MINE)
    for led, concerns in ((False, True), (True, False)):
        await owners.land(YOURS, BUDGET, FRESH, led=led)
        assert owners.concerns(YOURS) is concerns
    assert links.asked[-1] == (YOU, b"land", YOURS, b"", *AGES, pack_outcome(BUDGET), b"1")

    # Those that nobody landed go in time, and the first ones when there are too many.
    monkeypatch.setattr(owners_module, "MAX_FLIGHTS", 2)
    for number, lease in ((1, 1.0), (2, 5.0), (3, 5.0)):
        await replica.board(key(number, YOU), lease=lease)
    assert [owners.concerns(key(number, YOU)) for number in (1, 2, 3)] == [False, True, True]
    replica.clock.now += 5.0
    await replica.board(key(4, YOU), lease=0.0)
    assert [owners.concerns(key(number, YOU)) for number in (2, 3, 4)] == [False] * 3
    # Who only follows has nothing to land.
    links.answers[YOU, b"board"] = owner_words.written_boarding(Boarding(leader=False, lease_seconds=1.0))
    await replica.board(key(5, YOU))
    assert not owners.concerns(key(5, YOU))
    owners.begin()
    assert owners.concerns(key(5, YOU))


async def test_without_links_no_owner_is_asked(replica: Replica) -> None:
    replica.links.linked = ()
    with pytest.raises(SharedStateUnavailable):
        await replica.board(MINE)
    with pytest.raises(SharedStateUnavailable):
        await replica.owners.land(MINE, BUDGET, FRESH, led=True)


@pytest.mark.parametrize(
    ("before", "outcome", "heard"),
    [
        (None, BUDGET, {ME: BUDGET, YOU: BUDGET, THEM: ABANDONED}),
        (None, LIVE, {ME: LIVE, YOU: LIVE, THEM: LIVE}),
        (BUDGET, TIMEOUT, {ME: ABANDONED, YOU: ABANDONED, THEM: ABANDONED}),
        (LIVE, TIMEOUT, {ME: ABANDONED, YOU: ABANDONED, THEM: ABANDONED}),
    ],
)
async def test_followers_hear_of_an_end_or_look_for_what_was_there_before(
    replica: Replica, before: Outcome | None, outcome: Outcome, heard: dict[bytes, Outcome]
) -> None:
    replica.client.turn(up=False)
    await replica.settled()
    assert (await replica.asked_to_board(b"leader", MINE)).leader
    await replica.board(MINE)
    await replica.asked_to_board(YOU, MINE)
    await replica.asked_to_board(THEM, MINE, knowing=b"1")
    if before is LIVE:
        replica.memory.put(MINE, LIST)
    elif before is not None:
        replica.pins.put(MINE, before)
    words = [b"land", MINE, b"", *AGES, pack_outcome(outcome), b"1"]
    ended = owner_words.read_ended(await replica.links.answering(b"leader", words))

    assert ended.answered_before is (before is not None)
    assert replica.ends == [(MINE, heard[ME])]
    assert replica.links.said == [(who, b"ended", MINE, pack_outcome(heard[who])) for who in (YOU, THEM)]


async def test_who_is_cut_off_lets_the_answer_of_one_in_touch_land_and_says_nothing_of_before(
    replica: Replica,
) -> None:
    replica.memory.put(MINE, LIST)
    words = [b"land", MINE, b"1", *AGES, pack_outcome(BUDGET), b""]
    assert await replica.links.answering(YOU, words) == [b"", b"0.0", LIST]
    replica.client.turn(up=False)
    await replica.settled()
    assert await replica.links.answering(YOU, words) == []
    assert await replica.links.answering(YOU, [*words[:2], b"", *words[3:]]) == [b"", b"0.0", LIST]
    assert await replica.asked_to_board(YOU, MINE, knowing=b"1") == Boarding(leader=True)


async def test_an_end_that_an_owner_tells_of_reaches_the_followers_here(replica: Replica) -> None:
    answering = replica.links.answering
    assert await answering(YOU, [b"ended", YOURS, pack_outcome(LIVE)]) == []
    assert await answering(YOU, [b"ended", YOURS, b"?"]) == []
    assert replica.ends == [(YOURS, LIVE)]


@pytest.mark.parametrize(
    "words",
    [
        [],
        [b"?"],
        [b"ended", YOURS],
        [b"gone", YOURS, pack_outcome(LIVE)],
        [b"name", b"soon", b""],
        [b"board", MINE, b"0.0", b"", *AGES, b"soon", b""],
        [b"board", MINE, b"0.0", b"", b"", b"", b"1.0", b""],
        [b"land", MINE, b"", *AGES, b"?", b"1"],
        [b"land", MINE, b"", b"", b"", pack_outcome(LIVE), b"1"],
        [b"more", MINE, b"0.0", b"", *AGES, b"1.0", b""],
        [b"more", MINE, b"", *AGES, pack_outcome(LIVE), b"1"],
        [b"more", b"0.0", b""],
    ],
)
async def test_a_question_of_another_version_is_answered_with_nothing(replica: Replica, words: Message) -> None:
    replica.leads = [(YOURS, 2.5)]
    assert await replica.links.answering(YOU, words) == []
    assert (replica.ends, replica.memory.get(MINE)) == ([], None)
    assert (await replica.board(MINE)).leader


async def test_renewing_leads_at_an_owner_although_a_list_is_there(replica: Replica) -> None:
    replica.memory.put(MINE, LIST)
    assert not (await replica.asked_to_board(YOU, MINE)).leader
    assert (await replica.asked_to_board(YOU, MINE, renew=b"1")).leader
    assert not (await replica.board(MINE, renew=False)).leader


async def test_a_link_that_is_lost_lets_followers_board_again_while_owners_decide(replica: Replica) -> None:
    replica.links.on_lost()
    assert replica.abandoned == 0
    replica.owners.begin()
    replica.links.on_lost()
    assert replica.abandoned == 1


async def test_nothing_goes_on_after_the_end() -> None:
    found = Replica()
    waiting = asyncio.Event()

    async def ask(replica: bytes, *words: bytes) -> Message:
        del replica, words
        waiting.set()
        never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await never

    found.links.ask = ask  # type: ignore[method-assign]  # never answers
    async with found.owners:
        found.owners.begin()
        naming = found.owners._naming
        await waiting.wait()
    assert naming is not None
    assert naming.cancelled()
