"""A server that speaks as Redis does, and says what a Redis says seldom."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum

from service.fleet.client import RedisClient
from tests.support.streams import serving
from tests.support.waiting import PATIENCE_SECONDS, until

Command = list[bytes]

Said = object
"""A text that begins with + or - goes as it is; else bytes, a number, None or a list. `SILENCE` says nothing, and a
future says what it is given, once it is."""

Answer = Said | Callable[[Command], Said]


class _Mark(Enum):
    """Looks the same in every process, so that a test may be named after one."""

    SILENCE = "silence"
    HANG_UP = "hang up"


SILENCE = _Mark.SILENCE
"""As an answer: none."""

HANG_UP = _Mark.HANG_UP
"""As an answer: the connection is closed."""


def hello(
    server: str = "redis", version: str = "7.4.0", mode: str = "standalone", role: str = "master"
) -> list[object]:
    """What it says of itself."""
    return [*(b"server", server.encode(), b"version", version.encode(), b"proto", 2, b"id", 1), b"mode", mode.encode(),
            b"role", role.encode(), b"modules", []]  # fmt: skip


class OddRedis:
    """One server.

    Args:
        says: Answers by the first word of a command, or its first two; those that a healthy Redis gives if it is not
            there. May be changed at any time.
    """

    def __init__(self, says: Mapping[str, Answer]) -> None:
        self.says: dict[str, Answer] = dict(says)
        self.port = 0
        self.asked: Counter[str] = Counter()
        """Commands, by their first word."""

        self.heard: list[Command] = []
        """Every command whole."""

        self.connections = 0
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        self.open += 1
        try:
            while line := await reader.readline():
                command = []
                for _ in range(int(line[1:])):
                    length = int((await reader.readline())[1:])
                    command.append((await reader.readexactly(length + 2))[:-2])
                said = self._answer(command)
                if isinstance(said, asyncio.Future):
                    said = await said
                if said is HANG_UP:
                    break
                if said is not SILENCE:
                    writer.write(_packed(said))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except ValueError:
            pass  # a client that speaks TLS, or went in the middle of a line
        finally:
            self.open -= 1
            writer.close()

    def _answer(self, command: Command) -> Said:
        words = [word.decode(errors="replace").upper() for word in command[:2]]
        self.asked[words[0]] += 1
        self.heard.append(command)
        for name in (" ".join(words), words[0]):
            for answers in (self.says, _HEALTHY):
                if name in answers:
                    answer = answers[name]
                    return answer(command) if callable(answer) else answer
        return "+OK"


_HEALTHY: Mapping[str, Answer] = {
    "PING": "+PONG",
    "HELLO": hello(),
    "TIME": [b"1700000000", b"0"],
    "EVALSHA": lambda command: "-NOSCRIPT No matching script." if command[1] == b"0" * 40 else 1,
    "EVAL": 1,
    "SUBSCRIBE": lambda command: [b"subscribe", command[1], 1],
    "UNSUBSCRIBE": lambda command: [b"unsubscribe", command[1], 0],
    "SCAN": [b"0", []],
    "XPENDING": [0, None, None, None],
    "XAUTOCLAIM": [b"0-0", [], []],
    "XREADGROUP": None,
    "COMMAND": [
        [b"get", 2, [b"readonly"], 1, 1, 1],
        [b"hmget", -3, [b"readonly"], 1, 1, 1],
        [b"set", -3, [b"write"], 1, 1, 1],
        [b"evalsha", -3, [b"movablekeys"], 0, 0, 0],
        [b"eval", -3, [b"movablekeys"], 0, 0, 0],
    ],
    "PUBSUB": [b"channel", 0],
    **{name: [] for name in ("HMGET", "HGETALL", "HKEYS", "HVALS", "ZRANGE", "XRANGE", "XREVRANGE", "XINFO", "XCLAIM")},
    **dict.fromkeys(("GET", "GETRANGE", "HGET", "SPOP", "ZSCORE")),
    **dict.fromkeys(("PTTL", "PEXPIRE", "HSET", "HDEL", "SADD", "SISMEMBER", "SCARD", "ZADD", "ZCARD", "ZCOUNT"), 1),
    **dict.fromkeys(("ZREM", "ZREMRANGEBYSCORE", "ZREMRANGEBYRANK", "XLEN", "XACK", "XDEL", "XTRIM", "DEL"), 1),
    **dict.fromkeys(("UNLINK", "PUBLISH"), 1),
    "XADD": b"1-1",
}


def _packed(said: Said) -> bytes:
    if isinstance(said, str):
        return said.encode() + b"\r\n"
    if isinstance(said, int):
        return b":%d\r\n" % said
    if isinstance(said, bytes):
        return b"$%d\r\n%b\r\n" % (len(said), said)
    if isinstance(said, list):
        return b"*%d\r\n" % len(said) + b"".join(map(_packed, said))
    return b"$-1\r\n"


@asynccontextmanager
async def odd_redis(says: Mapping[str, Answer] | None = None) -> AsyncIterator[OddRedis]:
    """One server, closed with the block."""
    server = OddRedis(says or {})
    async with serving(server.serve) as server.port:
        yield server


SLOTS = 16_384


@asynccontextmanager
async def odd_cluster(count: int) -> AsyncIterator[list[OddRedis]]:
    """Nodes of a cluster that share the slots, in their order."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(odd_redis({"HELLO": hello(mode="cluster")})) for _ in range(count)]
        bounds = [SLOTS * number // count for number in range(count + 1)]
        slots = [
            [first, after - 1, [b"127.0.0.1", node.port, b"%040d" % node.port]]
            for node, first, after in zip(nodes, bounds, bounds[1:], strict=False)
        ]
        for node in nodes:
            node.says["CLUSTER SLOTS"] = slots
        yield nodes


@asynccontextmanager
async def opened(
    *servers: OddRedis, form: str = "redis://{}", is_up: bool = True, slots_seconds: float = 0.0
) -> AsyncIterator[RedisClient]:
    """The service's client of these servers, which leaves nothing open.

    Args:
        servers: That its address names.
        form: Of the address.
        is_up: Whether Redis is found, and may be asked.
        slots_seconds: As `RedisClient` has it.
    """
    url = form.format(",".join(f"127.0.0.1:{one.port}" for one in servers))
    async with RedisClient(url, timeout_seconds=PATIENCE_SECONDS, slots_seconds=slots_seconds) as client:
        if is_up:
            await client.find()
            client.mark_up()
        yield client
    assert not client.up
    assert all(one.get_name() != "redis-sentinels" for one in asyncio.all_tasks())
    await until(lambda: sum(one.open for one in servers) == 0)


async def get(client: RedisClient, *keys: str, spread: bool = False) -> object:
    """What Redis has for the first key; `keys` and `spread` as `RedisClient.use` has them."""
    async with client.use(*keys, spread=spread) as redis:
        return await redis.get(keys[0] if keys else "k")
