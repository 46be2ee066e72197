"""Connections to Redis: which address is tried, what is left open, and whether a port speaks TLS."""

import asyncio
import time
from collections.abc import Coroutine

import pytest
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as LostError

from service.fleet.address import HostPort, RedisAddress
from service.fleet.connections import Connector
from service.fleet.look_up import HostLookUp
from tests.support.odd_redis import HANG_UP, odd_cluster, odd_redis, opened
from tests.support.ports import free_port
from tests.support.streams import serving
from tests.support.waiting import PATIENCE_SECONDS, until


def connector(url: str = "redis://cache.example", seconds: float = PATIENCE_SECONDS) -> Connector:
    return Connector(RedisAddress.parse(url), timeout_seconds=seconds)


@pytest.mark.parametrize(
    ("said", "speaks"), [(b"+PONG\r\n", True), (b"-NOAUTH\r\n", True), (b":1\r\n", False), (b"", False), (None, False)]
)
async def test_a_port_speaks_redis_if_its_first_letter_is_one_of_rediss(said: bytes | None, *, speaks: bool) -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readline())
        if said is None:
            await reader.read()
        else:
            writer.write(said)

    async with serving(serve) as port:
        made = connector(seconds=0.05 if said is None else PATIENCE_SECONDS)
        assert await made.speaks(HostPort("127.0.0.1", port), tls=False) is speaks
        # On a busy machine the time may be over before anything is said.
        assert heard == [b"PING\r\n"] or said is None
    assert not await made.speaks(HostPort("127.0.0.1", free_port()), tls=False)


async def test_each_address_of_a_name_is_tried_in_turn_and_one_that_failed_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """E6."""
    tried: list[str] = []
    connect = Connection._connect

    async def noted(connection: Connection) -> None:
        address = connection._connection_arguments()["host"]
        tried.append(address)
        if address == "127.0.0.9":
            await asyncio.sleep(PATIENCE_SECONDS)
        if address != "127.0.0.1":
            raise ConnectionRefusedError(address)
        await connect(connection)  # type: ignore[no-untyped-call]  # the library's

    monkeypatch.setattr(Connection, "_connect", noted)
    names = ["127.0.0.7", "127.0.0.8", "127.0.0.1"]
    monkeypatch.setattr(HostLookUp.__init__, "__defaults__", (lambda _: list(names), time.monotonic))
    async with odd_redis() as redis:
        made = connector()
        at = HostPort("cache.example", redis.port)
        async with made.server(at) as client:
            assert await client.ping()
        assert tried == ["127.0.0.7", "127.0.0.8", "127.0.0.1"]
        async with made.server(at) as client:
            assert await client.ping()
        assert tried[3:] == ["127.0.0.1"]
        # Where none takes a connection, the last one says why.
        names[:] = ["127.0.0.7", "127.0.0.8"]
        made.look_up.forget()
        async with made.server(at) as client:
            with pytest.raises(LostError, match=r"127\.0\.0\.[78]"):
                await client.ping()
        # One that does not answer in time has failed too.
        names[:] = ["127.0.0.9", "127.0.0.1"]
        made.look_up.forget()
        del tried[:]
        async with made.server(at) as client:
            asking = asyncio.create_task(ping(client))
            await until(lambda: bool(tried))
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert await client.ping()
        assert tried == ["127.0.0.9", "127.0.0.1"]
        await made.look_up.close()
        await until(lambda: redis.open == 0)


async def ping(client: object) -> None:
    await client.ping()  # type: ignore[attr-defined]  # the library's


async def test_a_command_that_fails_is_not_sent_again() -> None:
    async with odd_cluster(1) as [node], odd_redis() as server:
        made = connector(f"redis+cluster://127.0.0.1:{node.port}")
        at = HostPort("127.0.0.1", server.port)
        for redis, client in ((node, made.cluster(made._address.hosts)), (server, made.server(at))):
            redis.says["GET"] = HANG_UP
            with pytest.raises(Exception, match="closed"):
                await client.get("k")
            assert redis.asked["GET"] == 1
            await client.aclose()
        await until(lambda: node.open + server.open == 0)


