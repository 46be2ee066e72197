"""How long a Redis may be silent, in virtual time, over a socket of this process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio.connection import UnixDomainSocketConnection
from redis.exceptions import TimeoutError as SilentError

from service.errors import SharedStateUnavailable
from service.fleet.client import FINDING_SECONDS, TIMEOUT_SECONDS, RedisClient
from service.fleet.wire import Wire
from tests.support.odd_redis import SILENCE, OddRedis
from tests.support.virtual_time import HearingLoop

SECONDS = 0.5


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[OddRedis]:
    redis = OddRedis({})
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(redis.serve(reader, writer)))

    server = await asyncio.start_unix_server(accept, path)
    try:
        yield redis
    finally:
        server.close()
        await asyncio.gather(*tasks)


def play(path: Path, scenario: Callable[[OddRedis], Awaitable[None]]) -> None:
    async def run() -> None:
        async with listening(path) as redis:
            await scenario(redis)

    with asyncio.Runner(loop_factory=HearingLoop) as runner:
        runner.run(run())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "redis.sock"


def now() -> float:
    return asyncio.get_running_loop().time()


def wire_to(path: Path) -> Wire:
    return Wire(
        lambda: UnixDomainSocketConnection(path=str(path), protocol=2, driver_info=None), silence_seconds=SECONDS
    )


def test_a_server_that_owes_replies_has_gone_when_it_says_nothing_for_so_long(path: Path) -> None:
    async def scenario(redis: OddRedis) -> None:
        wire = wire_to(path)
        assert await wire.evalsha("sha", 1, "k") == 1
        redis.says["EVALSHA"] = SILENCE
        began = now()
        with pytest.raises(SilentError, match="reading"):
            await wire.evalsha("sha", 1, "k")
        assert now() - began == pytest.approx(SECONDS)
        # The next one has a new connection, and its own time.
        redis.says.clear()
        assert await wire.evalsha("sha", 1, "k") == 1
        assert redis.connections == 2
        await wire.close()

    play(path, scenario)


def test_a_server_that_still_talks_is_waited_for_and_one_that_owes_nothing_may_be_silent(path: Path) -> None:
    async def scenario(redis: OddRedis) -> None:
        wire, loop = wire_to(path), asyncio.get_running_loop()
        answers = [loop.create_future() for _ in range(3)]
        redis.says["EVALSHA"] = lambda command: answers[int(command[-1])]
        asking = [asyncio.create_task(ask(wire, number)) for number in range(3)]
        for number, answer in enumerate(answers):
            loop.call_later(0.8 * SECONDS * (number + 1), answer.set_result, number)
        assert await asyncio.gather(*asking) == [0, 1, 2]
        await asyncio.sleep(10 * SECONDS)
        # What was quiet before the question does not count.
        answers[0] = loop.create_future()
        loop.call_later(0.9 * SECONDS, answers[0].set_result, 7)
        assert await wire.evalsha("sha", 1, "k", 0) == 7
        await asyncio.sleep(0.9 * SECONDS)
        answers[0] = loop.create_future()
        began = now()
        with pytest.raises(SilentError):
            await wire.evalsha("sha", 1, "k", 0)
        assert now() - began == pytest.approx(SECONDS)
        answers[0].set_result(0)
        assert redis.connections == 1
        await wire.close()

    play(path, scenario)


async def ask(wire: Wire, number: int) -> object:
    return await wire.evalsha("sha", 1, "k", number)


def test_the_commands_of_one_turn_leave_together(path: Path) -> None:
    async def scenario(redis: OddRedis) -> None:
        wire = wire_to(path)
        await wire.evalsha("sha", 1, "k")
        replies = wire._replies
        assert replies is not None
        sent: list[bytes] = []
        write = replies._writer.transport.write

        def noted(data: bytes) -> None:
            sent.append(data)
            write(data)

        replies._writer.transport.write = noted
        await asyncio.gather(*(ask(wire, number) for number in range(5)))
        assert len(sent) == 1
        assert redis.asked["EVALSHA"] == 6
        await wire.close()

    play(path, scenario)


@pytest.mark.parametrize("is_script", [False, True])
def test_a_command_and_a_script_have_the_same_time_and_a_silent_way_to_redis_has_some_seconds(
    path: Path, *, is_script: bool
) -> None:
    async def scenario(redis: OddRedis) -> None:
        async with RedisClient(f"unix://{path}") as client:
            await client.find()
            client.mark_up()
            began = now()
            redis.says["GET"] = redis.says["EVALSHA"] = SILENCE
            with pytest.raises(SharedStateUnavailable, match="TimeoutError"):
                async with client.use() as library:
                    await (client.scripts.evalsha("sha", 1, "k") if is_script else library.get("k"))
            assert now() - began == pytest.approx(TIMEOUT_SECONDS)
            # What nobody has a deadline for.
            began = now()
            with pytest.raises(SilentError):
                await (client.scripts.evalsha("sha", 1, "k") if is_script else client.redis.get("k"))
            assert now() - began == pytest.approx(TIMEOUT_SECONDS if is_script else 2 * TIMEOUT_SECONDS)
            redis.says["HELLO"] = SILENCE
            began = now()
            with pytest.raises(SharedStateUnavailable):
                await client.find()
            assert TIMEOUT_SECONDS < now() - began <= FINDING_SECONDS

    play(path, scenario)
