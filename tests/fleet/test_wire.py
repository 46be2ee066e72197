"""Scripts that share one connection: each gets its own reply, whatever becomes of the others."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as SilentError

from service.fleet.client import RedisClient
from service.fleet.connections import PatientCluster
from service.fleet.script import Script
from service.fleet.wire import ClusterWires, Wire
from tests.support.garbage import collected_at_the_end
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.streams import serving
from tests.support.waiting import PATIENCE_SECONDS, until

ECHO = "return ARGV[1]"


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_server.url, timeout_seconds=PATIENCE_SECONDS) as client:
        await client.find()
        yield client


async def test_scripts_that_run_at_a_time_share_a_connection_and_each_gets_its_reply(client: RedisClient) -> None:
    echo = Script(lambda: client.scripts, ECHO, bytes)
    before = await connections(client)
    words = [b"%d" % number * (number % 7 * 1_000) for number in range(300)]
    assert await asyncio.gather(*(echo(keys=["k"], args=[word]) for word in words)) == words
    assert await connections(client) == before + 1


async def connections(client: RedisClient) -> int:
    return len(await client.redis.client_list())


async def test_who_gives_up_takes_nobodys_reply_along(client: RedisClient) -> None:
    echo = Script(lambda: client.scripts, ECHO, bytes)
    await echo(keys=["k"], args=["known"])
    asking = [asyncio.create_task(echo(keys=["k"], args=[str(number)])) for number in range(100)]
    await asyncio.sleep(0)
    for one in asking[::3]:
        one.cancel()
    replies = await asyncio.gather(*asking, return_exceptions=True)
    for number, reply in enumerate(replies):
        assert reply == b"%d" % number or (number % 3 == 0 and isinstance(reply, asyncio.CancelledError))


async def test_a_refusal_is_the_refused_scripts_own(client: RedisClient) -> None:
    echo = Script(lambda: client.scripts, ECHO, bytes)
    wrong = Script(lambda: client.scripts, "return redis.call('HGET', 'k')", bytes)
    replies = await asyncio.gather(
        *(one(keys=["k"], args=["x"]) for one in (echo, wrong, echo)), return_exceptions=True
    )
    assert [replies[0], replies[2]] == [b"x", b"x"]
    assert isinstance(replies[1], ResponseError)


async def test_a_server_that_has_forgotten_the_scripts_is_sent_them_again(client: RedisClient) -> None:
    echo = Script(lambda: client.scripts, ECHO, bytes)
    assert await echo(keys=["k"], args=["a"]) == b"a"
    await client.redis.script_flush()
    assert await asyncio.gather(*(echo(keys=["k"], args=[one]) for one in "bc")) == [b"b", b"c"]


class Server:
    """Speaks as a Redis does that knows one command, and stops to when a test says so."""

    def __init__(self) -> None:
        self.port = 0
        self.asked = 0
        self.connections = 0
        self.open = 0
        self.mood = ""
        """Empty, `silent`, `closing` or `talkative`."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while (count := int((await reader.readline())[1:] or 0)) and self.mood != "closing":
                command = []
                for _ in range(count):
                    length = int((await reader.readline())[1:])
                    command.append((await reader.readexactly(length + 2))[:-2])
                is_script = command[0] == b"EVALSHA"
                self.asked += is_script
                if self.mood != "silent":
                    writer.write(b":%s\r\n" % command[-1] if is_script else b"+OK\r\n")
                if self.mood == "talkative":
                    writer.write(b":0\r\n" * 3)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    async with serving(server.serve) as server.port:
        yield server


def wire_to(server: Server, silence_seconds: float = PATIENCE_SECONDS) -> Wire:
    return Wire(
        lambda: Connection(host="127.0.0.1", port=server.port, protocol=2, driver_info=None),
        silence_seconds=silence_seconds,
    )


