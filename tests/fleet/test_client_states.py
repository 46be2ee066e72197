"""When the way to Redis counts as up, down or refused, and when it is looked for again; no server is needed."""

from contextlib import AsyncExitStack

import pytest
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from service.errors import SharedStateFull, SharedStateUnavailable
from service.fleet import sentinels as sentinels_module
from service.fleet.causes import Refusal
from service.fleet.client import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS
from service.fleet.connections import MAX_CONNECTIONS
from service.fleet.sentinels import NAMED_SECONDS
from tests.support.clocks import StandingClock
from tests.support.odd_redis import HANG_UP, SILENCE, Answer, OddRedis, get, hello, odd_cluster, odd_redis, opened
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("patient_client")

NOBODY_ENTERS = "-NOAUTH Authentication required."


async def test_a_redis_that_refuses_for_good_is_looked_at_ever_more_seldom(now: StandingClock) -> None:
    """E1: a replica that went to and fro would spend the budget of two."""
    async with odd_redis({"HELLO": NOBODY_ENTERS}) as redis, opened(redis, is_up=False) as client:
        looks = []
        for second in range(220):
            now.now = 100.0 + second
            before = redis.connections
            with pytest.raises(SharedStateUnavailable, match="Redis"):
                await client.find()
            if redis.connections > before:
                looks.append(second)
        assert looks == [0, 5, 15, 35, 75, 135, 195]
        # After it was well for long enough, the next one is the first one.
        redis.says.clear()
        now.now = 100.0 + 195 + MAX_PAUSE_SECONDS
        await client.find()
        client.mark_up()
        now.now += MAX_PAUSE_SECONDS
        # Several commands may be refused at the same moment.
        for _ in range(3):
            client.mark_down(ResponseError("NOAUTH Authentication required."))
        now.now += FIRST_PAUSE_SECONDS - 0.001
        with pytest.raises(SharedStateUnavailable, match="refuses"):
            await client.find()
        now.now += 0.001
        await client.find()


async def test_what_passes_by_itself_is_looked_at_with_every_beat_and_each_cause_is_named_once(
    now: StandingClock,
) -> None:
    """E5."""
    del now
    async with odd_redis() as redis:
        with capture_logs() as logs:
            async with opened(redis) as client:
                changes: list[bool] = []
                client.on_change(changes.append)
                client.mark_up()
                for says in ("-LOADING Redis is loading", "-LOADING Redis is still loading", "-CLUSTERDOWN x") * 2:
                    redis.says["HELLO"] = says
                    client.mark_down(ConnectionResetError("reset"))
                    with pytest.raises(SharedStateUnavailable, match="Redis failed"):
                        await client.find()
                    with pytest.raises(SharedStateUnavailable, match="is down"):
                        await get(client)
                redis.says.clear()
                await client.find()
                client.mark_up()
                assert await get(client) is None
                client.mark_down(ConnectionResetError("reset"))
            assert changes == [False, True, False]
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("redis_up", "info"),
        *[("redis_down", "warning")] * 3,
        ("redis_up", "info"),
        ("redis_down", "warning"),
    ]
    assert (logs[0]["server"], logs[0]["mode"]) == ("Redis 7.4.0", "standalone")
    assert logs[1]["cause"] == "the connection was closed; a port with TLS wants rediss://"


@pytest.mark.parametrize(
    ("says", "error", "stays_up"),
    [
        ("-OOM command not allowed when used memory > 'maxmemory'.", SharedStateFull, True),
        ("-WRONGTYPE Operation against a key", SharedStateUnavailable, True),
        ("-NOGROUP No such key or consumer group", SharedStateUnavailable, True),
        ("-ERR no such key", SharedStateUnavailable, True),
        ("-ERR syntax error", SharedStateUnavailable, False),
        ("-LOADING Redis is loading", SharedStateUnavailable, False),
        ("-NOPERM this user has no permissions", SharedStateUnavailable, False),
        (HANG_UP, SharedStateUnavailable, False),
        ("?odd", SharedStateUnavailable, False),
    ],
)
async def test_only_a_fault_of_the_key_itself_leaves_redis_up(
    says: Answer, error: type[Exception], *, stays_up: bool
) -> None:
    async with odd_redis() as redis, opened(redis) as client:
        redis.says["GET"] = says
        with pytest.raises(error, match="Redis"):
            await get(client, "key")
        assert client.up is stays_up
        # A command that fails is not sent again.
        assert redis.asked["GET"] == 2  # the first one was the look at the rights


