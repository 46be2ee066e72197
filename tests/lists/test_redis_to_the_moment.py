"""Lists in Redis in virtual time: how long everything lasts there, and what becomes of a channel that falls silent."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from service.constants import PIN_SECONDS
from service.errors import SharedStateUnavailable
from service.fleet.heartbeat import Heartbeat
from service.lists.adapters.channel import SILENCE_SECONDS
from service.lists.adapters.outcome_codec import pack_outcome
from service.lists.adapters.redis import RedisLists
from service.lists.envelope import Envelope, seal
from service.lists.freshness import Freshness
from service.lists.keys import UserKey, UserPrefix
from service.lists.ports import ABANDONED, Boarding, Landed, ListsEvent, Outcome
from service.models import ItemList
from tests.support.redis_network import ModelClient, RedisServerModel, model_client
from tests.support.virtual_time import VirtualClock, run_virtual

KEY = UserKey(b"k" * 15)
VALUED = UserKey(b"k" * 16)
FRESH, STALE = 10.0, 100.0
PINNED = Outcome(None, "popular", "budget")


@dataclass
class Replica:
    """On a Redis that is next to it: nothing takes any time."""

    server: RedisServerModel
    clock: VirtualClock
    client: ModelClient
    lists: RedisLists
    events: Counter[str] = field(default_factory=Counter)
    forgotten: list[UserPrefix] = field(default_factory=list)

    def lists_event(self, event: ListsEvent) -> None:
        self.events[event] += 1

    def lasts(self, kind: str, key: bytes = KEY) -> int:
        """Milliseconds; negative where there is none."""
        found = self.server.redis.command("PTTL", f"pc:{{{key.hex()}}}:{kind}")
        assert isinstance(found, int)
        return found

    def kept(self, kind: str, key: bytes = KEY) -> object:
        return self.server.redis.command("GET", f"pc:{{{key.hex()}}}:{kind}")

    def made(self, age: float, item: str = "a") -> Envelope:
        return seal(ItemList((item,), "RID", self.clock.time() - age))

    async def live(self, age: float = 0.0, key: UserKey = KEY) -> Envelope:
        """A list of this age that has landed."""
        envelope = self.made(age)
        await self.lists.land(key, Outcome(envelope, "personalize"), led=False)
        return envelope


def play(scenario: Callable[[Replica], Awaitable[None]], stale_seconds: float = STALE) -> None:
    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        server = RedisServerModel(clock.time, way_seconds=0.0)
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(model_client(server))
            heartbeat = Heartbeat(client, clock=clock, expected_replicas=1, patient=False)
            await stack.enter_async_context(heartbeat)
            replica = Replica(server, clock, client, None)  # type: ignore[arg-type]  # they follow
            replica.lists = RedisLists(
                client,
                heartbeat,
                clock=clock,
                freshness=Freshness(FRESH, stale_seconds),
                recorder=replica,
                on_forget=replica.forgotten.append,
                prefix_of_values=lambda key: key[:8] if len(key) > 15 else None,
            )
            await stack.enter_async_context(replica.lists)
            await scenario(replica)

    run_virtual(run())


def test_a_lead_lasts_as_long_as_its_lease_and_those_who_come_know_how_long() -> None:
    async def scenario(one: Replica) -> None:
        for key, background in [(KEY, False), (VALUED, True)]:
            led = await one.lists.board(key, lease_seconds=2.0, background=background)
            assert led == Boarding(leader=True)
            assert one.lasts("flight", key) == 2_000
            await asyncio.sleep(0.25)
            following = await one.lists.board(key, lease_seconds=9.0)
            assert following == Boarding(leader=False, lease_seconds=1.75, background=background)
        # Its name is remembered once, and no longer than it may lead.
        await one.lists.land(KEY, ABANDONED, led=True)
        assert one.lasts("flight") < 0
        assert len(one.lists._tokens) == 1
        await asyncio.sleep(2.0)
        assert (await one.lists.board(KEY, lease_seconds=0.0001)).leader
        assert one.lasts("flight") == 1
        assert len(one.lists._tokens) == 1

    play(scenario)


def test_an_answer_of_before_is_repeated_for_what_is_left_of_its_time() -> None:
    async def scenario(one: Replica) -> None:
        assert await one.lists.land(KEY, PINNED, led=False) == Landed(PINNED, PIN_SECONDS)
        assert one.lasts("pin") == PIN_SECONDS * 1000
        await asyncio.sleep(1.25)
        assert await one.lists.land(KEY, Outcome(None, "popular", "timeout"), led=False) == Landed(PINNED, 3.75)
        assert await one.lists.board(KEY, lease_seconds=2.0) == Boarding(
            leader=False, pinned=PINNED, pinned_seconds=3.75
        )
        await asyncio.sleep(3.75)
        assert (await one.lists.board(KEY, lease_seconds=2.0)).leader

    play(scenario)


@pytest.mark.parametrize(("stale_seconds", "milliseconds"), [(STALE, 100_000), (0.0015, 2), (0.0, 1)])
def test_a_list_is_kept_for_as_long_as_it_may_be_shown(stale_seconds: float, milliseconds: int) -> None:
    async def scenario(one: Replica) -> None:
        await one.live()
        assert one.lasts("list") == milliseconds
        await one.live(key=VALUED)
        assert one.lasts("lists", VALUED[:8]) == milliseconds

    play(scenario, stale_seconds)


def test_what_others_have_already_and_what_answers_nobody_is_not_kept_again() -> None:
    async def scenario(one: Replica) -> None:
        for outcome in (Outcome(one.made(1.0), "cache"), ABANDONED):
            assert await one.lists.land(KEY, outcome, led=False) == Landed(outcome)
        # As things stand nothing is shown of a live list without items.
        assert await one.lists.land(KEY, Outcome(None, "personalize"), led=False) == Landed(
            Outcome(None, "personalize")
        )
        assert [one.lasts(kind) for kind in ("list", "pin", "flight")] == [-2, -2, -2]

    play(scenario)


@pytest.mark.parametrize(
    ("age", "source"), [(0.0, "cache"), (9.9, "cache"), (4.9, "cache"), (10.1, None), (-1.9, "cache"), (-2.1, None)]
)
def test_in_the_place_of_a_degraded_answer_a_fresh_list_is_shown(age: float, source: str | None) -> None:
    async def scenario(one: Replica) -> None:
        envelope = await one.live(age)
        landed = await one.lists.land(KEY, PINNED, led=False)
        assert landed == Landed(PINNED if source is None else Outcome(envelope, "cache"))
        assert (one.lasts("pin") > 0) == (source is None)

    play(scenario)


def test_a_list_as_young_as_a_pin_is_what_another_part_of_the_message_shows_though_no_longer_fresh() -> None:
    async def scenario(one: Replica) -> None:
        one.lists = one.lists.of_age(Freshness(1.0, STALE))
        envelope = await one.live(4.0)
        assert await one.lists.land(KEY, PINNED, led=False) == Landed(Outcome(envelope, "stale", "budget"))
        await one.live(5.1)
        assert await one.lists.land(KEY, PINNED, led=False) == Landed(PINNED)

    play(scenario)


def test_an_offered_list_lasts_for_what_is_left_of_it_and_a_fresh_one_that_is_there_prevails() -> None:
    async def scenario(one: Replica) -> None:
        ours = one.made(4.0, "ours")
        assert await one.lists.offer(KEY, ours) == ours
        assert (one.kept("list"), one.lasts("list")) == (ours, 96_000)
        theirs = one.made(2.0, "theirs")
        assert await one.lists.offer(KEY, theirs) == ours
        assert one.kept("list") == ours
        # Of the future by what clocks may differ.
        early = one.made(-1.0)
        assert await one.lists.offer(VALUED, early) == early
        assert one.lasts("list", VALUED) == 100_000
        assert one.server.redis.command("ZCARD", f"pc:{{{VALUED[:8].hex()}}}:lists") == 1
        await asyncio.sleep(7.0)
        # No longer fresh: it stays where it is.
        assert await one.lists.offer(KEY, ours) == ours
        new = one.made(0.0, "new")
        assert await one.lists.offer(KEY, new) == new
        assert one.kept("list") == new
        await one.lists.take_out(KEY)
        assert one.kept("list") is None
        await asyncio.sleep(0.01)
        assert one.forgotten == [UserPrefix(KEY[:8])]

    play(scenario, 100.0)


def test_what_no_version_can_read_makes_room_for_a_lead() -> None:
    async def scenario(one: Replica) -> None:
        command = one.server.redis.command
        name = f"pc:{{{KEY.hex()}}}:"
        # A pin with words of a later version, and a list whose time is no number.
        command("SET", f"{name}pin", pack_outcome(PINNED).replace(b"budget", b"future"))
        command("SET", f"{name}list", one.made(float("inf")))
        assert (await one.lists.board(KEY, lease_seconds=2.0)) == Boarding(leader=True)
        assert one.events == {"unreadable": 2}
        assert one.kept("pin") is None
        command("SET", f"{name}pin", pack_outcome(PINNED).replace(b"budget", b"future"))
        assert await one.lists.land(KEY, PINNED, led=False) == Landed(PINNED)
        assert one.events == {"unreadable": 3}
        assert await one.lists.look(KEY) is None
        assert await one.lists.made_at([]) == []

    play(scenario)


def test_a_user_is_forgotten_however_many_keys_there_are_but_for_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(one: Replica) -> None:
        for number in range(30):
            await one.live(key=UserKey(KEY[:8] + bytes([number]) * 8))
        await one.live()
        await one.lists.land(KEY, PINNED, led=False)
        await one.lists.board(VALUED, lease_seconds=9.0)
        stranger = UserKey(b"s" * 15)
        await one.live(key=stranger)
        await one.lists.forget_user(UserPrefix(KEY[:8]))
        left = [name for name in one.server.redis.names() if KEY[:8].hex().encode() in name]
        assert left == [f"pc:{{{VALUED.hex()}}}:flight".encode()]
        assert one.kept("list", stranger) is not None
        await asyncio.sleep(0.01)
        assert one.forgotten == [UserPrefix(KEY[:8])]
        # Another replica is there, and does not listen.
        one.lists._heartbeat.replicas = 2
        monkeypatch.setattr(one.lists._heartbeat, "beat", lambda: asyncio.sleep(0))
        with pytest.raises(SharedStateUnavailable, match="1 of 2 replicas listen"):
            await one.lists.forget_user(UserPrefix(KEY[:8]))

    play(scenario)


MESSAGE = bytes([15]) + KEY + pack_outcome(PINNED)


@pytest.mark.parametrize(
    ("message", "heard"),
    [
        (MESSAGE, PINNED),
        (b"", None),
        (bytes([15]), None),
        (bytes([15]) + KEY[:14], None),
        (bytes([7]) + KEY[:7], None),
        (MESSAGE[:-1], None),
        (bytes([15]) + KEY + b"\x00", None),
        (bytes([8]) + KEY[:8], "forget"),
    ],
)
def test_a_message_ends_a_flight_has_a_user_forgotten_or_is_counted(message: bytes, heard: object) -> None:
    async def scenario(one: Replica) -> None:
        async with one.lists.follow(KEY) as landing, one.lists.follow(VALUED) as other:
            one.server.publish(b"pc:flights", message)
            assert await landing.wait(0.1) == (heard if isinstance(heard, Outcome) else None)
            assert await other.wait(0.0) is None
        assert one.forgotten == ([UserPrefix(KEY[:8])] if heard == "forget" else [])
        assert one.events == ({"unreadable": 1} if heard is None else {})

    play(scenario)


def test_a_channel_that_says_nothing_is_asked_and_then_given_up() -> None:
    async def scenario(one: Replica) -> None:
        # A pong now and then is enough.
        await asyncio.sleep(10 * SILENCE_SECONDS)
        assert one.events == {}
        assert await one.lists.channel.listeners() == 1
        async with one.lists.follow(KEY) as landing:
            began = one.clock.monotonic()
            [subscriber] = one.server._subscribers
            # What is sent on this connection is lost.
            one.server.unsubscribe(subscriber)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(subscriber, "ping", lambda: asyncio.sleep(0))
                assert await landing.wait(60.0) == ABANDONED
            took = one.clock.monotonic() - began
            assert SILENCE_SECONDS < took <= 3 * SILENCE_SECONDS + 1
        assert one.events == {"resubscribed": 1}
        assert one.client.up
        assert await one.lists.channel.listeners() == 1

    play(scenario)


def test_a_channel_that_is_lost_says_why() -> None:
    async def scenario(one: Replica) -> None:
        with capture_logs() as logs:
            one.server.kill()
            await asyncio.sleep(0.01)
        assert [log["cause"] for log in logs if log["event"] == "flights_channel_lost"] == [
            "the connection was closed; a port with TLS wants rediss://"
        ]

    play(scenario)
