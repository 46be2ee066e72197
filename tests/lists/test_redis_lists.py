import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.clock import Clock
from service.constants import MAX_LISTS_WITH_VALUES, PIN_SECONDS
from service.errors import SharedStateUnavailable
from service.lists import envelope
from service.lists.adapters.outcome_codec import pack_outcome, unpack_outcome
from service.lists.adapters.redis import RedisLists
from service.lists.freshness import MAX_CLOCK_SKEW_SECONDS, Freshness
from service.lists.keys import UserKey, UserPrefix
from service.lists.ports import ABANDONED, Landed, ListsEvent, Outcome
from service.models import ItemList
from tests.support.clocks import StandingClock
from tests.support.fleet import Member, join
from tests.support.redis import RedisServer
from tests.support.waiting import until

KEY = UserKey(blake2b(b"someone", digest_size=16).digest())
FOLLOWED = UserKey(b"f" * 16)
VALUED_BYTES = 17
FRESH_SECONDS = 900.0


class Events(Counter[str]):
    """A `ListsRecorder` that one can ask."""

    def lists_event(self, event: ListsEvent) -> None:
        self[event] += 1


@dataclass
class Replica:
    lists: RedisLists
    member: Member
    events: Events = field(default_factory=Events)
    forgotten: asyncio.Queue[UserPrefix] = field(default_factory=asyncio.Queue)


@asynccontextmanager
async def _replica(server: RedisServer, clock: Clock) -> AsyncIterator[Replica]:
    events = Events()
    forgotten: asyncio.Queue[UserPrefix] = asyncio.Queue()
    async with AsyncExitStack() as stack:
        member = await stack.enter_async_context(join(server.url, clock, heartbeat_seconds=0.05))
        lists = await stack.enter_async_context(
            RedisLists(
                member.client,
                member.heartbeat,
                clock=clock,
                freshness=Freshness(FRESH_SECONDS, 7 * 86_400),
                recorder=events,
                on_forget=forgotten.put_nowait,
                prefix_of_values=lambda key: UserPrefix(key[:8]) if len(key) == VALUED_BYTES else None,
            )
        )
        await asyncio.wait_for(lists.channel.listening.wait(), 2)
        yield Replica(lists, member, events, forgotten)


@pytest.fixture
async def one(redis_server: RedisServer, clock: Clock) -> AsyncIterator[Replica]:
    async with _replica(redis_server, clock) as replica:
        yield replica


@pytest.fixture
async def other(redis_server: RedisServer, clock: Clock) -> AsyncIterator[Replica]:
    async with _replica(redis_server, clock) as replica:
        yield replica


def _envelope(made_at: float, items: int = 25) -> envelope.Envelope:
    ids = tuple(str(uuid.uuid4()) for _ in range(items))
    return envelope.seal(ItemList(ids, "RID-1", made_at))


def _live(clock: Clock) -> Outcome:
    return Outcome(_envelope(clock.time()), "personalize")


async def test_one_replica_leads_and_the_other_gets_the_same_list(one: Replica, other: Replica, clock: Clock) -> None:
    assert (await one.lists.board(KEY, lease_seconds=2)).leader
    async with other.lists.follow(KEY) as landing:
        following = await other.lists.board(KEY, lease_seconds=2)
        assert not following.leader
        assert 1.5 < following.lease_seconds <= 2
        outcome = _live(clock)
        await one.lists.land(KEY, outcome, led=True)
        assert await landing.wait(2) == outcome
    after = await other.lists.board(KEY, lease_seconds=2)
    assert not after.leader
    assert after.envelope == outcome.envelope


async def test_every_follower_of_a_flight_gets_its_end_and_strangers_do_not(
    one: Replica, other: Replica, clock: Clock
) -> None:
    await one.lists.board(KEY, lease_seconds=2)
    async with AsyncExitStack() as stack:
        landings = [await stack.enter_async_context(other.lists.follow(KEY)) for _ in range(3)]
        stranger = await stack.enter_async_context(other.lists.follow(UserKey(b"x" * 16)))
        await other.lists.board(KEY, lease_seconds=2)
        outcome = _live(clock)
        await one.lists.land(KEY, outcome, led=True)
        assert [await landing.wait(2) for landing in landings] == [outcome] * 3
        assert await stranger.wait(0) is None
    assert not other.lists.channel._followers


