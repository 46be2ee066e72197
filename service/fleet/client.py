"""The one way to Redis: short timeouts, one kind of error, and whether it answers at all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

import redis.asyncio as aioredis
import structlog
from redis.asyncio.connection import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from service.errors import ConfigurationError, SharedStateFull, SharedStateUnavailable

TIMEOUT_SECONDS: Final = 0.25
"""For one command, connecting included: a sixth of the default deadline, and far above what a healthy Redis takes."""

MAX_CONNECTIONS: Final = 32
"""Commands in flight from one replica; more wait their turn within the timeout."""

_logger = structlog.stdlib.get_logger(__name__)


class RedisClient:
    """A client that gives up quickly, and once for all its users.

    The first failure of any command marks Redis down. From then on `use` raises `SharedStateUnavailable` at once,
    without touching the network. Only the heartbeat marks Redis up, so a client without one stays down.

    Args:
        url: `REDIS_URL`; may hold a password and is therefore never logged.
        timeout_seconds: For one command.

    Raises:
        ConfigurationError: The library does not understand the URL.
    """

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
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
            # The library's own message quotes the URL.
            raise ConfigurationError("REDIS_URL: not a redis://, rediss:// or unix:// address") from None
        self.redis: aioredis.Redis = aioredis.Redis.from_pool(pool)
        """The library's client, for what has timeouts of its own. Commands go through `use`."""
        self.timeout_seconds = timeout_seconds
        self.up = False
        """Whether the last command was answered."""
        self._logged = False
        self._listeners: list[Callable[[bool], None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections; fine when Redis is down."""
        await self.redis.aclose(close_connection_pool=True)

    def on_change(self, listener: Callable[[bool], None]) -> None:
        """Call `listener(up)` on every change of `up`, in order of registration; it must not raise."""
        self._listeners.append(listener)

    def script(self, path: Path) -> AsyncScript:
        """The script in a Lua file; the library loads it into a Redis that does not know it."""
        return self.redis.register_script(path.read_text("utf-8"))

    @asynccontextmanager
    async def use(self) -> AsyncIterator[aioredis.Redis]:
        """The library's client, for one command.

        Raises:
            SharedStateFull: Redis has no memory for this write; it stays up.
            SharedStateUnavailable: Redis is down, too slow, or answered with an error.
        """
        if not self.up:
            raise SharedStateUnavailable("Redis is down")
        async with self.attempt() as client:
            yield client

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[aioredis.Redis]:
        """The same as `use`, also while Redis is down; for the heartbeat."""
        try:
            async with asyncio.timeout(self.timeout_seconds):
                yield self.redis
        except OutOfMemoryError as error:
            raise SharedStateFull("Redis is full") from error
        except (RedisError, OSError, TimeoutError) as error:
            # A value of another type is one key's fault. Everything else is Redis's.
            if not (isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")):
                self.mark_down(error)
            raise SharedStateUnavailable(f"Redis failed: {type(error).__name__}") from error

    async def drop_idle_connections(self) -> None:
        """Connect anew: a network that swallowed packets leaves connections that look alive."""
        await self.redis.connection_pool.disconnect(inuse_connections=False)

    def mark_up(self) -> None:
        """Let commands through; the heartbeat was answered."""
        if not (self.up and self._logged):
            _logger.info("redis_up")
        self._change(up=True)

    def mark_down(self, because: BaseException) -> None:
        """Let no command through until the heartbeat is answered."""
        if self.up or not self._logged:
            _logger.warning("redis_down", error=type(because).__name__)
        self._change(up=False)

    def _change(self, *, up: bool) -> None:
        self._logged = True
        if up == self.up:
            return
        self.up = up
        for listener in self._listeners:
            listener(up)


async def stop_task(task: asyncio.Task[None]) -> None:
    """End a task that may be inside the library, and wait until it has ended.

    A cancellation that meets a timeout inside the library can be lost, so one is not enough.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=TIMEOUT_SECONDS)
