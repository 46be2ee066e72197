"""E6: Redis's name is looked up apart from everybody else's."""

import asyncio
import socket
import threading
import time

import pytest

from service.fleet import look_up
from service.fleet.client import RedisClient
from service.fleet.look_up import HostLookUp
from tests.support.clocks import StandingClock
from tests.support.redis import RedisServer
from tests.support.waiting import until


class Names:
    """A name server that answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.answer = threading.Event()
        self.addresses: list[str] | None = ["127.0.0.1"]

    def resolve(self, host: str) -> list[str]:
        # The end of the process does not wait for it.
        assert threading.current_thread().daemon
        self.asked.append(host)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.answer.wait(20)
        self.at_once -= 1
        if self.addresses is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return list(self.addresses)


@pytest.fixture
def names() -> Names:
    return Names()


async def test_names_that_take_long_are_looked_up_one_at_a_time_and_nobody_waits_longer_than_asked(
    names: Names,
) -> None:
    """E6."""
    found = HostLookUp(names.resolve)
    waits = [found.addresses(host, 0.05) for host in ["a.example", "b.example", "a.example"] * 10]
    for outcome in await asyncio.gather(*waits, return_exceptions=True):
        assert isinstance(outcome, TimeoutError)
    assert names.asked == ["a.example"]
    names.answer.set()
    await until(lambda: len(names.asked) == 2)
    assert names.most_at_once == 1
    assert await found.addresses("a.example", 5) == ["127.0.0.1"]
    assert await found.addresses("b.example", 5) == ["127.0.0.1"]
    await found.close()


async def test_a_name_that_fails_for_ever_is_asked_for_every_ten_seconds(names: Names) -> None:
    """E6: sooner at first, each time twice as late."""
    clock = StandingClock()
    names.addresses = None
    names.answer.set()
    found = HostLookUp(names.resolve, clock.monotonic)
    asked_at = []
    for half in range(120):
        clock.now = half / 2
        before = len(names.asked)
        with pytest.raises(socket.gaierror):
            await found.addresses("a.example", 5)
        if len(names.asked) > before:
            asked_at.append(clock.now)
    assert asked_at == [0, 1, 3, 7, 15, 25, 35, 45, 55]
    # One success, and the next failure is the first one.
    names.addresses = ["127.0.0.1"]
    clock.now = 65.0
    assert await found.addresses("a.example", 5) == ["127.0.0.1"]
    names.addresses = None
    asked_at = []
    for clock.now in (66.0, 66.5, 67.0, 68.5, 69.0):
        before = len(names.asked)
        assert await found.addresses("a.example", 5) == ["127.0.0.1"]
        if len(names.asked) > before:
            asked_at.append(clock.now)
    assert asked_at == [66.0, 67.0, 69.0]
    await found.close()


def test_a_name_stands_for_each_of_its_addresses_once() -> None:
    assert look_up.resolve("127.0.0.1") == ["127.0.0.1"]


async def test_a_name_is_known_for_a_second(names: Names) -> None:
    clock = StandingClock()
    names.answer.set()
    found = HostLookUp(names.resolve, clock.monotonic)
    asked = []
    for clock.now in (0.0, 0.5, 0.999, 1.0, 1.5, 2.0):
        assert await found.addresses("a.example", 5) == ["127.0.0.1"]
        asked.append(len(names.asked))
    assert asked == [1, 1, 1, 2, 2, 3]
    # An address is no name.
    for address in ("127.0.0.1", "::1", "fe80::1%eth0"):
        assert await found.addresses(address, 5) == [address]
    assert len(names.asked) == 3
    await found.close()


async def test_a_failure_of_an_address_or_a_name_that_is_not_known_is_nobodys(names: Names) -> None:
    clock = StandingClock()
    names.answer.set()
    found = HostLookUp(names.resolve, clock.monotonic)
    found.failed("b.example", "127.0.0.1")
    assert await found.addresses("a.example", 5) == ["127.0.0.1"]
    found.failed("a.example", "127.0.0.9")
    assert await found.addresses("a.example", 5) == ["127.0.0.1"]
    assert len(names.asked) == 1
    found.failed("a.example", "127.0.0.1")
    assert await found.addresses("a.example", 5) == ["127.0.0.1"]
    assert len(names.asked) == 2
    await found.close()


async def test_addresses_that_failed_stay_last_also_when_the_name_is_looked_up_again(names: Names) -> None:
    clock = StandingClock()
    names.addresses = ["127.0.0.7", "127.0.0.8", "127.0.0.9"]
    names.answer.set()
    found = HostLookUp(names.resolve, clock.monotonic)
    await found.addresses("a.example", 5)
    found.failed("a.example", "127.0.0.7")
    assert await found.addresses("a.example", 5) == ["127.0.0.8", "127.0.0.9", "127.0.0.7"]
    names.addresses = ["127.0.0.7", "127.0.0.6"]
    clock.now = 5.0
    assert set(await found.addresses("a.example", 5)) == {"127.0.0.6", "127.0.0.7"}
    await found.close()


async def test_the_last_known_address_is_used_while_the_name_server_is_silent(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E6."""
    monkeypatch.setattr(look_up, "PATIENCE_SECONDS", 0.01)
    names.answer.set()
    found = HostLookUp(names.resolve)
    assert await found.addresses("a.example", 5) == ["127.0.0.1"]
    names.answer.clear()
    found.forget()
    assert await found.addresses("a.example", 86_400) == ["127.0.0.1"]
    assert len(names.asked) == 2
    names.addresses = ["127.0.0.2"]
    names.answer.set()
    await until(lambda: names.at_once == 0)
    await asyncio.sleep(0)
    assert await found.addresses("a.example", 5) == ["127.0.0.2"]
    await found.close()


