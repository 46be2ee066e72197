"""A model of Redis that runs the service's own Lua, on a clock and over a network that a test has in its hand.

It knows the commands that the scripts of budget, fleet and lists call. `tests/fleet/test_redis_model.py` holds it to a
real Redis.
"""

import asyncio
import copy
import hashlib
import importlib
import math
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

from service.fleet.client import TIMEOUT_SECONDS, RedisClient
from service.fleet.route import Route

# Not imported by name: type checkers need not have it.
_lua51: Final = importlib.import_module("lupa.lua51")

Hash = dict[bytes, bytes]
SortedSet = dict[bytes, float]


class RedisModel:
    """Keys, and the commands and scripts on them; everything at once, as in Redis.

    Args:
        clock: Redis's own, in Unix seconds; it may be set by any step.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lua = _lua51.LuaRuntime(encoding=None, unpack_returned_tuples=False)
        self._scripts: dict[str, tuple[str, Any]] = {}
        self._values: dict[bytes, Any] = {}
        self._expires_at: dict[bytes, float] = {}
        self.published: list[tuple[bytes, bytes]] = []

    # What a test does to it

    def empty(self) -> None:
        """Forget everything, scripts included."""
        self._values, self._expires_at, self._scripts = {}, {}, {}

    def memory(self) -> tuple[dict[bytes, Any], dict[bytes, float]]:
        """A copy of everything that is kept."""
        return copy.deepcopy((self._values, self._expires_at))

    def remember(self, memory: tuple[dict[bytes, Any], dict[bytes, float]]) -> None:
        """Hold what was kept at another time, as a server does that took over."""
        self._values, self._expires_at = copy.deepcopy(memory)

    def everlasting(self) -> set[bytes]:
        """Keys that never expire."""
        return self._values.keys() - self._expires_at.keys()

    # Scripts

    def eval(self, text: str, keys: Sequence[Any], args: Sequence[Any]) -> Any:  # noqa: ANN401  # what a script returns
        """Run a script."""
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        if sha not in self._scripts:
            lines = text.splitlines()
            body = "\n".join(lines[1:] if lines[0].startswith("#!") else lines)
            self._scripts[sha] = text, self._lua.eval(f"function(KEYS, ARGV, redis, struct) {body}\nend")
        return self.evalsha(sha, keys, args)

    def evalsha(self, sha: str, keys: Sequence[Any], args: Sequence[Any]) -> Any:  # noqa: ANN401  # as above
        """Run a script that was run before."""
        if sha not in self._scripts:
            raise NoScriptError
        lua = self._lua
        redis = lua.table_from({b"call": self._call, b"pcall": self._call})
        unpack = lua.table_from({b"unpack": lambda _, packed, at: struct.unpack_from(">d", packed, at - 1)[0]})
        reply = self._scripts[sha][1](
            lua.table_from([_bytes(key) for key in keys]), lua.table_from([_bytes(arg) for arg in args]), redis, unpack
        )
        return self._reply(reply)

    def _call(self, name: bytes, *args: object) -> object:
        answer = self.command(name.decode(), *args)
        return self._to_lua(answer)

    def _to_lua(self, answer: object) -> object:
        if answer is None:
            return False
        if isinstance(answer, list):
            return self._lua.table_from([self._to_lua(one) for one in answer])
        return answer

    def _reply(self, value: Any) -> Any:  # noqa: ANN401  # as a script returns it
        if value is None or value is False:
            return None
        if value is True:
            return 1
        if isinstance(value, int | float):
            return int(value)
        if isinstance(value, bytes):
            return value
        replies = []
        for at in range(1, len(value) + 1):
            if value[at] is None:
                break
            replies.append(self._reply(value[at]))
        return replies

    # Commands

    def command(self, name: str, *args: object) -> Any:  # noqa: ANN401  # as each command answers
        """Run one command."""
        self._expire()
        method = getattr(self, f"_{name.lower()}", None)
        if method is None:
            raise NotImplementedError(name)
        return method(*(_bytes(arg) for arg in args))

    def _expire(self) -> None:
        now = self._clock()
        for key in [key for key, at in self._expires_at.items() if at <= now]:
            self._forget(key)

    def _forget(self, key: bytes) -> bool:
        self._expires_at.pop(key, None)
        return self._values.pop(key, None) is not None

    def _kept(self, key: bytes, kind: type) -> Any:  # noqa: ANN401  # of that kind
        value = self._values.get(key)
        if value is None:
            return kind()
        if not isinstance(value, kind):
            raise ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def _keep(self, key: bytes, value: object) -> None:
        if value or isinstance(value, bytes):
            self._values[key] = value
        else:
            self._forget(key)

    def _time(self) -> list[bytes]:
        microseconds = round(self._clock() * 1e6)
        return [b"%d" % (microseconds // 1_000_000), b"%d" % (microseconds % 1_000_000)]

    def _get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._kept(key, bytes) if key in self._values else None
        return value

    def _set(self, key: bytes, value: bytes, *options: bytes) -> bytes | None:
        if b"NX" in options and key in self._values:
            return None
        self._values[key] = value
        self._expires_at.pop(key, None)
        if b"PX" in options:
            self._pexpire(key, options[options.index(b"PX") + 1])
        return b"OK"

    def _del(self, *keys: bytes) -> int:
        return sum(map(self._forget, keys))

    def _pexpire(self, key: bytes, milliseconds: bytes) -> int:
        if key not in self._values:
            return 0
        self._expires_at[key] = self._clock() + float(milliseconds) / 1000
        return 1

    def _pttl(self, key: bytes) -> int:
        if key not in self._values:
            return -2
        at = self._expires_at.get(key)
        return -1 if at is None else max(0, round((at - self._clock()) * 1000))

    def _publish(self, channel: bytes, message: bytes) -> int:
        self.published.append((channel, message))
        return 0

    def _hget(self, key: bytes, field: bytes) -> bytes | None:
        found: bytes | None = self._kept(key, dict).get(field)
        return found

    def _hmget(self, key: bytes, *fields: bytes) -> list[bytes | None]:
        kept = self._kept(key, dict)
        return [kept.get(field) for field in fields]

    def _hgetall(self, key: bytes) -> list[bytes]:
        return [one for pair in self._kept(key, dict).items() for one in pair]

    def _hvals(self, key: bytes) -> list[bytes]:
        return list(self._kept(key, dict).values())

    def _hset(self, key: bytes, *pairs: bytes) -> int:
        kept: Hash = self._kept(key, dict)
        new = {field for field in pairs[::2] if field not in kept}
        kept.update(zip(pairs[::2], pairs[1::2], strict=True))
        self._keep(key, kept)
        return len(new)

    def _hdel(self, key: bytes, *fields: bytes) -> int:
        kept: Hash = self._kept(key, dict)
        gone = sum(kept.pop(field, None) is not None for field in fields)
        self._keep(key, kept)
        return gone

    def _zadd(self, key: bytes, *args: bytes) -> int:
        kept: SortedSet = self._kept(key, dict)
        options = {arg for arg in args if arg in (b"XX", b"NX")}
        pairs = [arg for arg in args if arg not in options]
        added = 0
        for score, member in zip(pairs[::2], pairs[1::2], strict=True):
            if (b"XX" in options and member not in kept) or (b"NX" in options and member in kept):
                continue
            added += member not in kept
            kept[member] = float(score)
        self._keep(key, kept)
        return added

    def _zrem(self, key: bytes, *members: bytes) -> int:
        return self._hdel(key, *members)

    def _zcard(self, key: bytes) -> int:
        return len(self._kept(key, dict))

    def _zscore(self, key: bytes, member: bytes) -> bytes | None:
        score = self._kept(key, dict).get(member)
        return None if score is None else _score(score)

    def _zrange(self, key: bytes, first: bytes, last: bytes, *options: bytes) -> list[bytes]:
        ranked = sorted(self._kept(key, dict).items(), key=lambda entry: (entry[1], entry[0]))
        start, stop = int(first), int(last)
        found = ranked[start:] if stop == -1 else ranked[start : stop + 1]
        if b"WITHSCORES" in options:
            return [one for member, score in found for one in (member, _score(score))]
        return [member for member, _ in found]

    def _zcount(self, key: bytes, lowest: bytes, highest: bytes) -> int:
        return len(self._between(key, lowest, highest))

    def _zremrangebyscore(self, key: bytes, lowest: bytes, highest: bytes) -> int:
        return self._hdel(key, *self._between(key, lowest, highest))

    def _between(self, key: bytes, lowest: bytes, highest: bytes) -> list[bytes]:
        above, below = _bound(lowest, -math.inf), _bound(highest, math.inf)
        return [member for member, score in self._kept(key, dict).items() if above(score) and below(-score)]


def _bound(text: bytes, infinite: float) -> Callable[[float], bool]:
    """Whether a score is on the inner side of a bound; for the upper bound both are negated."""
    sign = 1.0 if infinite < 0 else -1.0
    if text.startswith(b"("):
        bound = sign * float(text[1:])
        return lambda score: score > bound
    bound = sign * float(text)
    return lambda score: score >= bound


def _score(score: float) -> bytes:
    return b"%d" % score if score == int(score) else repr(score).encode()


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, float) and value == int(value):
        # As Lua writes numbers that are whole.
        return b"%.14g" % value
    return str(value).encode()


class RedisServerModel:
    """A server with a model in it, and everything that may become of it and of the ways to it.

    Args:
        clock: Redis's own, in Unix seconds.
        way_seconds: From a replica to it, and back.
    """

    def __init__(self, clock: Callable[[], float], way_seconds: float = 0.0005) -> None:
        self.redis = RedisModel(clock)
        self.way_seconds = way_seconds
        self.alive = True
        self.paused = False
        self._unread: list[Callable[[], None]] = []
        self._subscribers: set[ModelPubSub] = set()

    def kill(self) -> None:
        """It answers nobody, and forgets everything."""
        self.alive, self.paused = False, False
        self._unread.clear()
        self.redis.empty()
        for subscriber in self._subscribers:
            subscriber.deliver(RedisConnectionError("closed"))
        self._subscribers.clear()

    def start(self) -> None:
        """It answers again."""
        self.alive = True

    def pause(self) -> None:
        """It reads nothing, and what is sent to it waits."""
        self.paused = True

    def resume(self) -> None:
        """It reads what has waited, even if nobody wants an answer any more."""
        self.paused = False
        while self._unread and not self.paused:
            self._unread.pop(0)()

    def receive(self, read: Callable[[], None]) -> None:
        """A message arrives."""
        if self.paused:
            self._unread.append(read)
        else:
            read()

    def subscribe(self, subscriber: "ModelPubSub") -> None:
        """What is published from now on goes there too, for as long as both live."""
        self._subscribers.add(subscriber)

    def unsubscribe(self, subscriber: "ModelPubSub") -> None:
        """Nothing more."""
        self._subscribers.discard(subscriber)

    def deliver(self) -> None:
        """Send on what scripts have published."""
        for channel, message in self.redis.published:
            for subscriber in self._subscribers:
                subscriber.deliver({"type": "message", "channel": channel, "data": message})
        self.redis.published.clear()


class ModelLink:
    """The library's client of one replica: what a `RedisClient` needs of it.

    A message is on its way by itself: the server reads it although its sender has given up.
    """

    def __init__(self, server: RedisServerModel) -> None:
        self._server = server
        self.cut = False
        """Whether packets get lost, in both directions."""

    async def aclose(self) -> None:
        """Nothing to close."""

    async def evalsha(self, sha: str, count: int, *rest: object) -> object:
        """Run a script by its hash."""
        return await self.ask(lambda redis: redis.evalsha(sha, rest[:count], rest[count:]))

    async def eval(self, text: str, count: int, *rest: object) -> object:
        """Run a script."""
        return await self.ask(lambda redis: redis.eval(text, rest[:count], rest[count:]))

    async def zrem(self, *args: object) -> object:
        """One command."""
        return await self.ask(lambda redis: redis.command("ZREM", *args))

    async def hdel(self, *args: object) -> object:
        """One command."""
        return await self.ask(lambda redis: redis.command("HDEL", *args))

    def pubsub(self) -> "ModelPubSub":
        """A subscription with a connection of its own."""
        return ModelPubSub(self._server, self)

    async def ask(self, act: Callable[[RedisModel], object]) -> object:
        """Have something done at the server."""
        loop, server = asyncio.get_running_loop(), self._server
        answer: asyncio.Future[object] = loop.create_future()

        def arrive() -> None:
            if self.cut:
                return
            if server.alive:
                server.receive(read)
            else:
                reply(RedisConnectionError("refused"))

        def read() -> None:
            try:
                said = act(server.redis)
            except (ResponseError, NotImplementedError) as error:
                said = error
            loop.call_later(server.way_seconds, reply, said)
            server.deliver()

        def reply(said: object) -> None:
            if self.cut or answer.done():
                return
            if isinstance(said, Exception):
                answer.set_exception(said)
            else:
                answer.set_result(said)

        loop.call_later(server.way_seconds, arrive)
        return await answer


class ModelPubSub:
    """The library's subscription, as `FlightChannel` uses it."""

    def __init__(self, server: RedisServerModel, link: ModelLink) -> None:
        self._server = server
        self._link = link
        self._arrived: asyncio.Queue[object] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.unsubscribe(self)

    async def subscribe(self, name: str) -> None:
        """Listen from the moment at which the server has read this."""
        await self._link.ask(lambda _: self._server.subscribe(self))
        self._arrived.put_nowait({"type": "subscribe", "channel": name.encode(), "data": 1})

    async def ping(self) -> None:
        """Ask for a sign of life, which comes as a message."""
        await self._link.ask(lambda _: self._arrived.put_nowait({"type": "pong"}))

    async def get_message(self, timeout: float) -> object:  # noqa: ASYNC109  # as the library has it
        """The next message; None if none comes in time."""
        try:
            async with asyncio.timeout(timeout):
                message = await self._arrived.get()
        except TimeoutError:
            return None
        if isinstance(message, Exception):
            raise message
        return message

    def deliver(self, message: object) -> None:
        """The server sends one; whatever is on its way when the link is cut is lost."""
        asyncio.get_running_loop().call_later(self._server.way_seconds, self._arrive, message)

    def _arrive(self, message: object) -> None:
        if not self._link.cut:
            self._arrived.put_nowait(message)


class ModelClient(RedisClient):
    """The service's client, on a model."""

    def __init__(self, server: RedisServerModel) -> None:
        super().__init__("redis://model", timeout_seconds=TIMEOUT_SECONDS)
        self.link = ModelLink(server)

    async def find(self) -> None:
        """There is one way."""
        link: Any = self.link
        self._route = Route(link, "Redis 7", "standalone")


@asynccontextmanager
async def model_client(server: RedisServerModel) -> AsyncIterator[ModelClient]:
    """A client for as long as the block lasts."""
    async with ModelClient(server) as client:
        yield client
