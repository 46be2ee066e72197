import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import pytest
from structlog.testing import capture_logs

from service.clock import Clock
from service.errors import ConfigurationError, SharedStateUnavailable
from service.fleet.client import RedisConnection


class Server(Protocol):
    port: int
    url: str

    def start(self) -> None: ...
    def kill(self) -> None: ...


@asynccontextmanager
async def _watched(url: str, clock: Clock) -> AsyncIterator[tuple[RedisConnection, asyncio.Queue[bool]]]:
    changes: asyncio.Queue[bool] = asyncio.Queue()
    connection = RedisConnection(url, clock=clock, heartbeat_seconds=0.05)
    connection.on_change(changes.put_nowait)
    async with connection:
        yield connection, changes


async def test_a_killed_redis_is_noticed_once_and_its_return_too(redis_server: Server, clock: Clock) -> None:
    async with _watched(redis_server.url, clock) as (connection, changes):
        assert await asyncio.wait_for(changes.get(), 2) is True
        redis_server.kill()
        assert await asyncio.wait_for(changes.get(), 2) is False
        assert not connection.up
        redis_server.start()
        assert await asyncio.wait_for(changes.get(), 2) is True
        async with connection.use() as client:
            assert await client.ping()
        assert changes.empty()


async def test_while_redis_is_down_nobody_touches_the_network(redis_server: Server, clock: Clock) -> None:
    async with _watched(redis_server.url, clock) as (connection, changes):
        await changes.get()
        redis_server.kill()
        await asyncio.wait_for(changes.get(), 2)
        begun = time.perf_counter()
        for _ in range(1000):
            with pytest.raises(SharedStateUnavailable):
                async with connection.use():
                    pytest.fail("was let through")
        assert time.perf_counter() - begun < 0.2


async def test_a_redis_that_accepts_and_never_answers_costs_one_timeout(clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.perf_counter()
        async with RedisConnection(
            f"redis://127.0.0.1:{silent.getsockname()[1]}", clock=clock, timeout_seconds=0.1
        ) as connection:
            assert not connection.up
            assert connection.replicas == 1
            assert time.perf_counter() - begun < 0.5


async def test_who_starts_without_redis_says_so_once(redis_server: Server, clock: Clock) -> None:
    url = f"redis://someone:hunter2@127.0.0.1:{redis_server.port}"
    with capture_logs() as logs:
        async with RedisConnection(url, clock=clock) as connection:
            await connection.beat()

    assert [(line["event"], line["log_level"], line["error"]) for line in logs] == [
        ("redis_down", "warning", "AuthenticationError")
    ]


async def test_replicas_are_counted_and_the_count_outlives_redis(redis_server: Server, clock: Clock) -> None:
    async with _watched(redis_server.url, clock) as (first, changes), _watched(redis_server.url, clock):
        async with asyncio.timeout(2):
            while first.replicas != 2:  # noqa: ASYNC110 - the heartbeat has no event to wait for
                await asyncio.sleep(0.01)
        await changes.get()
        redis_server.kill()
        await asyncio.wait_for(changes.get(), 2)
        assert first.replicas == 2
        redis_server.start()
        assert await asyncio.wait_for(changes.get(), 2)
        assert first.replicas == 2


async def test_a_replica_that_closes_is_gone_at_once(redis_server: Server, clock: Clock) -> None:
    async with _watched(redis_server.url, clock) as (first, _):
        async with _watched(redis_server.url, clock):
            pass
        assert await first.client.zcard(first.replicas_key) == 1


async def test_who_does_not_serve_sees_the_replicas_and_is_none(redis_server: Server, clock: Clock) -> None:
    async with _watched(redis_server.url, clock) as (replica, _):
        async with RedisConnection(redis_server.url, clock=clock, heartbeat_seconds=0.05, serves=False) as ahead:
            assert ahead.up
            assert ahead.replicas == 1
            await asyncio.sleep(0.2)
            assert await replica.client.zrange(replica.replicas_key, 0, -1) == [replica.replica.encode()]
            assert await replica.client.zcard(ahead.heartbeats_key) == 1
        assert not await replica.client.exists(ahead.heartbeats_key)


async def test_a_redis_that_forgot_everything_is_noticed(redis_server: Server, clock: Clock) -> None:
    async with _watched(redis_server.url, clock) as (connection, _):
        assert connection.memory_lost_at is None
        await connection.client.flushall()
        async with asyncio.timeout(2):
            while connection.memory_lost_at is None:  # noqa: ASYNC110 - the heartbeat has no event to wait for
                await asyncio.sleep(0.01)


async def test_a_value_of_another_type_does_not_take_redis_down(redis_server: Server, clock: Clock) -> None:
    async with RedisConnection(redis_server.url, clock=clock) as connection:
        await connection.client.lpush("odd", "value")
        with pytest.raises(SharedStateUnavailable):
            async with connection.use() as client:
                await client.get("odd")
        assert connection.up


async def test_the_password_is_never_written(
    redis_server: Server, clock: Clock, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    url = f"redis://someone:hunter2@127.0.0.1:{redis_server.port}"
    async with RedisConnection(url, clock=clock) as connection:
        assert not connection.up
        with pytest.raises(SharedStateUnavailable) as raised:
            async with connection.use():
                pass
    written = capsys.readouterr()
    assert "hunter2" not in written.out + written.err + caplog.text + repr(raised.value) + repr(connection)


def test_a_wrong_url_is_told_without_its_password(clock: Clock) -> None:
    with pytest.raises(ConfigurationError) as raised:
        RedisConnection("reddis://:hunter2@somewhere", clock=clock)
    assert "REDIS_URL" in str(raised.value)
    assert "hunter2" not in str(raised.value)