async def test_the_end_of_a_flight_that_nobody_has_boarded_is_not_published(
    one: Replica, other: Replica, clock: Clock
) -> None:
    """Every replica would hear of every miss; a flight that was lost may have had followers."""
    async with other.lists.follow(KEY) as unboarded, other.lists.follow(FOLLOWED) as boarded:
        await one.lists.board(KEY, lease_seconds=2)
        await one.lists.land(KEY, _live(clock), led=True)
        await one.lists.board(FOLLOWED, lease_seconds=2)
        await other.lists.board(FOLLOWED, lease_seconds=2)
        outcome = _live(clock)
        await one.lists.land(FOLLOWED, outcome, led=True)
        assert await boarded.wait(2) == outcome
        assert await unboarded.wait(0) is None
    async with other.lists.follow(KEY) as landing, other.member.client.use() as redis:
        await redis.flushall()
        lost = _live(clock)
        await one.lists.land(KEY, lost, led=True)
        assert await landing.wait(2) == lost


async def test_a_follower_that_gives_up_does_not_take_the_others_along(
    one: Replica, other: Replica, clock: Clock
) -> None:
    boarded = []

    async def follow() -> Outcome | None:
        async with other.lists.follow(KEY) as landing:
            boarded.append(await other.lists.board(KEY, lease_seconds=2))
            return await landing.wait(5)

    await one.lists.board(KEY, lease_seconds=2)
    patient, impatient = asyncio.create_task(follow()), asyncio.create_task(follow())
    await until(lambda: len(boarded) == 2)
    impatient.cancel()
    outcome = _live(clock)
    await one.lists.land(KEY, outcome, led=True)
    assert await asyncio.wait_for(patient, 2) == outcome
    assert not other.lists.channel._followers


async def _leads(replica: Replica) -> bool:
    return (await replica.lists.board(KEY, lease_seconds=60)).leader


async def test_the_lead_of_a_leader_that_died_ends_with_its_lease(one: Replica, other: Replica) -> None:
    assert (await one.lists.board(KEY, lease_seconds=1.5)).leader
    following = await other.lists.board(KEY, lease_seconds=1.5)
    assert not following.leader
    assert following.lease_seconds <= 1.5
    await until(partial(_leads, other))


async def test_a_leader_that_lands_late_does_not_end_the_next_ones_lead(
    one: Replica, other: Replica, clock: Clock
) -> None:
    assert (await one.lists.board(KEY, lease_seconds=0.05)).leader
    await until(partial(_leads, other))
    await one.lists.land(KEY, Outcome(_envelope(clock.time() - 2 * FRESH_SECONDS), "personalize"), led=True)
    assert not (await one.lists.board(KEY, lease_seconds=5)).leader


async def test_leads_that_nobody_landed_are_not_remembered_for_ever(one: Replica) -> None:
    one.lists._clock = clock = StandingClock()
    for number in range(50):
        assert (await one.lists.board(UserKey(number.to_bytes(16, "big")), lease_seconds=10)).leader
        clock.now += 1
    assert len(one.lists._tokens) == 11


async def test_a_stale_list_comes_with_the_lead_of_refreshing_it(one: Replica, clock: Clock) -> None:
    stale = Outcome(_envelope(clock.time() - FRESH_SECONDS - 1), "personalize")
    await one.lists.land(KEY, stale, led=False)
    boarding = await one.lists.board(KEY, lease_seconds=2)
    assert boarding.leader
    assert boarding.envelope == stale.envelope


@pytest.mark.parametrize("age_seconds", [0.0, FRESH_SECONDS - 2])
async def test_nobody_leads_for_a_fresh_list(one: Replica, clock: Clock, age_seconds: float) -> None:
    await one.lists.land(KEY, Outcome(_envelope(clock.time() - age_seconds), "personalize"), led=False)
    boarding = await one.lists.board(KEY, lease_seconds=2)
    assert not boarding.leader
    assert boarding.lease_seconds == 0