@pytest.mark.parametrize(
    ("mood", "error"), [("silent", SilentError), ("closing", LostError), ("talkative", RedisError)]
)
async def test_a_connection_that_can_no_longer_be_followed_is_replaced(
    server: Server, mood: str, error: type[Exception]
) -> None:
    """All that is under way fails, since nobody knows which reply is whose; what comes after has a new connection."""
    wire = wire_to(server, 0.2 if mood == "silent" else PATIENCE_SECONDS)
    assert await wire.evalsha("sha", 1, "k", 7) == 7
    server.mood = mood
    if mood == "talkative":
        # Replies that nobody has asked for could be taken for the next ones.
        assert await wire.evalsha("sha", 1, "k", 8) == 8
        replies = wire._replies
        assert replies is not None
        await until(lambda: replies.is_lost)
    else:
        lost = await asyncio.gather(*(wire.evalsha("sha", 1, "k", one) for one in (1, 2)), return_exceptions=True)
        assert [type(one) for one in lost] == [error, error]
    server.mood = ""
    assert await wire.evalsha("sha", 1, "k", 9) == 9
    assert server.connections == 2
    await wire.close()


async def test_nobody_is_in_the_way_of_an_opening_that_others_wait_for(server: Server) -> None:
    wire = wire_to(server)
    impatient, patient = (asyncio.create_task(wire.evalsha("sha", 1, "k", one)) for one in (1, 2))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == 2
    assert server.connections == 1
    await wire.close()


async def test_a_wire_that_is_closed_while_it_opens_leaves_nothing_open(server: Server) -> None:
    server.mood = "silent"
    made = Connection(
        host="127.0.0.1", port=server.port, protocol=2, client_name="name", driver_info=None, socket_timeout=None
    )
    wire = Wire(lambda: made, silence_seconds=PATIENCE_SECONDS)
    asking = asyncio.create_task(wire.evalsha("sha", 1, "k", 7))
    # The name is never answered.
    await until(lambda: server.connections == 1)
    await wire.close()
    assert not made.is_connected
    with pytest.raises(LostError):
        await asking
    await until(lambda: server.open == 0)


async def test_a_closed_wire_opens_no_other_connection(server: Server) -> None:
    wire = wire_to(server)
    assert await wire.evalsha("sha", 1, "k", 7) == 7
    await wire.close()
    with pytest.raises(LostError):
        await wire.evalsha("sha", 1, "k", 7)
    assert server.connections == 1


async def test_a_connection_that_is_about_to_end_is_used_no_more(server: Server) -> None:
    wire = wire_to(server)
    assert await wire.evalsha("sha", 1, "k", 7) == 7
    replies = wire._replies
    assert replies is not None
    replies._writer.transport.abort()
    assert await wire.evalsha("sha", 1, "k", 8) == 8
    assert server.connections == 2
    await wire.close()
    assert wire._replies is not None
    assert wire._replies._ended.done()


async def test_closed_wires_look_for_no_nodes() -> None:
    class Nodes(PatientCluster):
        looked = 0

        def __init__(self) -> None:
            pass

        def __del__(self, *_: object) -> None:
            pass

        async def initialize(self, *_: object) -> "Nodes":
            self.looked += 1
            return self

    nodes = Nodes()
    wires = ClusterWires(nodes, silence_seconds=PATIENCE_SECONDS)
    await wires.close()
    with pytest.raises(LostError):
        await wires.evalsha("sha", 1, "k")
    assert nodes.looked == 0


async def ask_in_vain() -> None:
    """Once without waiting for the end, and once more."""
    wire = Wire(
        lambda: Connection(host="127.0.0.1", port=free_port(), driver_info=None), silence_seconds=PATIENCE_SECONDS
    )
    asking = asyncio.create_task(wire.evalsha("sha", 1, "k", 7))
    await asyncio.sleep(0)
    asking.cancel()
    await until(lambda: wire._opening is not None and wire._opening.done())
    with pytest.raises(LostError):
        await wire.evalsha("sha", 1, "k", 7)
    await wire.close()


async def test_an_opening_that_fails_when_nobody_waits_any_more_is_nobodys() -> None:
    """Each would write a line with a traceback."""
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    with collected_at_the_end():
        await ask_in_vain()
    assert complaints == []
