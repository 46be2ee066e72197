"""A process among the replicas, as the wiring puts it there."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from service.clock import Clock
from service.fleet.client import TIMEOUT_SECONDS, RedisClient
from service.fleet.heartbeat import HEARTBEAT_SECONDS, Heartbeat


@dataclass
class Member:
    client: RedisClient
    heartbeat: Heartbeat

    @property
    def redis(self) -> Redis:
        """The library's client, to look into a standalone Redis with."""
        assert isinstance(self.client.redis, Redis)
        return self.client.redis


@asynccontextmanager
async def join(
    url: str,
    clock: Clock,
    *,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    timeout_seconds: float = TIMEOUT_SECONDS,
    serves: bool = True,
    patient: bool = False,
    on_change: Callable[[bool], None] = lambda _: None,
) -> AsyncIterator[Member]:
    async with RedisClient(url, timeout_seconds=timeout_seconds) as client:
        client.on_change(on_change)
        async with Heartbeat(
            client,
            clock=clock,
            expected_replicas=4,
            heartbeat_seconds=heartbeat_seconds,
            serves=serves,
            patient=patient,
        ) as heartbeat:
            yield Member(client, heartbeat)