@pytest.mark.parametrize("fast_seconds", [1.0, 5.0, 3600.0, 1e9])
async def test_a_list_from_the_future_comes_with_the_lead_of_renewing_it(
    one: Replica, clock: Clock, fast_seconds: float
) -> None:
    """J4. What the clocks of two replicas may differ by is no future."""
    early = _envelope(clock.time() + fast_seconds)
    await one.member.redis.set(one.lists._keys(KEY)[0], early)
    boarding = await one.lists.board(KEY, lease_seconds=2)
    assert boarding.leader is (fast_seconds > MAX_CLOCK_SKEW_SECONDS)
    assert boarding.envelope == early


async def test_a_degraded_answer_is_repeated_on_every_replica_and_the_first_one_stays(
    one: Replica, other: Replica, clock: Clock
) -> None:
    first = Outcome(_envelope(clock.time() - 2 * FRESH_SECONDS), "stale", "budget")
    await one.lists.board(KEY, lease_seconds=2)
    await one.lists.land(KEY, first, led=True)
    await other.lists.land(KEY, Outcome(None, "popular", "timeout"), led=False)
    boarding = await other.lists.board(KEY, lease_seconds=2)
    assert not boarding.leader
    assert boarding.pinned == first
    pin_ms = await one.member.redis.pttl(one.lists._keys(KEY)[1])
    assert 0 < pin_ms <= PIN_SECONDS * 1000


async def test_a_live_list_that_lands_after_a_pin_is_kept_and_the_pin_is_shown(
    one: Replica, other: Replica, clock: Clock
) -> None:
    """K5, K6."""
    pinned, live = Outcome(None, "popular", "timeout"), _live(clock)
    await one.lists.board(KEY, lease_seconds=5)
    async with other.lists.follow(KEY) as landing:
        await other.lists.board(KEY, lease_seconds=5)
        assert await other.lists.land(KEY, pinned, led=False) == Landed(pinned)
        assert await landing.wait(2) == pinned
    await asyncio.sleep(0.2)
    async with other.lists.follow(KEY) as landing:
        landed = await one.lists.land(KEY, live, led=True)
        assert await landing.wait(2) == ABANDONED
    assert landed.outcome == pinned
    assert 0 < landed.pinned_seconds <= PIN_SECONDS - 0.2
    boarding = await other.lists.board(KEY, lease_seconds=5)
    assert (boarding.pinned, boarding.envelope, boarding.leader) == (pinned, live.envelope, False)
    assert 0 < boarding.pinned_seconds <= landed.pinned_seconds


async def test_a_pin_that_comes_after_a_live_list_is_that_list(one: Replica, other: Replica, clock: Clock) -> None:
    """K5."""
    live = _live(clock)
    await one.lists.board(KEY, lease_seconds=5)
    await one.lists.land(KEY, live, led=True)
    landed = await other.lists.land(KEY, Outcome(None, "popular", "timeout"), led=False)
    assert landed.outcome == Outcome(live.envelope, "cache")
    assert (await other.lists.board(KEY, lease_seconds=5)).pinned is None


async def test_of_two_pins_the_first_one_is_shown(one: Replica, other: Replica) -> None:
    """K5."""
    first = Outcome(None, "popular", "budget")
    await one.lists.land(KEY, first, led=False)
    assert (await other.lists.land(KEY, Outcome(None, "popular", "timeout"), led=False)).outcome == first


async def test_a_pin_that_a_clock_set_back_makes_last_is_not_believed(one: Replica, other: Replica) -> None:
    """J2: Redis counts by its clock, so a pin of 5 s lasts an hour longer if the clock goes back by an hour."""
    outcome = Outcome(None, "popular", "budget")
    await one.lists.land(KEY, outcome, led=False)
    async with one.member.client.use() as redis:
        assert await redis.pexpire(one.lists._keys(KEY)[1], 3_600_000)
    second = Outcome(None, "popular", "timeout")
    assert await other.lists.land(KEY, second, led=False) == Landed(second)
    async with one.member.client.use() as redis:
        assert await redis.pexpire(one.lists._keys(KEY)[1], 3_600_000)
    boarding = await one.lists.board(KEY, lease_seconds=5)
    assert (boarding.leader, boarding.pinned) == (True, None)


