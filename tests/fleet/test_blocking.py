"""A command's way to Redis, against servers that say what a Redis says seldom."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from service.fleet.address import RedisAddress
from service.fleet.blocking import BlockingWay, words_of
from service.fleet.causes import FAILURES, Refusal
from tests.support.odd_redis import HANG_UP, Answer, OddRedis, hello, odd_cluster, odd_redis
from tests.support.ports import free_port
from tests.support.streams import serving
from tests.support.waiting import until

NOAUTH = "-NOAUTH Authentication required."


async def ask(url: str, key: str = "k") -> object:
    """What the server of a key has for it."""

    def get() -> object:
        client = BlockingWay(RedisAddress.parse(url)).server_of(key)
        try:
            return client.get(key)
        finally:
            client.close()

    return await asyncio.to_thread(get)


async def why_not(url: str) -> str:
    """What the operator reads."""
    with pytest.raises((Refusal, *FAILURES)) as raised:
        await ask(url)
    return words_of(raised.value, RedisAddress.parse(url))


async def test_the_master_that_the_first_sentinel_names_is_asked_with_its_own_login() -> None:
    async with odd_redis() as redis, odd_redis() as ignorant, odd_redis() as knows:
        redis.says["GET"] = b"here"
        ignorant.says["SENTINEL"] = None
        knows.says["SENTINEL"] = [b"127.0.0.1", b"%d" % redis.port]
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{ignorant.port},127.0.0.1:{knows.port}"
        url = f"redis+sentinel://ann:secret@{hosts}/shop/2?sentinel_password=other&client_name=load"
        assert await ask(url) == b"here"
        assert [one for one in knows.heard if one[0] == b"SENTINEL"] == [
            [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", b"shop"]
        ]
        assert [b"AUTH", b"other"] in knows.heard
        assert [b"AUTH", b"ann", b"secret"] in redis.heard
        assert [b"SELECT", b"2"] in redis.heard
        assert [b"CLIENT", b"SETNAME", b"load"] in redis.heard
        await until(lambda: redis.open + ignorant.open + knows.open == 0)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (None, None, "the sentinels know no master named shop"),
        (HANG_UP, None, "the connection was closed"),
        (NOAUTH, HANG_UP, "Redis wants a password"),
        (HANG_UP, NOAUTH, "the connection was closed; a port with TLS wants rediss://"),
    ],
)
async def test_sentinels_that_name_no_master_say_why(first: Answer, second: Answer, words: str) -> None:
    async with odd_redis({"SENTINEL": first}) as one, odd_redis({"SENTINEL": second}) as other:
        said = await why_not(f"redis+sentinel://127.0.0.1:{one.port},127.0.0.1:{other.port}/shop")
        assert words in said
        assert said.startswith(f"shop of the sentinels 127.0.0.1:{one.port},")
        await until(lambda: one.open + other.open == 0)


@pytest.mark.parametrize("form", ["redis://{2}", "redis+cluster://{gone},{1}"])
async def test_the_node_that_holds_the_key_is_asked_from_whichever_node_answers(form: str) -> None:
    async with odd_cluster(3) as nodes, odd_redis({"HELLO": HANG_UP, "CLUSTER": HANG_UP}) as gone:
        for number, node in enumerate(nodes):
            node.says["GET"] = b"%d" % number
        url = form.format(*(at(node) for node in nodes), gone=at(gone))
        # Slots 449, 12706 and 8455.
        assert [await ask(url, key) for key in ("k2", "k1", "k4")] == [b"0", b"2", b"1"]
        await until(lambda: sum(node.open for node in nodes) == 0)


def at(server: OddRedis) -> str:
    return f"127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (NOAUTH, HANG_UP, "Redis wants a password"),
        (HANG_UP, NOAUTH, "the connection was closed; a port with TLS wants rediss://"),
        (hello(version="6.2.0"), NOAUTH, "Redis 6.2.0 is too old"),
    ],
)
async def test_nodes_of_which_none_answers_say_why_the_first_one_does_not(
    first: Answer, second: Answer, words: str
) -> None:
    async with odd_redis({"HELLO": first}) as one, odd_redis({"HELLO": second}) as other:
        said = await why_not(f"redis+cluster://{at(one)},{at(other)}")
        assert words in said
        await until(lambda: one.open + other.open == 0)


async def test_a_key_that_no_node_holds_is_a_cluster_that_is_torn() -> None:
    async with AsyncExitStack() as stack:
        [node] = await stack.enter_async_context(odd_cluster(1))
        node.says["CLUSTER SLOTS"] = [[0, 1, [b"127.0.0.1", node.port, b"%040d" % node.port]]]
        assert "does not serve all its slots" in await why_not(f"redis://{at(node)}")
        await until(lambda: node.open == 0)


async def test_a_command_that_fails_is_not_sent_again() -> None:
    async with odd_redis({"GET": HANG_UP}) as redis:
        assert "the connection was closed" in await why_not(f"redis://{at(redis)}")
        assert redis.asked["GET"] == 1
        await until(lambda: redis.open == 0)


async def test_a_server_behind_a_socket_is_asked_unless_it_is_too_old(tmp_path: Path) -> None:
    redis, path = OddRedis({"GET": b"here"}), tmp_path / "redis.sock"
    async with await asyncio.start_unix_server(redis.serve, path):
        assert await ask(f"unix://{path}") == b"here"
        redis.says["HELLO"] = hello(version="6.2.0")
        assert await why_not(f"unix://{path}") == (
            f"{path}: Redis 6.2.0 is too old; Redis 7 or Valkey 8, or a newer one, is needed"
        )


async def test_a_command_speaks_tls_where_its_address_says_so() -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        heard.append(await reader.read(1))

    async with serving(serve) as port:
        assert "TLS failed" in await why_not(f"rediss://127.0.0.1:{port}")
    # A handshake.
    assert heard == [b"\x16"]
