"""The one way to Redis: short timeouts, one kind of error, and a heartbeat that knows whether it is there."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import redis.asyncio as aioredis
import structlog
from redis.asyncio.connection import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from service.clock import Clock
from service.errors import ConfigurationError, SharedStateUnavailable
from service.fleet.share import Place

TIMEOUT_SECONDS: Final = 0.25
"""For one command, connecting included: a sixth of the default deadline, and far above what a healthy Redis
takes."""

HEARTBEAT_SECONDS: Final = 0.5
"""Between two heartbeats: how soon a Redis that came back is noticed, and how old the news of another replica are."""

SILENCE_SECONDS: Final = 5.0
"""A replica silent for so long is not counted any more."""

FORGET_SECONDS: Final = 20.0
"""A replica that left no sign of life for so long, and did not sign off, is dead: its share goes to the others. One
that lives, is cut off from Redis alone and from nothing else, spends it all the same."""

LATE_SECONDS: Final = 0.05
"""What a message may be beyond its timeout when Redis looks at it: the two clocks are known to each other to a few
milliseconds."""

CLOCK_SECONDS: Final = 30.0
"""How long a comparison of Redis's clock with ours is good for; monotonic clocks drift by some 3 ms in it."""

EXPECTED_REPLICAS: Final = 4
"""Replicas there may be, for one that starts without Redis and was told nothing."""

MAX_CONNECTIONS: Final = 32
"""Commands in flight from one replica; more wait their turn within the timeout."""

_logger = structlog.stdlib.get_logger(__name__)


class SharedStateFull(SharedStateUnavailable):
    """Redis is there but has no memory left for this write."""