async def test_a_flight_for_nobody_fetches_the_list_of_a_user_who_was_just_given_less(
    one: Replica, clock: Clock
) -> None:
    """K1: who got a stale list for want of a slot is pinned to it, and waits for a refresh."""
    pinned, live = Outcome(None, "popular", "budget"), _live(clock)
    await one.lists.land(KEY, pinned, led=False)
    boarding = await one.lists.board(KEY, lease_seconds=5, background=True)
    assert (boarding.leader, boarding.pinned) == (True, None)
    assert (await one.lists.land(KEY, live, led=True)).outcome == pinned
    assert (await one.lists.board(KEY, lease_seconds=5)).pinned == pinned


async def test_followers_hear_whether_somebody_waits_for_the_flight(one: Replica, other: Replica) -> None:
    """K3."""
    for background in (True, False):
        key = UserKey(bytes([background]) * 15)
        assert not (await one.lists.board(key, lease_seconds=5, background=background)).background
        following = await other.lists.board(key, lease_seconds=5)
        assert (following.leader, following.background) == (False, background)


async def test_a_degraded_answer_never_replaces_the_list_that_is_kept(one: Replica, clock: Clock) -> None:
    kept = Outcome(_envelope(clock.time()), "personalize")
    await one.lists.land(KEY, kept, led=False)
    await one.lists.land(KEY, Outcome(None, "popular", "error"), led=False)
    assert (await one.lists.board(KEY, lease_seconds=2)).envelope == kept.envelope


@pytest.mark.parametrize("skew", [0.0, MAX_CLOCK_SKEW_SECONDS - 0.5])
async def test_who_renews_a_list_leads_although_it_is_fresh(
    one: Replica, other: Replica, clock: Clock, skew: float
) -> None:
    kept = Outcome(_envelope(clock.time() + skew), "personalize")
    await one.lists.land(KEY, kept, led=False)
    assert not (await one.lists.board(KEY, lease_seconds=2, background=True)).leader
    renewing = await one.lists.board(KEY, lease_seconds=2, background=True, renew=True)
    assert (renewing.leader, renewing.envelope) == (True, kept.envelope)
    # Once at a time, and callers have the fresh list meanwhile.
    assert not (await other.lists.board(KEY, lease_seconds=2, background=True, renew=True)).leader
    assert (await other.lists.board(KEY, lease_seconds=2)).envelope == kept.envelope


@pytest.mark.parametrize(
    "value",
    [b"", b"\x01", b"\x01\x00\x00", bytes([envelope.VERSION + 1]) + b"x" * 40, b"garbage" * 9],
)
async def test_a_list_this_version_cannot_read_is_missing_and_counted(one: Replica, value: bytes) -> None:
    await one.member.redis.set(one.lists._keys(KEY)[0], value)
    boarding = await one.lists.board(KEY, lease_seconds=2)
    assert boarding.leader
    assert boarding.envelope is None
    assert one.events["unreadable"] == 1


@pytest.mark.parametrize(
    "value",
    [b"", b"\x01", b"\x11", pack_outcome(Outcome(None, "stale", "budget"))[:-3], b"\x10\x00\x00\x00garbage"],
)
async def test_a_pin_this_version_cannot_read_is_missing_and_counted(one: Replica, value: bytes) -> None:
    await one.member.redis.set(one.lists._keys(KEY)[1], value)
    boarding = await one.lists.board(KEY, lease_seconds=2)
    assert boarding.leader
    assert boarding.pinned is None
    assert one.events["unreadable"] == 1


async def test_a_full_redis_keeps_no_list_but_the_followers_get_it(one: Replica, other: Replica, clock: Clock) -> None:
    await one.member.redis.config_set("maxmemory", "1mb")
    await one.member.redis.config_set("maxmemory-policy", "noeviction")
    assert (await one.lists.board(KEY, lease_seconds=5)).leader
    outcome = _live(clock)
    async with other.lists.follow(KEY) as landing:
        assert not (await other.lists.board(KEY, lease_seconds=5)).leader
        await one.lists.land(KEY, outcome, led=True)
        assert await landing.wait(2) == outcome
    assert one.events["full"] == 1
    assert one.member.client.up
    assert (await other.lists.board(KEY, lease_seconds=5)).leader


