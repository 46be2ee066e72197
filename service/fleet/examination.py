"""A look at Redis from end to end, for an operator who waits for it: the way, the rights, the clocks, every node."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import redis.asyncio as aioredis

from service.fleet.address import HostPort, RedisAddress
from service.fleet.causes import FAILURES, Cause, Refusal, cause_of
from service.fleet.connections import Connector, PatientCluster
from service.fleet.keeping import Keeping, look_at_keeping
from service.fleet.route import Pathfinder, Route

TIMEOUT_SECONDS: Final = 2.0
"""For one command: far longer than the service waits, so that a slow Redis is called slow and not absent."""

MAX_SECONDS: Final = 10.0
"""For finding the way."""

CLUSTER_SLOTS: Final = 16_384


@dataclass(frozen=True, slots=True)
class NodeLook:
    """What one server that takes writes has answered."""

    seconds: float
    """How long it took."""

    time: float
    """Unix seconds by its clock."""

    keeping: Keeping
    """How it keeps data."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found."""

    where: str
    """The hosts of REDIS_URL, without user and password."""

    cause: Cause | None = None
    """Why Redis cannot be used; None if it can be."""

    server: str = ""
    """Name and version."""

    mode: str = ""
    """`standalone`, `cluster` or `sentinel`."""

    nodes: tuple[NodeLook, ...] = ()
    """The server, or every master of a cluster."""

    missing_slots: int = 0
    """Of a cluster, those that no node serves."""

    silent_sentinels: tuple[str, ...] = ()
    """Sentinels that do not answer, or do not know the master."""


async def examine(url: str) -> Examination:
    """What there is to say of the Redis that a URL names.

    Raises:
        ConfigurationError: The URL names none.
    """
    address = RedisAddress.parse(url)
    connector = Connector(address, timeout_seconds=TIMEOUT_SECONDS)
    route: Route | None = None
    try:
        silent = await _silent_sentinels(address, connector)
        async with asyncio.timeout(MAX_SECONDS):
            route = await Pathfinder(address, connector).find(None)
            nodes = [await _look(client) async for client in _masters(route, connector)]
    except (Refusal, *FAILURES) as error:
        return Examination(address.shown, cause_of(error, tls=address.tls is not None))
    finally:
        if route is not None:
            await route.close()
        await connector.look_up.close()
    missing = 0
    if isinstance(route.redis, PatientCluster):
        missing = CLUSTER_SLOTS - len(route.redis.nodes_manager.slots_cache)
    return Examination(address.shown, None, route.server, route.mode, tuple(nodes), missing, silent)


async def _masters(route: Route, connector: Connector) -> AsyncIterator[aioredis.Redis]:
    if not isinstance(route.redis, PatientCluster):
        yield route.redis
        return
    for node in route.redis.get_primaries():
        async with connector.node(HostPort(node.host, int(node.port))) as client:
            yield client


async def _look(client: aioredis.Redis) -> NodeLook:
    await client.ping()  # the connection is open from here on
    began = monotonic()
    seconds, microseconds = await client.time()
    took = monotonic() - began
    return NodeLook(took, seconds + microseconds / 1e6, await look_at_keeping(client))


async def _silent_sentinels(address: RedisAddress, connector: Connector) -> tuple[str, ...]:
    if address.kind != "sentinel":
        return ()
    silent = []
    for at in address.hosts:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), connector.sentinel(at) as client:
                found: Any = await client.execute_command(  # type: ignore[no-untyped-call]  # the library's
                    "SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service
                )
        except FAILURES:
            found = None
        if found is None:
            silent.append(str(at))
    return tuple(silent)