@pytest.mark.parametrize(
    ("says", "event", "way_out"),
    [
        ("-OOM command not allowed when used memory > 'maxmemory'.", "redis_full", "more memory"),
        ("-WRONGTYPE Operation against a key", "redis_key_foreign", "begin with pc:"),
    ],
)
async def test_a_fault_of_a_key_that_stays_is_named_once(says: Answer, event: str, way_out: str) -> None:
    """E1: another product's keys made blocks and events fail for as long as they were there, without a line."""
    async with odd_redis() as redis, opened(redis) as client:
        redis.says["GET"] = says
        with capture_logs() as logs:
            for _ in range(3):
                with pytest.raises(SharedStateUnavailable):
                    await get(client, "key")
        [line] = logs
        assert (line["event"], str(says)[1:4] in line["cause"], way_out in line["remedy"]) == (event, True, True)


async def test_a_mistake_of_ours_is_none_of_rediss_and_time_that_is_over_is() -> None:
    async with odd_redis() as redis, opened(redis) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.use():
                raise ZeroDivisionError
        assert client.up
        client.timeout_seconds = 0.01
        redis.says["GET"] = SILENCE
        with pytest.raises(SharedStateUnavailable, match="TimeoutError"):
            await get(client)
        assert not client.up


async def test_who_waits_for_a_turn_as_long_as_for_an_answer_finds_redis_down() -> None:
    async with odd_redis() as redis, opened(redis) as client, AsyncExitStack() as under_way:
        for _ in range(MAX_CONNECTIONS):
            await under_way.enter_async_context(client.use())
        client.timeout_seconds = 0.01
        with pytest.raises(SharedStateUnavailable, match="TimeoutError"):
            await get(client)
        assert not client.up


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentinels are asked without a pause."""
    monkeypatch.setattr(sentinels_module, "SENTINEL_SECONDS", 0.001)
    monkeypatch.setattr(sentinels_module, "SENTINEL_PAUSE_SECONDS", 0.001)


BEHIND_SENTINELS = "redis+sentinel://{}/shop"


def name(sentinel: OddRedis, master: OddRedis) -> None:
    """Let the sentinel name this master."""
    sentinel.says["SENTINEL"] = [b"127.0.0.1", b"%d" % master.port]


async def looks(sentinel: OddRedis) -> None:
    """A look at the sentinel that began now is over, and the next one has begun."""
    asked = sentinel.asked["SENTINEL"]
    await until(lambda: sentinel.asked["SENTINEL"] > asked + 2)


@pytest.mark.usefixtures("often")
async def test_a_master_that_the_sentinels_replace_is_left_and_the_new_one_gets_a_moment(now: StandingClock) -> None:
    """E3: the old one goes on to hand out slots."""
    async with odd_redis() as first, odd_redis() as second, odd_redis() as sentinel:
        name(sentinel, first)
        with capture_logs() as logs:
            async with opened(sentinel, form=BEHIND_SENTINELS, slots_seconds=1.5) as client:
                await looks(sentinel)
                assert client.up
                name(sentinel, second)
                await until(lambda: not client.up)
                # A beat that the old master had been asked for is answered now.
                client.mark_up()
                with pytest.raises(SharedStateUnavailable, match="Redis is down"):
                    client.use()
                # Until the last lease of the old one, the last of its slots, and the last command on its way to it.
                settled = 300.0 + NAMED_SECONDS + 1.5 + client.timeout_seconds
                for now.now in (300.0, settled - 0.001):
                    with pytest.raises(SharedStateUnavailable, match="has just changed"):
                        await client.find()
                    assert second.open
                    await until(lambda: not first.open)
                now.now = settled
                await client.find()
                client.mark_up()
                assert await get(client, "k") is None
                assert second.asked["GET"] > 1
        assert first.connections
        await until(lambda: first.open + second.open == 0)
    down = [line for line in logs if line["event"] == "redis_down"]
    assert len(down) == 1
    assert f"the sentinels name another master, 127.0.0.1:{second.port}" in down[0]["cause"]


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("odd", [None, HANG_UP, b"odd"])
async def test_a_master_that_no_sentinel_names_any_more_is_left_after_two_seconds(
    now: StandingClock, odd: Answer
) -> None:
    """It may have been replaced, and a master that was replaced hands out slots for seconds."""
    async with odd_redis() as redis, odd_redis() as sentinel:
        name(sentinel, redis)
        with capture_logs() as logs:
            async with opened(sentinel, form=BEHIND_SENTINELS) as client:
                # However long ago it was found, it is named.
                for _ in range(3):
                    now.now += NAMED_SECONDS - 0.001
                    await looks(sentinel)
                assert await get(client, "k") is None
                sentinel.says["SENTINEL"] = odd
                await looks(sentinel)
                now.now += NAMED_SECONDS - 0.001
                await looks(sentinel)
                assert await get(client, "k") is None
                now.now += 0.001
                await until(lambda: not client.up)
                # The same master is used again at once.
                name(sentinel, redis)
                await client.find()
                client.mark_up()
                assert await get(client, "k") is None
        await until(lambda: redis.open == 0)
    assert [line["cause"] for line in logs if line["event"] == "redis_down"] == [
        "the sentinels have not named it for 2 s"
    ]


async def test_a_process_that_stood_still_asks_no_master_before_it_has_looked_who_is_the_master(
    now: StandingClock,
) -> None:
    async with odd_redis() as redis, odd_redis() as sentinel:
        name(sentinel, redis)
        async with opened(sentinel, form=BEHIND_SENTINELS) as client:
            now.now += NAMED_SECONDS
            asked = redis.asked["GET"]
            with pytest.raises(SharedStateUnavailable, match="Redis is down"):
                await get(client, "k")
            assert (client.up, redis.asked["GET"]) == (False, asked)
        await until(lambda: redis.open == 0)


async def test_without_sentinels_redis_is_used_for_any_time(now: StandingClock) -> None:
    async with odd_redis() as redis, opened(redis) as client:
        now.now += 1e6
        assert await get(client, "k") is None


async def test_before_redis_was_found_and_after_the_end_nothing_is_asked() -> None:
    async with odd_redis() as redis:
        async with opened(redis, is_up=False) as client:
            for reach in (lambda: client.redis, lambda: client.scripts, client.use):
                with pytest.raises(SharedStateUnavailable, match="Redis is down"):
                    reach()
            # More than may be under way at a time: none of them keeps its turn.
            for _ in range(MAX_CONNECTIONS + 1):
                with pytest.raises(SharedStateUnavailable):
                    async with client.attempt():
                        pytest.fail("was let through")
            await client.find()
            assert not client.up
            async with client.attempt() as found:
                assert await found.ping()
            client.mark_up()
        with pytest.raises(SharedStateUnavailable, match="Redis is down"):
            client.use()


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ("redis://ann:secret@{}/3?client_name=shop", [[b"AUTH", b"ann", b"secret"], [b"SELECT", b"3"]]),
        ("redis://:secret@{}", [[b"AUTH", b"secret"]]),
        ("redis://{}", []),
        ("redis+cluster://ann:secret@{}", [[b"AUTH", b"ann", b"secret"]]),
    ],
)
async def test_every_connection_says_who_it_is(form: str, wanted: list[list[bytes]]) -> None:
    async with odd_cluster(1) as nodes, odd_redis() as server:
        redis = nodes[0] if "cluster" in form else server
        async with opened(redis, form=form) as client:
            await get(client, "k")
            await client.scripts.evalsha("sha", 1, "k")
            for command in wanted:
                assert redis.heard.count(command) == redis.connections
            other = [one for one in redis.heard if one[0] in (b"AUTH", b"SELECT") and one not in wanted]
            assert other == []
            names = [one for one in redis.heard if one[:2] == [b"CLIENT", b"SETNAME"]]
            assert names == ([[b"CLIENT", b"SETNAME", b"shop"]] * redis.connections if "shop" in form else [])


async def test_the_sentinels_have_a_login_of_their_own() -> None:
    async with odd_redis() as redis, odd_redis() as sentinel:
        sentinel.says["SENTINEL"] = [b"127.0.0.1", b"%d" % redis.port]
        form = "redis+sentinel://ann:secret@{}/shop/2?sentinel_username=watch&sentinel_password=other"
        async with opened(sentinel, form=form):
            assert [one for one in sentinel.heard if one[0] in (b"AUTH", b"SELECT")][:1] == [
                [b"AUTH", b"watch", b"other"]
            ]
            assert [b"AUTH", b"ann", b"secret"] in redis.heard
            assert [b"SELECT", b"2"] in redis.heard
            assert [b"SELECT", b"2"] not in sentinel.heard
        await until(lambda: redis.open == 0)


async def test_a_refusal_at_the_start_is_said_once(now: StandingClock) -> None:
    del now
    async with odd_redis({"HELLO": hello(version="6.0.0")}) as redis:
        with capture_logs() as logs:
            async with opened(redis, is_up=False) as client:
                for because in (Refusal("version", "too old"), Refusal("version", "too old"), Refusal("x", "else")):
                    client.mark_down(because)
    assert [(line["event"], line["cause"]) for line in logs] == [
        ("redis_refused", "too old"),
        ("redis_refused", "else"),
    ]
