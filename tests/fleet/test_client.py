import asyncio
import socket
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from service.clock import Clock
from service.errors import ConfigurationError, SharedStateFull, SharedStateUnavailable
from service.fleet.client import RedisClient
from service.fleet.connections import MAX_CONNECTIONS
from tests.support.fleet import join
from tests.support.redis import RedisServer


def _connections(listener: socket.socket) -> int:
    """How many were made to it since it listens."""
    listener.setblocking(False)
    found = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return found
        found += 1


async def test_a_killed_redis_is_noticed_once_and_its_return_too(redis_server: RedisServer, clock: Clock) -> None:
    changes: asyncio.Queue[bool] = asyncio.Queue()
    async with join(redis_server.url, clock, heartbeat_seconds=0.05, on_change=changes.put_nowait) as member:
        assert await asyncio.wait_for(changes.get(), 2) is True
        redis_server.kill()
        assert await asyncio.wait_for(changes.get(), 2) is False
        assert not member.client.up
        redis_server.start()
        assert await asyncio.wait_for(changes.get(), 2) is True
        async with member.client.use() as redis:
            assert await redis.ping()
        assert changes.empty()


async def test_while_redis_is_down_no_command_touches_the_network(redis_server: RedisServer, clock: Clock) -> None:
    async with join(redis_server.url, clock, heartbeat_seconds=600) as member:
        redis_server.kill()
        with pytest.raises(SharedStateUnavailable):
            async with member.client.use() as redis:
                await redis.ping()
        with socket.create_server(("127.0.0.1", redis_server.port)) as listener:
            for _ in range(100):
                with pytest.raises(SharedStateUnavailable):
                    async with member.client.use():
                        pytest.fail("was let through")
            assert _connections(listener) == 0


async def test_a_redis_that_accepts_and_never_answers_is_tried_once(clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        async with join(url, clock, timeout_seconds=0.1, heartbeat_seconds=600) as member:
            assert not member.client.up
            assert _connections(silent) == 1


async def test_what_keeps_a_replica_from_redis_is_named_once_in_words_with_the_host_and_without_a_secret(
    redis_server: RedisServer, clock: Clock
) -> None:
    """E5."""
    url = f"redis://someone:hunter2@127.0.0.1:{redis_server.port}"
    with capture_logs() as logs:
        async with join(url, clock) as member:
            for _ in range(3):
                await member.heartbeat.beat()

    assert [(line["event"], line["log_level"], line["redis"], line["cause"]) for line in logs] == [
        (
            "redis_refused",
            "error",
            f"127.0.0.1:{redis_server.port}",
            (
                "Redis does not know the user or password of REDIS_URL: "
                "'WRONGPASS invalid username-password pair or user is disabled.'"
            ),
        )
    ]


async def test_a_value_of_another_type_does_not_take_redis_down(redis_server: RedisServer, clock: Clock) -> None:
    async with join(redis_server.url, clock) as member:
        await member.redis.lpush("odd", "value")
        with pytest.raises(SharedStateUnavailable):
            async with member.client.use() as redis:
                await redis.get("odd")
        assert member.client.up


async def test_a_write_that_finds_redis_full_does_not_take_it_down(redis_server: RedisServer, clock: Clock) -> None:
    async with join(redis_server.url, clock) as member:
        await member.redis.config_set("maxmemory", "1mb")
        await member.redis.config_set("maxmemory-policy", "noeviction")
        with pytest.raises(SharedStateFull):
            async with member.client.use() as redis:
                await redis.set("one", "more")
        assert member.client.up


async def test_the_password_is_never_written(
    redis_server: RedisServer, clock: Clock, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    url = f"redis://someone:hunter2@127.0.0.1:{redis_server.port}"
    async with join(url, clock) as member:
        assert not member.client.up
        with pytest.raises(SharedStateUnavailable) as raised:
            async with member.client.use():
                pass
    written = capsys.readouterr()
    assert "hunter2" not in written.out + written.err + caplog.text + repr(raised.value) + repr(member)


def test_a_wrong_url_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigurationError) as raised:
        RedisClient("reddis://:hunter2@somewhere")
    assert "REDIS_URL" in str(raised.value)
    assert "hunter2" not in str(raised.value)


async def test_who_leaves_while_waiting_for_a_turn_takes_none_along(redis_server: RedisServer, clock: Clock) -> None:
    async with join(redis_server.url, clock, heartbeat_seconds=600, timeout_seconds=30) as member:
        for _ in range(2):
            async with AsyncExitStack() as held:
                for _ in range(MAX_CONNECTIONS):
                    await held.enter_async_context(member.client.use())
                waiting = asyncio.create_task(member.client.use().__aenter__())
                await asyncio.sleep(0)
                assert not waiting.done()
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
        assert member.client.up