class RedisConnection:
    """A client that gives up quickly, once for everybody.

    While Redis is down every use raises `SharedStateUnavailable` at once and without touching the network.
    The first failure of anyone marks it down; only the heartbeat marks it up again, at most about
    `HEARTBEAT_SECONDS` after it is back.

    Args:
        url: `REDIS_URL`; may hold a password and is therefore never logged.
        clock: Its monotonic time tells how long ago Redis answered.
        group: Replicas of the same group share one budget; part of the key of their heartbeats.
        timeout_seconds: For one command.
        heartbeat_seconds: Between two heartbeats.
        serves: Whether this process answers requests. One that only makes lists ahead is not counted among the
            replicas: they would leave it a share of the budget when Redis is away.
        expected_replicas: The share of a replica that starts while Redis is down is one in so many.

    Raises:
        ConfigurationError: The URL is none that the client understands.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        group: str = "service",
        timeout_seconds: float = TIMEOUT_SECONDS,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        serves: bool = True,
        expected_replicas: int = EXPECTED_REPLICAS,
    ) -> None:
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=MAX_CONNECTIONS,
                timeout=timeout_seconds,
                socket_timeout=timeout_seconds,
                socket_connect_timeout=timeout_seconds,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                driver_info=None,
            )
        except ValueError:
            # The client's own message quotes the URL.
            raise ConfigurationError("REDIS_URL: not a redis://, rediss:// or unix:// address") from None
        self.client: aioredis.Redis = aioredis.Redis.from_pool(pool)
        self.replica = secrets.token_hex(8)
        """This process among the replicas."""
        self.replicas_key = f"pc:{{{group}}}:replicas"
        self.heartbeats_key = self.replicas_key if serves else f"pc:{{{group}}}:ahead"
        """Where this process's own heartbeats are kept."""
        self.shares_key = f"pc:{{{group}}}:shares"
        """What each replica may spend alone, and when it was last heard of."""
        self.budget_key = f"pc:{{{group}}}:budget"
        self.up = False
        """Whether Redis answers, as far as is known."""
        self.last_reply_at: float | None = None
        """Monotonic time of the last answer; None before the first."""
        self.memory_lost_at: float | None = None
        """Monotonic time at which Redis was found to have forgotten this replica; None if it never did."""
        self.serves = serves
        self.place: Place | None = None
        """This replica's share of the budget while Redis is down; None for a process that has none."""
        self.heard_until = float("-inf")
        """Monotonic time after which Redis takes nothing that was sent for a sign of life."""
        self.alone_until = float("-inf")
        """Monotonic time at which the last slot begins that was taken of our own share; who takes it sets this."""
        self._expected_place = Place(expected_replicas, int(self.replica, 16) % expected_replicas)
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._beat_at: float | None = None
        self._alive = 1
        self._known: list[bytes | int] = []
        self._closing = False
        self._told = False
        self._ahead_seconds = 0.0
        self._unsure_seconds = float("inf")
        self._compared_at = float("-inf")
        self._listeners: list[Callable[[bool], None]] = []
        self._heartbeat = self.script(Path(__file__).with_name("heartbeat.lua"))
        self._stack = AsyncExitStack()

    @property
    def replicas(self) -> int:
        """Replicas alive by the last known number, this one included; 1 if Redis never answered."""
        return self._alive

    @property
    def registered(self) -> bool:
        """Whether Redis, if it remembers, must know this replica from a recent heartbeat."""
        return self._beat_at is not None and self._clock.monotonic() - self._beat_at < SILENCE_SECONDS / 2

    def shared_time(self) -> float:
        """Redis's clock in Unix seconds, as far as it is known here; the same on every replica."""
        return self._clock.monotonic() + self._ahead_seconds

    def stamp(self) -> int:
        """The point on Redis's clock, in microseconds, after which it is to ignore what is sent now.

        What bears a stamp is a sign of life, so it is only for a moment in which Redis is up or about to be.
        """
        patience = self._timeout_seconds + LATE_SECONDS
        unsure = min(self._unsure_seconds, self._timeout_seconds)
        self.heard_until = max(self.heard_until, self._clock.monotonic() + patience + unsure)
        return round((self.shared_time() + patience) * 1e6)

    def came_late(self, redis_time: int) -> SharedStateUnavailable:
        """Redis ignored a message for its stamp, although the answer is here in time: compare the clocks anew."""
        self._compared_at = float("-inf")
        error = SharedStateUnavailable(f"Redis's clock, at {redis_time}, is not what it was")
        self._mark(up=False, because=error)
        return error

    def on_change(self, listener: Callable[[bool], None]) -> None:
        """Call `listener(up)` on every change of `up`, in order of registration; it must not raise."""
        self._listeners.append(listener)

    def script(self, path: Path) -> AsyncScript:
        """The script in a Lua file; loaded into Redis when Redis does not know it."""
        return self.client.register_script(path.read_text("utf-8"))

    async def open(self) -> Self:
        """Say hello once and start the heartbeat; succeeds without Redis too, `up` is then False."""
        await self.beat()
        if not self.up and self.serves:
            self.place = self._expected_place
        self._stack.push_async_callback(self.client.aclose, close_connection_pool=True)
        self._stack.push_async_callback(self._leave)
        task = asyncio.create_task(self._keep_beating(), name="redis-heartbeat")
        self._stack.push_async_callback(stop_task, task)
        return self

    async def close(self) -> None:
        """Stop the heartbeat, leave the replicas, close the connections; fine when Redis is down."""
        self._closing = True
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def use(self) -> AsyncIterator[aioredis.Redis]:
        """The client, for one command.

        Raises:
            SharedStateFull: No memory for this write; Redis stays up.
            SharedStateUnavailable: Down, too slow, or answered with an error.
        """
        if not self.up:
            raise SharedStateUnavailable("Redis is down")
        async with self._translated():
            yield self.client

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                yield
        except OutOfMemoryError as error:
            raise SharedStateFull("Redis is full") from error
        except (RedisError, OSError, TimeoutError) as error:
            # A key of another type is the key's fault, everything else is Redis's.
            if not (isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")):
                self._mark(up=False, because=error)
            raise SharedStateUnavailable(f"Redis failed: {type(error).__name__}") from error
        self.last_reply_at = self._clock.monotonic()

    def _mark(self, *, up: bool, because: BaseException | None = None) -> None:
        if up == self.up and self._told:
            return
        self._told = True
        if up:
            _logger.info("redis_up")
        else:
            _logger.warning("redis_down", error=type(because).__name__)
        if up == self.up:
            return
        self.up = up
        for listener in self._listeners:
            listener(up)

    async def _keep_beating(self) -> None:
        # A cancellation that comes as the client gives up a connection may get lost in it.
        while not self._closing:
            await asyncio.sleep(self._heartbeat_seconds)
            await self.beat()

    async def beat(self) -> None:
        """Tell Redis that this process lives, and hear who else does; fine when Redis is down."""
        with suppress(SharedStateUnavailable):
            async with self._translated():
                if not self.up:
                    # A network that swallowed packets leaves connections that look alive.
                    await self.client.connection_pool.disconnect(inuse_connections=False)
                    # Only looks. What is a sign of life may be read after we have given it up and gone on alone.
                    await self._say(not_after=0)
                reply = await self._say(not_after=self.stamp())
            if int(reply[0]) < 0:
                self.came_late(int(reply[1]))
                return
            self._heard(reply)
            self._mark(up=True)

    async def _say(self, not_after: int) -> list[Any]:
        sent_at = self._clock.monotonic()
        held = self.place.replicas if self.place is not None and self.place.whole else 0
        reply: list[Any] = await self._heartbeat(
            keys=[self.heartbeats_key, self.replicas_key, self.shares_key],
            args=[
                self.replica,
                not_after,
                round(max(0.0, self.alone_until - sent_at) * 1e6),
                held,
                # Whoever saw Redis away and knows nobody may be the first one back.
                int(self.place is self._expected_place),
                int(FORGET_SECONDS * 1e6),
                int(SILENCE_SECONDS * 1e6),
                *self._known,
            ],
        )
        now = self._clock.monotonic()
        unsure = (now - sent_at) / 2
        if unsure <= self._unsure_seconds or now - self._compared_at > CLOCK_SECONDS:
            self._ahead_seconds = int(reply[1]) / 1e6 - (sent_at + now) / 2
            self._unsure_seconds, self._compared_at = unsure, now
        return reply

    def _heard(self, reply: list[Any]) -> None:
        state, _, alive, share, position, count, *known = reply
        if state and self.registered:
            self.memory_lost_at = self._clock.monotonic()
        self._beat_at = self._clock.monotonic()
        self._alive = max(1, int(alive))
        self._known = known
        if self.serves:
            self.place = Place(share, position % share) if share else Place(max(1, count), position, whole=False)

    async def _leave(self) -> None:
        if self.up:
            with suppress(SharedStateUnavailable):
                async with self._translated():
                    await self.client.zrem(self.heartbeats_key, self.replica)
                    await self.client.hdel(self.shares_key, self.replica)


async def stop_task(task: asyncio.Task[None]) -> None:
    """End a task that may be inside the client, and wait until it has ended.

    A cancellation that meets a timeout inside the client can be lost, so one is not enough.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=TIMEOUT_SECONDS)
