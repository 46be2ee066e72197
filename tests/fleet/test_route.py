"""Which way to Redis is taken, and what is said where there is none."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import RedisError

from service.fleet.address import HostPort, RedisAddress
from service.fleet.causes import Refusal, cause_of
from service.fleet.connections import Connector
from service.fleet.look_up import HostLookUp
from service.fleet.route import Pathfinder, Route
from tests.support.odd_redis import HANG_UP, SILENCE, Answer, OddRedis, hello, odd_cluster, odd_redis
from tests.support.waiting import PATIENCE_SECONDS, until


@asynccontextmanager
async def pathfinder(url: str) -> AsyncIterator[Pathfinder]:
    address = RedisAddress.parse(url)
    connector = Connector(address, timeout_seconds=PATIENCE_SECONDS)
    try:
        yield Pathfinder(address, connector)
    finally:
        await connector.look_up.close()


async def why_not(url: str) -> tuple[str, str, bool]:
    """Kind and words of what keeps the service from this Redis, and whether it lasts."""
    async with pathfinder(url) as paths:
        with pytest.raises((Refusal, RedisError, OSError)) as raised:
            await (await paths.find(None)).close()
    cause = cause_of(raised.value, tls=False)
    assert not isinstance(raised.value, Refusal) or str(raised.value) == cause.words
    return cause.kind, cause.words, cause.lasting


UNKNOWN = "-ERR unknown command 'HELLO', with args beginning with: "
GREETINGS: list[tuple[dict[str, Answer], str]] = [
    ({"HELLO": hello(version="7.0.0")}, "Redis 7.0.0"),
    ({"HELLO": hello(version="10.1.2")}, "Redis 10.1.2"),
    ({"HELLO": hello("valkey", "8.0.0")}, "Valkey 8.0.0"),
    ({"HELLO": hello("dragonfly", "1.2")}, "Dragonfly 1.2"),
    ({"HELLO": hello(version="unstable")}, "Redis unstable"),
    ({"HELLO": hello(version="255.255.255")[2:4]}, "Redis 255.255.255"),
    ({"HELLO": UNKNOWN, "INFO": b"# Server\r\nredis_version:7.2.0\r\n"}, "Redis 7.2.0"),
    # A proxy.
    ({"HELLO": UNKNOWN, "INFO": "-ERR unknown command 'INFO'"}, ""),
    ({"HELLO": UNKNOWN, "INFO": b"proxy:1\r\n"}, ""),
    # It may take no more writes for now, does not have the script as it should, or lets others have the key.
    ({"SET": "-OOM command not allowed when used memory > 'maxmemory'."}, "Redis 7.4.0"),
    ({"SET": "-MOVED 1 127.0.0.1:1"}, "Redis 7.4.0"),
]


@pytest.mark.parametrize(("says", "server"), GREETINGS, ids=lambda one: str(one)[:50])
async def test_a_server_is_used_whatever_it_is_called_if_it_is_new_enough(says: dict[str, Answer], server: str) -> None:
    async with odd_redis(says) as redis, pathfinder(f"redis://127.0.0.1:{redis.port}") as paths:
        route = await paths.find(None)
        assert (route.server, route.mode, route.at) == (server, "standalone", HostPort("127.0.0.1", redis.port))
        assert route.cluster is None
        assert route.node_of(["key"]) is None
        assert await route.scripts.evalsha("sha", 1, "k") == 1
        await route.close()
        await until(lambda: redis.open == 0)


REFUSALS: list[tuple[dict[str, Answer], str, str, bool]] = [
    ({"HELLO": hello(version="6.2.14")}, "version", "Redis 6.2.14 is too old; Redis 7 or Valkey 8", True),
    ({"HELLO": hello("valkey", "7.2.9")}, "version", "Valkey 7.2.9 is too old", True),
    ({"HELLO": UNKNOWN, "INFO": b"redis_version:5.0.7\r\n"}, "version", "Redis 5.0.7 is too old", True),
    ({"HELLO": hello(role="replica")}, "read_only", "which takes no writes", False),
    ({"HELLO": hello(mode="sentinel")}, "sentinel", "write redis+sentinel://", True),
    ({"HELLO": "-NOAUTH HELLO must be called with the client already authenticated"}, "password", "wants a", True),
    ({"HELLO": "-LOADING Redis is loading the dataset in memory"}, "loading", "is loading its data", False),
    ({"HELLO": "-NOPERM this user has no permissions to run the 'hello' command"}, "rights", "lacks a right", True),
    ({"HELLO": 1}, "protocol", "does not answer as Redis does", False),
    ({"HELLO": HANG_UP}, "closed", "a port with TLS wants rediss://", False),
    ({"SET": "-READONLY You can't write against a read only replica."}, "read_only", "takes no writes", False),
    ({"SET": "-MISCONF Redis is configured to save RDB snapshots"}, "disk", "cannot save its data", True),
    ({"SET": "-NOREPLICAS Not enough good replicas to write."}, "replicas", "too few replicas", False),
    ({"GET": "-MASTERDOWN Link with MASTER is down"}, "read_only", "without its master", False),
    ({"GET": "-CLUSTERDOWN Hash slot not served"}, "cluster", "does not serve all its slots", False),
    ({"PING": "-BUSY Redis is busy running a script."}, "busy", "busy with a script", False),
    ({"XAUTOCLAIM": "-ERR unknown command 'XAUTOCLAIM'"}, "command", "does not know a command", True),
    ({"GET": "-NOPERM this user has no permissions to run the 'get' command"}, "rights", "the right +get (", True),
    ({"SUBSCRIBE": "-NOPERM this user has no permissions to access a channel"}, "rights", "the right &pc:* (", True),
    ({"UNSUBSCRIBE": "-NOPERM this user has no permissions to run it"}, "rights", "the right +unsubscribe (", True),
    ({"SUBSCRIBE": HANG_UP}, "closed", "a port with TLS wants rediss://", False),
    ({"TIME": 7}, "protocol", "does not speak Redis's protocol", False),
]


@pytest.mark.parametrize(("says", "kind", "words", "lasting"), REFUSALS, ids=lambda one: str(one)[:50])
async def test_a_server_that_cannot_be_used_is_left_with_the_reason(
    says: dict[str, Answer], kind: str, words: str, *, lasting: bool
) -> None:
    async with odd_redis(says) as redis:
        found = await why_not(f"redis://127.0.0.1:{redis.port}")
        assert (found[0], found[2]) == (kind, lasting), found[1]
        assert words in found[1]
        await until(lambda: redis.open == 0)


async def test_the_way_that_is_still_good_is_kept_with_new_connections() -> None:
    """A network that swallowed packets leaves connections that look alive."""
    async with odd_redis() as redis, pathfinder(f"redis://127.0.0.1:{redis.port}") as paths:
        first = await paths.find(None)
        answer = asyncio.get_running_loop().create_future()
        redis.says["GET"] = lambda command: answer if command[1] == b"k" else None
        asked = redis.asked["GET"]
        in_flight = asyncio.create_task(get(first))
        await until(lambda: redis.asked["GET"] > asked)
        # Its connection waits for the next command.
        await first.redis.ping()
        before = redis.connections
        second = await paths.find(first)
        assert second.redis is first.redis
        assert redis.connections > before
        redis.says["HELLO"] = hello(role="replica")
        with pytest.raises(Refusal):
            await paths.find(second)
        # It is whose the route is to close it, and what is under way goes on.
        answer.set_result(b"here")
        assert await in_flight == b"here"
        redis.says.clear()
        assert await second.redis.ping()
        await second.close()
        await until(lambda: redis.open == 0)


async def get(route: Route) -> object:
    return await route.redis.get("k")


def sentinels_of(*servers: OddRedis) -> str:
    return "redis+sentinel://" + ",".join(f"127.0.0.1:{one.port}" for one in servers) + "/shop"


def naming(redis: OddRedis) -> dict[str, Answer]:
    """What a sentinel says that names this master."""
    return {"SENTINEL": [b"127.0.0.1", b"%d" % redis.port]}


async def test_more_than_half_of_the_sentinels_decide_and_nobody_waits_for_the_others() -> None:
    async with (
        odd_redis() as redis,
        odd_redis() as old,
        odd_redis(naming(old)) as stale,
        odd_redis({"SENTINEL": SILENCE}) as silent,
        odd_redis(naming(redis)) as one,
        odd_redis(naming(redis)) as two,
        odd_redis() as three,
    ):
        asked: list[bytes] = []

        def named(command: list[bytes]) -> Answer:
            asked.extend(command)
            return naming(redis)["SENTINEL"]

        three.says["SENTINEL"] = named
        async with pathfinder(sentinels_of(stale, silent, one, two, three)) as paths:
            route = await paths.find(None)
            assert (route.mode, route.at) == ("sentinel", HostPort("127.0.0.1", redis.port))
            assert [task for task in asyncio.all_tasks() if task.get_name() == "redis-sentinel"] == []
            await route.close()
            await paths.sentinels.master()
            assert [task for task in asyncio.all_tasks() if task.get_name() == "redis-sentinel"] == []
        assert asked[:3] == [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", b"shop"]
        assert old.connections == 0
        everybody = (stale, silent, one, two, three, redis)
        await until(lambda: sum(server.open for server in everybody) == 0)


async def test_of_sentinels_of_which_half_are_away_most_of_those_that_answer_decide() -> None:
    async with (
        odd_redis() as redis,
        odd_redis() as old,
        odd_redis({"SENTINEL": HANG_UP}) as away,
        odd_redis(naming(redis)) as one,
        odd_redis(naming(redis)) as two,
        odd_redis({"SENTINEL": None}) as ignorant,
        odd_redis(naming(old)) as stale,
    ):
        for answering in ([one], [one, ignorant], [one, stale, two]):
            async with pathfinder(sentinels_of(away, *answering, *[away] * len(answering))) as paths:
                assert await paths.sentinels.master() == HostPort("127.0.0.1", redis.port)


async def test_sentinels_of_which_no_master_has_the_most_do_not_agree() -> None:
    """Half of them is not enough: the other half may name another one."""
    async with (
        odd_redis() as first,
        odd_redis() as second,
        odd_redis() as third,
        odd_redis(naming(first)) as one,
        odd_redis(naming(first)) as two,
        odd_redis(naming(second)) as three,
        odd_redis(naming(second)) as four,
        odd_redis(naming(third)) as five,
    ):
        for sentinels in ([one, two, three, four], [one, three, five]):
            kind, words, lasting = await why_not(sentinels_of(*sentinels))
            assert (kind, lasting) == ("master", False)
            assert "the sentinels do not agree on the master: 127.0.0.1:" in words
            assert sum(f"127.0.0.1:{master.port}" in words for master in (first, second, third)) == 2


@pytest.mark.parametrize(
    ("one", "other", "kind", "words"),
    [
        (None, None, "master", "the sentinels know no master named shop"),
        ("-NOAUTH Authentication required.", None, "password", "wants a password"),
        (None, "-NOAUTH Authentication required.", "password", "wants a password"),
        (b"127.0.0.1", None, "protocol", "does not speak Redis's protocol"),
        ([b"127.0.0.1", b"here"], None, "protocol", "does not speak Redis's protocol"),
        ([b"127.0.0.1"], None, "protocol", "does not speak Redis's protocol"),
    ],
)
async def test_sentinels_that_name_no_master_say_why(one: Answer, other: Answer, kind: str, words: str) -> None:
    async with odd_redis({"SENTINEL": one}) as first, odd_redis({"SENTINEL": other}) as second:
        found = await why_not(sentinels_of(first, second))
        assert (found[0], found[2]) == (kind, kind == "password")
        assert words in found[1]
        await until(lambda: first.open + second.open == 0)


def key_of(node: int, route: Route, nodes: list[OddRedis]) -> str:
    """A key that this node holds."""
    return next(
        key
        for key in (f"k{number}" for number in range(1_000))
        if route.node_of([key]) == f"127.0.0.1:{nodes[node].port}"
    )


async def test_a_cluster_is_found_from_any_node_that_answers_and_each_script_goes_to_the_node_of_its_key() -> None:
    async with odd_cluster(3) as nodes, odd_redis({"HELLO": HANG_UP, "CLUSTER": HANG_UP}) as gone:
        for number, node in enumerate(nodes):
            node.says["EVALSHA"] = number
            node.says["EVAL"] = 10 + number
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in (gone, nodes[1]))
        async with pathfinder(f"redis+cluster://{hosts}") as paths:
            route = await paths.find(None)
            assert (route.server, route.mode, route.at) == ("Redis 7.4.0", "cluster", None)
            assert route.cluster is route.redis
            keys = [key_of(number, route, nodes) for number in range(3)]
            assert [await route.scripts.evalsha("sha", 1, key) for key in keys] == [0, 1, 2]
            assert [await route.scripts.eval("text", 1, key) for key in keys] == [10, 11, 12]
            # Several nodes are no node, and none is known without a key.
            assert [route.node_of(keys), route.node_of([])] == [None, None]
            assert route.node_of([keys[0], keys[0]]) == f"127.0.0.1:{nodes[0].port}"
            await route.close()
        await until(lambda: sum(node.open for node in nodes) == 0)


async def test_of_nodes_that_do_not_answer_the_first_one_says_why() -> None:
    async with odd_redis({"HELLO": HANG_UP}) as one, odd_redis({"HELLO": "-NOAUTH Authentication required."}) as other:
        for servers, kind in (((one, other), "closed"), ((other, one), "password")):
            hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
            assert (await why_not(f"redis+cluster://{hosts}"))[0] == kind
        await until(lambda: one.open + other.open == 0)


async def test_a_name_is_looked_up_anew_each_time_the_way_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """E6: what it stands for may have changed since a moment ago."""
    async with odd_redis() as redis:
        asked: list[str] = []

        def resolve(host: str) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"]

        monkeypatch.setattr(HostLookUp.__init__, "__defaults__", (resolve, time.monotonic))
        async with pathfinder(f"redis://cache.example:{redis.port}") as paths:
            route = await paths.find(None)
            await route.scripts.evalsha("sha", 1, "k")
            assert asked == ["cache.example"]
            await paths.find(route)
            assert asked == ["cache.example"] * 2
            await route.close()


async def test_a_server_turns_out_to_be_a_node_of_a_cluster() -> None:
    async with odd_cluster(2) as nodes, pathfinder(f"redis://127.0.0.1:{nodes[1].port}") as paths:
        route = await paths.find(None)
        assert route.mode == "cluster"
        await route.close()
        await until(lambda: sum(node.open for node in nodes) == 0)


@pytest.mark.parametrize(
    ("number", "says", "kind"),
    [
        (0, {"HELLO": hello()}, "cluster"),
        (0, {"HELLO": "-NOAUTH Authentication required."}, "password"),
        (0, {"CLUSTER": "-NOPERM this user has no permissions to run the 'cluster|slots' command"}, "rights"),
        # Rights are kept by each node apart.
        (1, {"SET": "-NOPERM this user has no permissions to run the 'set' command"}, "rights"),
        # A node that is away, or refuses what passes by itself, is met later.
        (1, {"HELLO": HANG_UP}, ""),
        (1, {"SET": "-MISCONF Redis is configured to save RDB snapshots"}, ""),
    ],
)
async def test_each_master_of_a_cluster_is_looked_at(number: int, says: dict[str, Answer], kind: str) -> None:
    async with odd_cluster(2) as nodes:
        nodes[number].says |= says
        if "CLUSTER" in says:
            del nodes[number].says["CLUSTER SLOTS"]
        url = f"redis+cluster://127.0.0.1:{nodes[0].port}"
        if kind:
            assert (await why_not(url))[0] == kind
        else:
            async with pathfinder(url) as paths:
                route = await paths.find(None)
                assert route.mode == "cluster"
                await route.close()
        await until(lambda: sum(node.open for node in nodes) == 0)