async def give_up(work: Coroutine[None, None, None], turns: int) -> None:
    """Begin something, and give it up after so many turns of the loop."""
    task = asyncio.create_task(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("is_cluster", [False, True])
async def test_nothing_is_left_open_where_closing_is_given_up(*, is_cluster: bool, turns: int) -> None:
    """A look at a sentinel is ended with the client, in whatever moment."""
    async with odd_cluster(1) as [node], odd_redis() as server:
        redis, form = (node, "redis+cluster://{}") if is_cluster else (server, "redis://{}")
        async with opened(redis, form=form) as client:
            route = client._route
            assert route is not None
            await route.redis.get("k")
            await route.scripts.evalsha("sha", 1, "k")
            assert redis.open > 1
            await give_up(route.close(), turns)
            await until(lambda: redis.open == 0)
            await route.redis.get("k")
            await give_up(route.redis.aclose(), turns)
            await until(lambda: redis.open == 0)


async def test_a_block_closes_its_client_in_whatever_moment_it_is_given_up() -> None:
    """As a look at a sentinel is that ends with the replica."""
    async with odd_redis() as server:
        client = connector().server(HostPort("127.0.0.1", server.port))

        over: list[int] = []

        async def ask(turns: int) -> None:
            async with client:
                await client.get("k")
            over.append(turns)

        turns = 0
        while len(over) < 5:
            turns += 1
            await give_up(ask(turns), turns)
            await until(lambda: server.open == 0)


class Writer:
    """Of a connection whose other side says nothing more."""

    def __init__(self) -> None:
        self.transport = self
        self.done: list[str] = []

    def abort(self) -> None:
        self.done.append("abort")

    def close(self) -> None:
        self.done.append("close")

    async def wait_closed(self) -> None:
        self.done.append("wait")


@pytest.mark.parametrize(
    ("words", "done"), [((), ["close", "wait"]), ((False,), ["close", "wait"]), ((True,), ["abort", "close"])]
)
async def test_a_connection_that_is_given_up_waits_for_no_word_of_the_other_side(
    words: tuple[bool, ...], done: list[str]
) -> None:
    """Over TLS the end of one took half a minute."""
    client = connector().server(HostPort("cache.example", 6379))
    connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # the library's
    writer = connection._writer = Writer()
    connection._reader = asyncio.StreamReader()
    await connection.disconnect(*words)
    assert writer.done == done
    # There may be nothing to end.
    await connection.disconnect(*words)
    assert writer.done == done
    await client.aclose()


def looks() -> list[object]:
    """Those under way."""
    return [task for task in asyncio.all_tasks() if task.get_name() == "redis-cluster-nodes"]


async def test_a_cluster_that_is_closed_while_it_looks_for_its_nodes_looks_no_longer() -> None:
    async with odd_cluster(1) as [node]:
        made = connector(f"redis+cluster://127.0.0.1:{node.port}")
        cluster = made.cluster(made._address.hosts)
        await cluster.initialize()
        # One look, however many commands come after it.
        asked = node.asked["CLUSTER"]
        cluster.look_again()
        for _ in range(3):
            assert await cluster.set("k", "1")
            await until(lambda: not looks())
        assert node.asked["CLUSTER"] == asked + 1
        asked += 1
        held = node.says["CLUSTER SLOTS"] = asyncio.get_running_loop().create_future()
        # What goes on does not wait for the look, and there is one at a time.
        for _ in range(3):
            cluster.look_again()
            assert await cluster.set("k", "1")
            await until(lambda: node.asked["CLUSTER"] > asked)
        assert node.asked["CLUSTER"] == asked + 1
        await cluster.aclose()
        assert looks() == []
        held.set_result(None)
        await until(lambda: node.open == 0)


async def test_a_look_at_the_nodes_ends_with_its_cluster_whatever_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = connector("redis+cluster://127.0.0.1")
    cluster = made.cluster(made._address.hosts)
    cluster.nodes_manager.slots_cache[0] = []

    async def hang(*_: object, **__: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(type(cluster.nodes_manager), "initialize", hang)
    cluster.look_again()
    await cluster.initialize()
    assert len(looks()) == 1
    await cluster.aclose()
    assert looks() == []