async def test_a_redis_that_fills_up_behind_a_list_with_values_is_counted(
    one: Replica, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    land = one.lists._land

    async def land_and_fill(keys: list[str], args: list[str]) -> object:
        reply: object = await land(keys, args)
        await one.member.redis.config_set("maxmemory", "1mb")
        return reply

    monkeypatch.setattr(one.lists, "_land", land_and_fill)
    await one.member.redis.config_set("maxmemory-policy", "noeviction")
    await one.lists.land(UserKey(bytes(VALUED_BYTES)), _live(clock), led=False)
    assert one.events == {"full": 1}
    assert one.member.client.up


async def test_forgetting_a_user_reaches_every_replica(one: Replica, other: Replica, clock: Clock) -> None:
    await one.lists.land(KEY, _live(clock), led=False)
    await one.lists.land(KEY, Outcome(None, "popular", "budget"), led=False)
    await one.lists.forget_user(UserPrefix(KEY))
    for replica in (one, other):
        assert await asyncio.wait_for(replica.forgotten.get(), 2) == UserPrefix(KEY)
    assert await one.member.redis.exists(*one.lists._keys(KEY)) == 0


async def test_of_one_users_lists_with_values_the_latest_are_kept(one: Replica, other: Replica, clock: Clock) -> None:
    user = KEY[:8]
    valued = [UserKey(user + number.to_bytes(VALUED_BYTES - 8)) for number in range(MAX_LISTS_WITH_VALUES + 5)]
    stranger = UserKey(bytes(VALUED_BYTES))
    for key in (KEY, stranger, *valued, valued[5]):
        await (one if key[-1] % 2 else other).lists.land(key, _live(clock), led=False)

    def lists(keys: list[UserKey]) -> list[str]:
        return [one.lists._keys(key)[0] for key in keys]

    assert await one.member.redis.exists(*lists(valued[:5])) == 0
    kept = [KEY, stranger, *valued[5:]]
    assert await one.member.redis.exists(*lists(kept)) == len(kept)
    assert await one.member.redis.zcard(f"pc:{{{user.hex()}}}:lists") == MAX_LISTS_WITH_VALUES
    # Nothing of it needs a transaction of Redis, which costs two commands more.
    assert "cmdstat_multi" not in await one.member.redis.info("commandstats")
    await one.lists.forget_user(UserPrefix(user))
    assert await one.member.redis.keys(f"*{user.hex()}*") == []


async def test_without_redis_every_call_says_so_and_a_follower_is_sent_away_at_once(
    one: Replica, redis_server: RedisServer, clock: Clock
) -> None:
    async with one.lists.follow(KEY) as landing:
        waiting = asyncio.create_task(landing.wait(60))
        redis_server.kill()
        for _ in range(2):
            with pytest.raises(SharedStateUnavailable):
                await one.lists.board(KEY, lease_seconds=2)
        with pytest.raises(SharedStateUnavailable):
            await one.lists.land(KEY, _live(clock), led=True)
        with pytest.raises(SharedStateUnavailable):
            await one.lists.forget_user(UserPrefix(KEY))
        with pytest.raises(SharedStateUnavailable):
            async with one.lists.follow(KEY):
                pass
        with pytest.raises(SharedStateUnavailable):
            await asyncio.wait_for(waiting, 1)


async def test_a_follower_boards_again_when_only_the_channel_was_lost(one: Replica, other: Replica) -> None:
    await one.lists.board(KEY, lease_seconds=60)
    async with other.lists.follow(KEY) as landing:
        waiting = asyncio.create_task(landing.wait(60))
        await one.member.redis.client_kill_filter(_type="pubsub")
        assert await asyncio.wait_for(waiting, 5) == ABANDONED
    assert other.member.client.up


async def test_after_redis_is_back_flights_are_heard_again(
    one: Replica, redis_server: RedisServer, clock: Clock
) -> None:
    redis_server.kill()
    await until(lambda: not one.lists.channel.listening.is_set())
    redis_server.start()
    await asyncio.wait_for(one.lists.channel.listening.wait(), 5)
    assert one.events["resubscribed"] == 1
    outcome = _live(clock)
    async with one.lists.follow(KEY) as landing:
        assert (await one.lists.board(KEY, lease_seconds=2)).leader
        assert not (await one.lists.board(KEY, lease_seconds=2)).leader
        await one.lists.land(KEY, outcome, led=True)
        assert await landing.wait(2) == outcome


async def test_after_a_script_flush_nobody_notices(one: Replica, clock: Clock) -> None:
    await one.lists.board(KEY, lease_seconds=2)
    await one.member.redis.script_flush()
    await one.lists.land(KEY, _live(clock), led=True)
    assert (await one.lists.board(KEY, lease_seconds=2)).envelope is not None


async def test_keys_carry_a_prefix_and_the_hash_only(one: Replica, clock: Clock) -> None:
    await one.lists.board(KEY, lease_seconds=2)
    await one.lists.land(KEY, Outcome(None, "popular", "budget"), led=False)
    await one.lists.land(KEY, _live(clock), led=False)
    keys = {key async for key in one.member.redis.scan_iter("*" + KEY.hex() + "*")}
    name = f"pc:{{{KEY.hex()}}}:"
    assert keys == {f"{name}{kind}".encode() for kind in ("list", "pin", "flight")}
    for key in keys:
        assert await one.member.redis.pttl(key) > 0


async def test_a_miss_costs_two_round_trips(one: Replica, clock: Clock) -> None:
    await one.lists.board(UserKey(b"warm"), lease_seconds=2)
    await one.lists.land(UserKey(b"warm"), _live(clock), led=True)
    await one.member.redis.config_resetstat()
    await one.lists.board(KEY, lease_seconds=2)
    await one.lists.land(KEY, _live(clock), led=True)
    calls = await one.member.redis.info("commandstats")
    own = {name for name in calls if name.startswith(("cmdstat_eval", "cmdstat_script"))}
    assert own == {"cmdstat_evalsha"}


_outcomes = st.builds(
    Outcome,
    envelope=st.none()
    | st.builds(
        lambda ids, made: envelope.seal(ItemList(tuple(ids), "RID", made)),
        st.lists(st.text(min_size=1, max_size=20), max_size=5),
        st.floats(0, 1e10),
    ),
    source=st.sampled_from(["personalize", "stale", "popular", "none"]),
    degraded_reason=st.sampled_from([None, "budget", "timeout"]),
)


@given(_outcomes)
def test_an_outcome_survives_packing(outcome: Outcome) -> None:
    assert unpack_outcome(pack_outcome(outcome)) == outcome


@given(st.binary(max_size=60))
def test_any_bytes_are_an_outcome_or_refused(packed: bytes) -> None:
    unpacked = unpack_outcome(packed)
    assert unpacked is None or pack_outcome(unpacked)


async def test_a_leader_that_leaves_without_an_answer_lets_another_lead(one: Replica, other: Replica) -> None:
    assert (await one.lists.board(KEY, lease_seconds=5.0)).leader
    async with other.lists.follow(KEY) as landing:
        assert not (await other.lists.board(KEY, lease_seconds=5.0)).leader
        await one.lists.land(KEY, Outcome(envelope=None, source="none"), led=True)
        assert await landing.wait(2.0) == Outcome(envelope=None, source="none")
    boarding = await other.lists.board(KEY, lease_seconds=5.0)
    assert boarding.leader
    assert boarding.pinned is None


async def test_when_lists_were_made_costs_one_round_trip(redis_server: RedisServer, clock: Clock) -> None:
    async with _replica(redis_server, clock) as replica:
        keys = [UserKey(blake2b(str(n).encode(), digest_size=16).digest()) for n in range(4)]
        now = clock.time()
        for key, made_at in zip(keys, (now, now - 100), strict=False):
            sealed = envelope.seal(ItemList(("a", "b"), "RID", made_at))
            await replica.lists.land(key, Outcome(sealed, "personalize"), led=False)
        await replica.member.redis.set(replica.lists._keys(keys[2])[0], b"\xff" * 40)
        assert await replica.lists.made_at(keys) == [now, now - 100, None, None]
        redis_server.kill()
        with pytest.raises(SharedStateUnavailable):
            await replica.lists.made_at(keys)