async def test_an_address_that_took_no_connection_is_tried_last(names: Names) -> None:
    """E6: a name with several addresses."""
    names.addresses = ["127.0.0.9", "127.0.0.1"]
    names.answer.set()
    found = HostLookUp(names.resolve)
    assert await found.addresses("a.example", 5) == ["127.0.0.9", "127.0.0.1"]
    found.failed("a.example", "127.0.0.9")
    assert await found.addresses("a.example", 5) == ["127.0.0.1", "127.0.0.9"]
    await found.close()


@pytest.mark.processes
async def test_a_redis_with_a_dead_address_beside_a_good_one_is_found(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E6."""
    monkeypatch.setattr(look_up, "resolve", lambda _: ["127.0.0.9", "127.0.0.1"])
    monkeypatch.setattr(HostLookUp.__init__, "__defaults__", (look_up.resolve, time.monotonic))
    async with RedisClient(f"redis://cache.example:{redis_server.port}") as client:
        await client.find()
        async with client.attempt() as redis:
            assert await redis.ping()


async def test_while_redis_is_looked_up_the_loops_own_threads_are_free(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E6: Amazon Personalize's name could not be looked up."""
    monkeypatch.setattr(HostLookUp.__init__, "__defaults__", (names.resolve, time.monotonic))
    clients = [RedisClient("redis://cache.example", timeout_seconds=0.01) for _ in range(3)]
    for _ in range(5):
        for client in clients:
            with pytest.raises(Exception, match="Redis"):
                await client.find()
    assert len(names.asked) == len(clients)
    # As many as the default executor has threads would be taken, if these look-ups used it.
    loop = asyncio.get_running_loop()
    assert await asyncio.wait_for(loop.run_in_executor(None, lambda: "free"), 5) == "free"
    assert await asyncio.wait_for(loop.getaddrinfo("localhost", 80), 5)
    for client in clients:
        await client.__aexit__()
    assert [task for task in asyncio.all_tasks() if task.get_name() == "look-up"] == []
    names.answer.set()
