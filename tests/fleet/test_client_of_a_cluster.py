"""What becomes of a cluster's nodes, and of the scripts and keys that they hold; no server is needed."""

import asyncio

import pytest
from redis.crc import key_slot
from redis.exceptions import ConnectionError as LostError
from structlog.testing import capture_logs

from service.errors import SharedStateUnavailable
from service.fleet.client import (
    NODE_PAUSE_SECONDS,
    RedisClient,
)
from service.fleet.connections import PatientCluster
from service.fleet.script import Script
from service.fleet.wire import ClusterWires
from tests.support.clocks import StandingClock
from tests.support.odd_redis import HANG_UP, Answer, OddRedis, get, hello, odd_cluster, odd_redis, opened
from tests.support.waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.usefixtures("patient_client")


async def ask_script(client: RedisClient) -> object:
    return await client.scripts.evalsha("sha", 1, "k")


def nobody_looks() -> bool:
    """No look at the nodes is under way."""
    return all(one.get_name() != "redis-cluster-nodes" for one in asyncio.all_tasks())


@pytest.mark.parametrize("is_cluster", [False, True])
async def test_a_number_is_no_answer_where_a_list_or_a_value_was_asked_for(*, is_cluster: bool) -> None:
    async with odd_cluster(1) as [node], odd_redis() as server:
        redis, form = (node, "redis+cluster://{}") if is_cluster else (server, "redis://{}")
        async with opened(redis, form=form) as client:
            for command, *words, good in (("HMGET", "k", ["a"], [b"1"]), ("GET", "k", None)):
                redis.says[command] = 1
                with pytest.raises(SharedStateUnavailable, match="InvalidResponse"):
                    async with client.use("k") as library:
                        await getattr(library, command.lower())(*words)
                redis.says[command] = good
                if client.up:
                    client.mark_down(ConnectionResetError("reset"))
                await client.find()
                client.mark_up()
                async with client.use("k") as library:
                    assert await getattr(library, command.lower())(*words) == good


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
                for _ in range(2):
                    assert await get(client, there) is None
                with pytest.raises(SharedStateUnavailable):
                    async with client.use():
                        raise ConnectionResetError
                assert [*ups, client.up] == [True, False]
    words = [(line["event"], line.get("redis", "")) for line in logs]
    at = f"127.0.0.1:{nodes[1].port}"
    assert logs[1]["cause"] == "the connection was closed; a port with TLS wants rediss://"
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


async def test_a_node_that_was_named_and_stays_knows_who_has_taken_over_from_one_that_is_lost() -> None:
    async with odd_cluster(2) as nodes, opened(*nodes, form="redis+cluster://{}") as client:
        here, there = (key_at(nodes, number, client) for number in (0, 1))
        nodes[0].says |= {"CLUSTER SLOTS": HANG_UP, "EVALSHA": HANG_UP}
        nodes[1].says |= {"EVALSHA": 71}
        [_, slots] = nodes[1].says["CLUSTER SLOTS"]  # type: ignore[misc]  # a list of two
        nodes[1].says["CLUSTER SLOTS"] = [[0, slots[1], slots[2]]]
        with pytest.raises(LostError):
            await client.scripts.evalsha("sha", 1, here)
        assert await client.scripts.evalsha("sha", 1, there) == 71
        await until(nobody_looks)
        assert await client.scripts.evalsha("sha", 1, here) == 71


async def test_the_name_of_a_cluster_is_asked_again_when_every_node_that_it_named_is_gone() -> None:
    """A service of Kubernetes outlives all its pods."""

    def name(node: OddRedis) -> None:
        gate.says["CLUSTER SLOTS"] = [[0, 16_383, [b"127.0.0.1", node.port, b"%040d" % node.port]]]

    async with odd_cluster(2) as [old, new], odd_redis({"HELLO": hello(mode="cluster")}) as gate:
        name(old)
        async with opened(gate, form="redis+cluster://{}") as client:
            assert await ask_script(client) == 1
            old.says |= dict.fromkeys(("EVALSHA", "CLUSTER SLOTS"), HANG_UP)
            new.says["EVALSHA"] = 71
            name(new)
            # The first one finds it gone, the second one has the nodes looked at.
            for _ in range(2):
                with pytest.raises(LostError):
                    await ask_script(client)
            await until(nobody_looks)
            assert await ask_script(client) == 71
        await until(lambda: old.open + new.open == 0)


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
