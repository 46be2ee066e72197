"""The way to a model of Redis, with everything that may become of both."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any, Final, Self, cast

import redis.asyncio as aioredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from service.fleet.client import TIMEOUT_SECONDS, RedisClient
from service.fleet.route import Route
from tests.support.redis_model import RedisModel

_OUTSIDE: Final = Context()
"""Of what is on its way: it goes on where a replica stands still."""


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

    @property
    def subscribers(self) -> int:
        """Connections that listen, as far as the server knows."""
        return len(self._subscribers)

    def subscribe(self, subscriber: "ModelPubSub") -> None:
        """What is published from now on goes there too, for as long as both live."""
        self._subscribers.add(subscriber)

    def unsubscribe(self, subscriber: "ModelPubSub") -> None:
        """Nothing more."""
        self._subscribers.discard(subscriber)

    def publish(self, channel: bytes, message: bytes) -> None:
        """Somebody else publishes this."""
        self.redis.published.append((channel, message))
        self.deliver()

    def deliver(self) -> None:
        """Send on what scripts have published."""
        if not self.redis.published:
            return
        for channel, message in self.redis.published:
            # A set has no order that a seed would bring back.
            for subscriber in sorted(self._subscribers, key=lambda one: one.number):
                subscriber.deliver({"type": "message", "channel": channel, "data": message})
        self.redis.published.clear()


class ModelLink:
    """The library's client of one replica: what the service uses of it.

    A message is on its way by itself: the server reads it although its sender has given up.
    """

    def __init__(self, server: RedisServerModel) -> None:
        self._server = server
        self.cut = False
        """Whether packets get lost, in both directions."""
        self._asking = 0

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is on its way, or lost."""
        return not self.cut and not self._asking

    async def aclose(self) -> None:
        """Nothing to close."""

    async def evalsha(self, sha: str, count: int, *rest: object) -> object:
        """Run a script by its hash."""
        return await self.ask(lambda redis: redis.evalsha(sha, rest[:count], rest[count:]))

    async def eval(self, text: str, count: int, *rest: object) -> object:
        """Run a script."""
        return await self.ask(lambda redis: redis.eval(text, rest[:count], rest[count:]))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """The library's method of a command."""

        async def run(*args: Any, **options: Any) -> object:  # noqa: ANN401  # the library's
            command, answer = _command(name, *args, **options)
            return answer(await self.ask(lambda redis: redis.command(*command)))

        return run

    def pipeline(self, *, transaction: bool = True) -> "ModelPipeline":
        """Commands that go together; a replica needs no right to MULTI."""
        assert not transaction
        return ModelPipeline(self)

    async def info(self, section: str) -> Mapping[str, object]:
        """What it says of itself."""
        del section
        return {"aof_enabled": 1, "maxmemory_policy": "noeviction"}

    async def pubsub_numsub(self, name: str) -> list[tuple[str, int]]:
        """How many listen."""
        return [(name, cast("int", await self.ask(lambda _: self._server.subscribers)))]

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
            except (RedisError, NotImplementedError) as error:
                said = error
            loop.call_later(server.way_seconds, reply, said, context=_OUTSIDE)
            server.deliver()

        def reply(said: object) -> None:
            if self.cut or answer.done():
                return
            if isinstance(said, Exception):
                answer.set_exception(said)
            else:
                answer.set_result(said)

        loop.call_later(server.way_seconds, arrive, context=_OUTSIDE)
        self._asking += 1
        try:
            return await answer
        finally:
            self._asking -= 1


