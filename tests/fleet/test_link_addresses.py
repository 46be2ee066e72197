"""Where replicas listen to each other, as Redis has it, to the moment; and at which address they do."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis

from service.errors import SharedStateUnavailable
from service.fleet import own_address as own_address_module
from service.fleet.connections import PatientCluster
from service.fleet.heartbeat import Heartbeat
from service.fleet.link_addresses import SECRET_BYTES, SECRET_SECONDS, LinkAddresses
from service.fleet.own_address import own_address
from tests.support.redis_network import ModelClient, RedisServerModel, model_client
from tests.support.virtual_time import VirtualClock, run_virtual


@dataclass
class Replica:
    addresses: LinkAddresses
    client: ModelClient
    heartbeat: Heartbeat

    @property
    def name(self) -> bytes:
        return self.heartbeat.replica.encode()


class World:
    """One Redis, and replicas that are alive when a test says so."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._clock = VirtualClock(asyncio.get_running_loop())
        self.server = RedisServerModel(self._clock.time)
        self._stack = stack

    async def replica(self) -> Replica:
        client = await self._stack.enter_async_context(model_client(self.server))
        await client.find()
        client.mark_up()
        heartbeat = Heartbeat(client, clock=self._clock, expected_replicas=2)
        found = Replica(LinkAddresses(client, heartbeat), client, heartbeat)
        self.ask("ZADD", heartbeat.replicas_key, "1.0", found.name)
        return found

    def ask(self, *command: object) -> Any:  # noqa: ANN401  # as Redis answers
        return self.server.redis.command(str(command[0]), *command[1:])


def play(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            await scenario(World(stack))

    run_virtual(run())


def test_replicas_learn_where_the_others_listen_and_share_a_secret() -> None:
    async def scenario(world: World) -> None:
        one, two = [await world.replica() for _ in range(2)]
        # The other one is alive, and has not said it yet.
        assert await one.addresses.renew("10.0.0.1", 7001) is False
        assert one.addresses.others == {}
        assert await two.addresses.renew("10.0.0.2", 7002) is True
        assert await one.addresses.renew("10.0.0.1", 7001) is True
        assert two.addresses.others == {one.name: ("10.0.0.1", 7001)}
        assert one.addresses.others == {two.name: ("10.0.0.2", 7002)}
        assert one.addresses.secrets == two.addresses.secrets
        assert [len(secret) for secret in one.addresses.secrets] == [SECRET_BYTES]

    play(scenario)


def test_who_is_gone_is_taken_out_and_who_signs_off_takes_itself_out() -> None:
    async def scenario(world: World) -> None:
        one, two, three = [await world.replica() for _ in range(3)]
        for each in (one, two, three, one):
            await each.addresses.renew("10.0.0.1", 7001)
        assert one.addresses.others.keys() == {two.name, three.name}
        world.ask("ZREM", one.heartbeat.replicas_key, two.name)
        assert await one.addresses.renew("10.0.0.1", 7001) is True
        assert one.addresses.others.keys() == {three.name}
        key = one.heartbeat.key("links")
        assert set(world.ask("HKEYS", key)) == {one.name, three.name}
        await three.addresses.sign_off()
        assert world.ask("HKEYS", key) == [one.name]
        # Redis has not heard of this replica for a while: it is alive all the same.
        world.ask("ZREM", one.heartbeat.replicas_key, one.name)
        await one.addresses.renew("10.0.0.1", 7001)
        assert world.ask("HKEYS", key) == [one.name]
        world.server.kill()
        with pytest.raises(SharedStateUnavailable):
            await one.addresses.renew("10.0.0.1", 7001)
        await one.addresses.sign_off()

    play(scenario)


def test_redis_keeps_secret_and_addresses_for_a_minute_after_the_last_word() -> None:
    async def scenario(world: World) -> None:
        one = await world.replica()
        names = [one.heartbeat.key("links"), one.heartbeat.key("link-secret")]
        for _ in range(2):
            await one.addresses.renew("10.0.0.1", 7001)
            for name in names:
                assert SECRET_SECONDS * 1000 - 10 <= world.ask("PTTL", name) <= SECRET_SECONDS * 1000
            await asyncio.sleep(30.0)

    play(scenario)


def test_a_redis_without_memory_gets_the_secret_again_and_another_ones_is_taken_beside_the_last() -> None:
    async def scenario(world: World) -> None:
        one, two = [await world.replica() for _ in range(2)]
        name = one.heartbeat.key("link-secret")
        await one.addresses.renew("10.0.0.1", 7001)
        [first] = one.addresses.secrets
        world.ask("DEL", name)
        await one.addresses.renew("10.0.0.1", 7001)
        assert (world.ask("GET", name), one.addresses.secrets) == (first, (first,))
        world.ask("DEL", name)
        await two.addresses.renew("10.0.0.2", 7002)
        [second] = two.addresses.secrets
        await one.addresses.renew("10.0.0.1", 7001)
        assert one.addresses.secrets == (second, first)
        world.ask("SET", name, b"third")
        await one.addresses.renew("10.0.0.1", 7001)
        assert one.addresses.secrets == (b"third", second)
        world.ask("SET", name, second)
        await one.addresses.renew("10.0.0.1", 7001)
        assert one.addresses.secrets == (second, b"third")

    play(scenario)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (b"10.0.0.2 65535", ("10.0.0.2", 65_535)),
        (b"::1 80", ("::1", 80)),
        (b"10.0.0.2 65536", None),
        (b"10.0.0.2", None),
        (b" 80", None),
        (b"10.0.0.2 -1", None),
        ("10.0.0.2 ٣".encode(), None),
        (b"10.0.0.2 80 more", None),
        (b"", None),
    ],
)
def test_what_is_no_address_is_passed_over(text: bytes, at: tuple[str, int] | None) -> None:
    async def scenario(world: World) -> None:
        one, two = [await world.replica() for _ in range(2)]
        world.ask("HSET", one.heartbeat.key("links"), two.name, text)
        assert await one.addresses.renew("10.0.0.1", 7001) is True
        assert one.addresses.others == ({} if at is None else {two.name: at})

    play(scenario)


