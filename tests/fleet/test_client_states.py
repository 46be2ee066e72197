"""When the way to Redis counts as up, down or refused, and when it is looked for again; no server is needed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.crc import key_slot
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from service.errors import SharedStateFull, SharedStateUnavailable
from service.fleet import client as client_module
from service.fleet.causes import Refusal
from service.fleet.client import (
    CHANGING_SECONDS,
    FIRST_PAUSE_SECONDS,
    MAX_PAUSE_SECONDS,
    NODE_PAUSE_SECONDS,
    RedisClient,
)
from service.fleet.connections import MAX_CONNECTIONS, PatientCluster
from service.fleet.script import Script
from service.fleet.wire import ClusterWires
from tests.support.clocks import StandingClock
from tests.support.odd_redis import HANG_UP, SILENCE, Answer, OddRedis, hello, odd_cluster, odd_redis
from tests.support.waiting import PATIENCE_SECONDS, until

NOBODY_ENTERS = "-NOAUTH Authentication required."


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no Redis that is away."""
    monkeypatch.setattr(client_module, "FINDING_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> StandingClock:
    """The client's time."""
    clock = StandingClock(100.0)
    monkeypatch.setattr(client_module, "_now", clock.monotonic)
    return clock


@asynccontextmanager
async def opened(*servers: OddRedis, form: str = "redis://{}", is_up: bool = True) -> AsyncIterator[RedisClient]:
    url = form.format(",".join(f"127.0.0.1:{one.port}" for one in servers))
    async with RedisClient(url, timeout_seconds=PATIENCE_SECONDS) as client:
        if is_up:
            await client.find()
            client.mark_up()
        yield client
    assert not client.up
    await until(lambda: sum(one.open for one in servers) == 0)


async def get(client: RedisClient, *keys: str, spread: bool = False) -> object:
    async with client.use(*keys, spread=spread) as redis:
        return await redis.get(keys[0] if keys else "k")


async def ask_script(client: RedisClient) -> object:
    return await client.scripts.evalsha("sha", 1, "k")


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


@pytest.mark.parametrize("is_cluster", [False, True])
async def test_what_is_no_list_is_no_answer_of_redis(*, is_cluster: bool) -> None:
    async with odd_cluster(1) as [node], odd_redis() as server:
        redis, form = (node, "redis+cluster://{}") if is_cluster else (server, "redis://{}")
        async with opened(redis, form=form) as client:
            redis.says["HMGET"] = 1
            with pytest.raises(SharedStateUnavailable, match="InvalidResponse"):
                async with client.use("k") as library:
                    await library.hmget("k", ["a"])
            redis.says["HMGET"] = [b"1"]
            if client.up:
                client.mark_down(ConnectionResetError("reset"))
            await client.find()
            client.mark_up()
            async with client.use("k") as library:
                assert await library.hmget("k", ["a"]) == [b"1"]


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


def key_at(nodes: list[OddRedis], number: int, client: RedisClient) -> str:
    """A key of this node."""
    route = client._route
    assert route is not None
    names = (f"k{one}" for one in range(1_000))
    return next(name for name in names if route.node_of([name]) == f"127.0.0.1:{nodes[number].port}")


async def test_a_node_of_a_cluster_that_failed_is_left_for_a_moment_and_the_others_go_on(now: StandingClock) -> None:
    """E2."""
    async with odd_cluster(3) as nodes:
        with capture_logs() as logs:
            async with opened(*nodes, form="redis+cluster://{}") as client:
                here, there = (key_at(nodes, number, client) for number in (0, 1))
                nodes[1].says["GET"] = HANG_UP
                asked = []
                for now.now in (200.0, 200.1, 200.0 + NODE_PAUSE_SECONDS - 0.001, 200.0 + NODE_PAUSE_SECONDS):
                    before = nodes[1].asked["GET"]
                    with pytest.raises(SharedStateUnavailable):
                        await get(client, there)
                    asked.append(nodes[1].asked["GET"] - before)
                    assert await get(client, here) is None
                assert asked == [1, 0, 0, 1]
                # Of several nodes, or any, nobody knows which it was.
                for keys in ((there, here), (there,)):
                    now.now += NODE_PAUSE_SECONDS
                    with pytest.raises(SharedStateUnavailable):
                        await get(client, *keys)
                with pytest.raises(SharedStateUnavailable):
                    async with client.use(spread=True) as redis:
                        await redis.get(there)
                ups = [client.up]
                # The way that is found anew asks at once.
                nodes[1].says.pop("GET")
                await client.find()
                assert await get(client, there) is None
                with pytest.raises(SharedStateUnavailable):
                    async with client.use():
                        raise ConnectionResetError
                assert [*ups, client.up] == [True, False]
    words = [(line["event"], line.get("redis", "")) for line in logs]
    at = f"127.0.0.1:{nodes[1].port}"
    assert words[1:3] == [("redis_node_down", at), ("redis_node_up", at)]
    assert [event for event, _ in words] == ["redis_up", "redis_node_down", "redis_node_up", "redis_down"]


async def test_keys_that_no_node_of_a_cluster_holds_are_unavailable_and_the_others_go_on() -> None:
    """E2: the library has a family of errors of its own for it, and the request failed with a 500."""
    async with odd_cluster(2) as nodes:
        for node in nodes:
            slots = node.says["CLUSTER SLOTS"]
            assert isinstance(slots, list)
            node.says["CLUSTER SLOTS"] = slots[:1]
        async with opened(*nodes, form="redis+cluster://{}") as client:
            # Slots 449 and 12706.
            for keys in (["k1"], ["k1", "k2"]):
                with pytest.raises(SharedStateUnavailable):
                    async with client.use(*keys) as redis:
                        await redis.get("k1")
                with pytest.raises(SharedStateUnavailable):
                    async with client.use(*keys):
                        await client.scripts.evalsha("sha", 1, "k1")
            assert await get(client, "k2") is None
            assert client.up


@pytest.mark.parametrize(
    ("says", "cause"),
    [
        (HANG_UP, "the cluster's nodes cannot be asked"),
        ("-ERR This instance has cluster support disabled", "Redis answered 'ERR This instance has cluster support"),
    ],
)
async def test_a_cluster_whose_nodes_cannot_be_asked_is_down(says: Answer, cause: str) -> None:
    """E2: the error of the library's own family ended the heartbeat."""

    def once(_: list[bytes]) -> object:
        # The look at the rights is the first.
        return slots if len([one for one in node.heard if one[0] == b"CLUSTER"]) == 1 else says

    async with odd_cluster(1) as [node]:
        slots, node.says["CLUSTER SLOTS"] = node.says["CLUSTER SLOTS"], once
        with capture_logs() as logs:
            async with opened(node, form="redis+cluster://{}", is_up=False) as client:
                with pytest.raises(SharedStateUnavailable, match="RedisClusterException"):
                    await client.find()
        [line] = logs
        assert line["event"] == "redis_down"
        assert cause in line["cause"]


async def test_a_node_that_lacks_a_right_takes_the_whole_cluster_down() -> None:
    """E1: rights are kept by each node apart."""
    async with odd_cluster(2) as nodes, opened(*nodes, form="redis+cluster://{}") as client:
        nodes[1].says["GET"] = "-NOPERM this user has no permissions"
        with pytest.raises(SharedStateUnavailable):
            await get(client, key_at(nodes, 1, client))
        assert not client.up


@pytest.mark.parametrize(
    "says",
    [
        "-MOVED {slot} 127.0.0.1:{port}",
        "-ASK {slot} 127.0.0.1:{port}",
        "-TRYAGAIN Multiple keys request during rehashing of slot",
        "-CLUSTERDOWN Hash slot not served",
    ],
)
async def test_a_script_follows_its_key_to_another_node(says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """E2: the library's client knows how."""

    async def at_once(_: float) -> None:
        return None

    async with odd_cluster(2) as nodes, opened(*nodes, form="redis+cluster://{}") as client:
        key = key_at(nodes, 0, client)
        said = says.format(slot=key_slot(key.encode()), port=nodes[1].port)
        once = [said]
        nodes[0].says["EVALSHA"] = said if "127" in says else lambda _: once.pop() if once else 70
        nodes[1].says["EVALSHA"] = 71
        monkeypatch.setattr("redis.asyncio.cluster.asyncio.sleep", at_once)
        script = Script(lambda: client.scripts, "return 1", int)
        async with client.use(key):
            assert await script(keys=[key]) == (71 if "127" in says else 70)
        assert client.up
        # It has been learned, or was only for once.
        async with client.use(key):
            assert await script(keys=[key]) == (71 if "127" in says else 70)
        assert nodes[0].asked["EVALSHA"] == {"-M": 3, "-A": 5}.get(says[:2], 4)  # one looks at the rights


async def test_a_node_that_hangs_up_on_a_script_has_the_nodes_looked_at_again_and_a_closed_way_takes_none() -> None:
    async with odd_cluster(2) as nodes, opened(*nodes, form="redis+cluster://{}") as client:
        key = key_at(nodes, 0, client)
        scripts = client.scripts

        def looks() -> int:
            return sum(command[1:] == [b"SLOTS"] for node in nodes for command in node.heard)

        assert await scripts.evalsha("sha", 1, key) == 1
        before, opened_before = looks(), nodes[0].connections
        assert await scripts.evalsha("sha", 1, key) == 1
        assert (looks(), nodes[0].connections) == (before, opened_before)
        nodes[0].says["EVALSHA"] = HANG_UP
        with pytest.raises(LostError, match="closed"):
            await scripts.evalsha("sha", 1, key)
        nodes[0].says.pop("EVALSHA")
        assert await scripts.evalsha("sha", 1, key) == 1
        await until(lambda: looks() > before)
        await client.__aexit__()
        connections = [node.connections for node in nodes]
        with pytest.raises(LostError, match="closed"):
            await scripts.evalsha("sha", 1, key)
        assert [node.connections for node in nodes] == connections


async def test_a_way_that_is_closed_while_the_nodes_are_looked_for_leaves_nothing_open() -> None:
    async with odd_cluster(2) as nodes, opened(*nodes, form="redis+cluster://{}") as client:
        cluster = client.redis
        assert isinstance(cluster, PatientCluster)
        cluster.nodes_manager.slots_cache.clear()
        cluster.look_again()
        slots, looked = nodes[0].says["CLUSTER SLOTS"], [node.asked["CLUSTER"] for node in nodes]
        held = asyncio.get_running_loop().create_future()
        for node in nodes:
            node.says["CLUSTER SLOTS"] = held
        asking = asyncio.create_task(ask_script(client))
        await until(lambda: [node.asked["CLUSTER"] for node in nodes] != looked)
        assert isinstance(client.scripts, ClusterWires)
        await client.scripts.close()
        held.set_result(slots)
        with pytest.raises(LostError, match="closed"):
            await asking
        assert cluster._initialize


async def test_a_master_that_the_sentinels_replace_is_left_and_the_new_one_gets_a_moment(
    now: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E3: the old one may have gone on to hand out slots."""
    monkeypatch.setattr(client_module, "SENTINEL_SECONDS", 0.001)
    async with odd_redis() as first, odd_redis() as second, odd_redis() as sentinel:

        def name(server: OddRedis) -> None:
            sentinel.says["SENTINEL"] = [b"127.0.0.1", b"%d" % server.port]

        name(first)
        with capture_logs() as logs:
            async with opened(sentinel, form="redis+sentinel://{}/shop") as client:
                asked = sentinel.asked["SENTINEL"]
                await until(lambda: sentinel.asked["SENTINEL"] > asked + 2)
                assert client.up
                # A sentinel that says nothing, or is away, says nothing of the master.
                for odd in (None, HANG_UP, b"odd"):
                    sentinel.says["SENTINEL"] = odd
                    asked = sentinel.asked["SENTINEL"]
                    await until(lambda asked=asked: sentinel.asked["SENTINEL"] > asked + 2)
                    assert client.up
                name(second)
                await until(lambda: not client.up)
                for now.now in (300.0, 300.0 + CHANGING_SECONDS - 0.001):
                    with pytest.raises(SharedStateUnavailable, match="has just changed"):
                        await client.find()
                    assert second.open
                    await until(lambda: not first.open)
                now.now = 300.0 + CHANGING_SECONDS
                await client.find()
                client.mark_up()
                assert await get(client, "k") is None
                assert second.asked["GET"] > 1
        assert first.connections
        await until(lambda: first.open + second.open == 0)
    down = [line for line in logs if line["event"] == "redis_down"]
    assert len(down) == 1
    assert f"the sentinels name another master, 127.0.0.1:{second.port}" in down[0]["cause"]


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


@pytest.mark.parametrize("is_cluster", [False, True])
async def test_each_server_that_holds_keys_is_visited_and_any_node_is_listened_to(*, is_cluster: bool) -> None:
    async with odd_cluster(3) as nodes, odd_redis() as server:
        servers = nodes if is_cluster else [server]
        form = "redis+cluster://{}" if is_cluster else "redis://{}"
        async with opened(*servers, form=form) as client:
            for one in servers:
                one.heard.clear()
            async for master in client.masters():
                await master.set("visited", "1")
            assert [sum(command[:1] == [b"SET"] for command in one.heard) for one in servers] == [1] * len(servers)
            async with client.subscription() as listening:
                await listening.subscribe("channel")
                message = await listening.get_message(timeout=PATIENCE_SECONDS)
                assert message is not None
                assert message["type"] == "subscribe"


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