class ModelPipeline:
    """Commands that go together, one after another."""

    def __init__(self, link: ModelLink) -> None:
        self._link = link
        self._commands: list[tuple[list[Any], Callable[[Any], Any]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._commands.clear()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """The library's method of a command."""
        return lambda *args, **options: self._commands.append(_command(name, *args, **options))

    async def execute(self) -> list[Any]:
        """All answers; a command that fails fails all of them, once they have been run."""
        commands = list(self._commands)

        def act(redis: RedisModel) -> list[Any]:
            answers: list[Any] = []
            for command, _ in commands:
                try:
                    answers.append(redis.command(*command))
                except RedisError as error:  # each by itself
                    answers.append(error)
            return answers

        answers: Any = await self._link.ask(act)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [made(answer) for answer, (_, made) in zip(answers, commands, strict=True)]


def _command(name: str, *args: Any, **options: Any) -> tuple[list[Any], Callable[[Any], Any]]:  # noqa: ANN401  # the library's
    """A command as Redis gets it, and what the library makes of the answer."""
    command: list[Any] = [{"delete": "DEL"}.get(name, name.upper()), *args]
    made: Callable[[Any], Any] = _same
    if name == "zadd":
        command = ["ZADD", args[0], *(one for member, score in args[1].items() for one in (repr(score), member))]
    elif name == "zrange" and options:
        command += [word for word, option in (("BYSCORE", "byscore"), ("REV", "desc")) if options.get(option)]
        command += ["LIMIT", options["offset"], options["num"]]
    elif name == "scan":
        command = ["SCAN", args[0], args[1]]
    elif name in ("xrange", "xrevrange"):
        bounds = args[1:] or ("-" if name == "xrange" else "+",)
        command = [name.upper(), args[0], *bounds, *["+" if name == "xrange" else "-"][: 2 - len(bounds)]]
        command += ["COUNT", options["count"]] if "count" in options else []
        made = _entries
    elif name == "xtrim":
        command = ["XTRIM", args[0], "MINID", options["minid"]]
    elif name == "set" and options.get("nx"):
        command.append("NX")
    elif name == "hgetall":
        made = _pairs
    elif name == "hmget":
        command = ["HMGET", args[0], *args[1]]
    elif name == "time":
        made = _whole
    return command, made


def _same(answer: Any) -> Any:  # noqa: ANN401  # whatever it is
    return answer


def _whole(answer: list[bytes]) -> list[int]:
    return list(map(int, answer))


def _pairs(answer: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(answer[::2], answer[1::2], strict=True))


def _entries(answer: list[Any]) -> list[Any]:
    return [(number, dict(zip(pairs[::2], pairs[1::2], strict=True))) for number, pairs in answer]


class ModelPubSub:
    """The library's subscription, as `FlightChannel` uses it."""

    _count = 0

    def __init__(self, server: RedisServerModel, link: ModelLink) -> None:
        self._server = server
        self._link = link
        self._arrived: asyncio.Queue[object] = asyncio.Queue()
        ModelPubSub._count += 1
        self.number = ModelPubSub._count
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        self._server.unsubscribe(self)

    async def subscribe(self, name: str) -> None:
        """Listen from the moment at which the server has read this, if the connection is still there."""
        await self._link.ask(lambda _: None if self._closed else self._server.subscribe(self))
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
        loop = asyncio.get_running_loop()
        loop.call_later(self._server.way_seconds, self._arrive, message, context=_OUTSIDE)

    def _arrive(self, message: object) -> None:
        if not self._link.cut:
            self._arrived.put_nowait(message)


class ModelClient(RedisClient):
    """The service's client, on a model."""

    def __init__(self, server: RedisServerModel) -> None:
        super().__init__("redis://model", timeout_seconds=TIMEOUT_SECONDS)
        self.server = server
        self.link = ModelLink(server)

    async def find(self) -> None:
        """There is one way."""
        link: Any = self.link
        self._route = Route(link, link, "Redis 7", "standalone")

    async def masters(self) -> AsyncGenerator[aioredis.Redis, None]:
        """The one server."""
        yield cast("aioredis.Redis", self.redis)


@asynccontextmanager
async def model_client(server: RedisServerModel) -> AsyncIterator[ModelClient]:
    """A client for as long as the block lasts."""
    async with ModelClient(server) as client:
        yield client