class LookUp:
    """A `HostLookUp` that knows one name."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []
        self.closed = 0

    async def addresses(self, host: str, seconds: float) -> list[str]:
        self.asked.append((host, seconds))
        if host != "redis.example":
            raise OSError("no such name")
        return ["127.0.0.9", "203.0.113.1"]

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def look_up(monkeypatch: pytest.MonkeyPatch) -> LookUp:
    found = LookUp()
    monkeypatch.setattr(own_address_module, "HostLookUp", lambda: found)
    return found


async def asked_through(redis: object) -> str:
    client: Any = SimpleNamespace(redis=redis)
    return await own_address(client)


async def test_a_replica_is_reached_at_the_address_of_its_way_to_redis(look_up: LookUp) -> None:
    async with Redis(host="redis.example") as redis:
        found = await asked_through(redis)
    assert found.startswith("127.0.0.")
    assert (look_up.asked, look_up.closed) == ([("redis.example", 1.0)], 1)

    class Cluster(PatientCluster):
        def __init__(self) -> None:
            pass

        def __del__(self, *_: object) -> None:
            pass

        def get_default_node(self) -> Any:  # noqa: ANN401  # the library's
            return SimpleNamespace(host="redis.example")

    assert await asked_through(Cluster()) == found


async def test_where_redis_is_a_socket_replicas_are_at_loopback(look_up: LookUp) -> None:
    async with Redis(unix_socket_path="/none") as redis:
        assert await asked_through(redis) == "127.0.0.1"
    assert look_up.asked == []


async def test_without_a_way_to_redis_there_is_no_address(look_up: LookUp) -> None:
    async with Redis(host="none.example") as redis:
        with pytest.raises(OSError, match="no such name"):
            await asked_through(redis)
    assert look_up.closed == 1
