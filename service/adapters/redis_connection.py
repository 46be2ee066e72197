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

from service.errors import ConfigurationError, SharedStateUnavailable
from service.ports import Clock

TIMEOUT_SECONDS: Final = 0.25
"""For one command, connecting included: a sixth of the default deadline, and far above what a healthy Redis
takes."""

HEARTBEAT_SECONDS: Final = 0.5
"""Between two heartbeats: how soon a Redis that came back is noticed."""

SILENCE_SECONDS: Final = 5.0
"""A replica silent for so long is gone. `reserve.lua` has it too."""

RETURN_SECONDS: Final = 10.0
"""After Redis is back: how long the replicas known before count as present, seen again or not."""

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
        self.budget_key = f"pc:{{{group}}}:budget"
        self.up = False
        """Whether Redis answers, as far as is known."""
        self.last_reply_at: float | None = None
        """Monotonic time of the last answer; None before the first."""
        self.memory_lost_at: float | None = None
        """Monotonic time at which Redis was found to have forgotten this replica; None if it never did."""
        self.position = 0
        """This replica's place among the replicas, 0-based; the same order everywhere; 0 if it does not serve."""
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._beat_at: float | None = None
        self._present = 1
        self._expected = 1
        self._expected_until = float("-inf")
        self._listeners: list[Callable[[bool], None]] = []
        self._heartbeat = self.script("heartbeat")
        self._stack = AsyncExitStack()

    @property
    def replicas(self) -> int:
        """Replicas alive by the last known number, this one included; 1 if Redis never answered."""
        return max(self._present, self.expected_replicas)

    @property
    def expected_replicas(self) -> int:
        """Replicas known before Redis went away, until `RETURN_SECONDS` after its return; else 0."""
        return self._expected if not self.up or self._clock.monotonic() < self._expected_until else 0

    @property
    def registered(self) -> bool:
        """Whether Redis, if it remembers, must know this replica from a recent heartbeat."""
        return self._beat_at is not None and self._clock.monotonic() - self._beat_at < SILENCE_SECONDS / 2

    def on_change(self, listener: Callable[[bool], None]) -> None:
        """Call `listener(up)` on every change of `up`, in order of registration; it must not raise."""
        self._listeners.append(listener)

    def script(self, name: str) -> AsyncScript:
        """The Lua file of this name; loaded into Redis when Redis does not know it."""
        return self.client.register_script(Path(__file__).with_name(f"{name}.lua").read_text())

    async def open(self) -> Self:
        """Say hello once and start the heartbeat; succeeds without Redis too, `up` is then False."""
        await self._beat()
        self._stack.push_async_callback(self.client.aclose, close_connection_pool=True)
        self._stack.push_async_callback(self._leave)
        task = asyncio.create_task(self._keep_beating(), name="redis-heartbeat")
        self._stack.push_async_callback(_stop, task)
        return self

    async def close(self) -> None:
        """Stop the heartbeat, leave the replicas, close the connections; fine when Redis is down."""
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
        if up == self.up:
            return
        if up:
            self._expected_until = self._clock.monotonic() + RETURN_SECONDS
            _logger.info("redis_up")
        else:
            self._expected = self.replicas
            _logger.warning("redis_down", error=type(because).__name__)
        self.up = up
        for listener in self._listeners:
            listener(up)

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            await self._beat()

    async def _beat(self) -> None:
        with suppress(SharedStateUnavailable):
            async with self._translated():
                if not self.up:
                    # A network that swallowed packets leaves connections that look alive.
                    await self.client.connection_pool.disconnect(inuse_connections=False)
                reply: Any = await self._heartbeat(
                    keys=[self.heartbeats_key, self.replicas_key], args=[self.replica, int(SILENCE_SECONDS * 1e6)]
                )
            unknown, members = int(reply[0]), sorted(reply[1])
            if unknown and self.registered:
                self.memory_lost_at = self._clock.monotonic()
            self._beat_at = self._clock.monotonic()
            self._present = max(1, len(members))
            own = self.replica.encode()
            self.position = members.index(own) if own in members else 0
            self._mark(up=True)

    async def _leave(self) -> None:
        if self.up:
            with suppress(SharedStateUnavailable):
                async with self._translated():
                    await self.client.zrem(self.heartbeats_key, self.replica)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
