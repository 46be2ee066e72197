"""Finds the server that answers for Redis: a standalone one, a cluster's nodes, or the master that sentinels name."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import redis.asyncio as aioredis
from redis.exceptions import ResponseError

from service.fleet.address import HostPort, RedisAddress
from service.fleet.causes import FAILURES, NO_TLS, Refusal, cause_of
from service.fleet.connections import AnyRedis, Connector, PatientCluster
from service.fleet.rights import look_at_rights
from service.fleet.script import RunsScripts
from service.fleet.sentinels import Sentinels
from service.fleet.wire import ClusterWires, Wire

OLDEST: Final = {"redis": (7, 0), "valkey": (8, 0)}
"""Oldest versions that run the service's scripts and are tested."""

_TLS_WANTED: Final = "this port speaks TLS; write rediss://"

NEEDED: Final = "Redis 7 or Valkey 8, or a newer one, is needed"


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a server says of itself.

    Attributes:
        server: Its name and version; empty if it does not say.
        mode: `standalone`, `cluster` or `sentinel`.
        role: `master` or `replica`.
    """

    server: str
    mode: str
    role: str


@dataclass(slots=True)
class Route:
    """A way to Redis that was found good."""

    redis: AnyRedis
    scripts: RunsScripts
    """Where the scripts run, one beside the other."""

    server: str
    """Name and version."""

    mode: str
    at: HostPort | None = None
    """The one server; None for a socket and for a cluster."""

    cluster: PatientCluster | None = field(init=False)
    """The same client, if it is a cluster's."""

    def __post_init__(self) -> None:
        # Every command asks, and to look at the library's classes takes longer than all the rest.
        self.cluster = self.redis if isinstance(self.redis, PatientCluster) else None

    def node_of(self, keys: Sequence[str]) -> str | None:
        """The cluster's node for these keys; None if it is not known, if there are several, or without a cluster."""
        if not keys or self.cluster is None:
            return None
        try:
            nodes = {node.name for node in map(self.cluster.get_node_from_key, keys) if node is not None}
        except FAILURES:
            return None
        return nodes.pop() if len(nodes) == 1 else None

    async def close(self) -> None:
        """Close its connections."""
        try:
            await self.close_scripts()
        finally:
            await self.redis.aclose()

    async def close_scripts(self) -> None:
        """Close the connections of scripts; those under way fail."""
        if isinstance(self.scripts, Wire | ClusterWires):
            await self.scripts.close()


_ODD_ANSWERS: Final = (ValueError, TypeError, LookupError, AttributeError)
"""What reading an answer raises that is none of Redis's, here and in the library."""


class Pathfinder:
    """Finds a route, and says why there is none.

    Args:
        address: Of `REDIS_URL`.
        connector: Makes its clients.
    """

    def __init__(self, address: RedisAddress, connector: Connector) -> None:
        self._address = address
        self._connector = connector
        self.sentinels = Sentinels(address, connector)
        """Those that the address names, if it does."""
        self._tls = address.tls is not None

    async def find(self, last: Route | None) -> Route:
        """A route that works now; the last one itself if it still does, with new connections.

        Raises:
            Refusal: Redis answers, but the service cannot work with it.
            RedisError, OSError, TimeoutError: It does not answer.
        """
        self._connector.look_up.forget()
        try:
            return await self._found(last)
        except FAILURES as error:
            if await self._speaks_otherwise(error):
                raise Refusal("tls", NO_TLS.words if self._tls else _TLS_WANTED) from error
            raise
        except _ODD_ANSWERS as error:
            raise _no_redis() from error

    async def _speaks_otherwise(self, error: BaseException) -> bool:
        """Whether TLS meets a port without it, or the reverse: neither side understands that, so one just waits."""
        kind = cause_of(error, tls=self._tls).kind
        if kind not in (("timeout", "closed") if self._tls else ("closed", "protocol")) or not self._address.hosts:
            return False
        return await self._connector.speaks(self._address.hosts[0], tls=not self._tls)

    async def _found(self, last: Route | None) -> Route:
        if self._address.kind == "cluster":
            return await self._cluster(self._address.hosts)
        at = None
        if self._address.kind == "sentinel":
            at = await self.sentinels.master()
        elif self._address.kind == "server":
            [at] = self._address.hosts
        if last is not None and isinstance(last.redis, aioredis.Redis) and last.at == at:
            await last.redis.connection_pool.disconnect(inuse_connections=False)
            return await self._judged(last.redis, at, reused=True)
        client = self._connector.socket() if at is None else self._connector.server(at)
        return await self._judged(client, at)

    async def _judged(self, client: aioredis.Redis, at: HostPort | None, *, reused: bool = False) -> Route:
        keep = False
        try:
            greeting = await greet(client)
            if greeting.mode == "cluster" and at is not None and self._address.kind == "server":
                return await self._cluster([at])
            if greeting.mode == "sentinel":
                raise Refusal("sentinel", "this is a sentinel; write redis+sentinel://host:port/name-of-the-master")
            if greeting.role != "master":
                raise Refusal("read_only", "this server is a replica, which takes no writes", lasting=False)
            await look_at_rights(client, cluster=False, tls=self._tls)
            keep = True
            mode = "sentinel" if self._address.kind == "sentinel" else "standalone"
            return Route(client, self._wire(client), greeting.server, mode, at)
        finally:
            if not keep and not reused:
                await client.aclose()

    async def _cluster(self, seeds: Sequence[HostPort]) -> Route:
        error: BaseException | None = None
        for at in seeds:
            try:
                server = await self._look_at_node(at)
            except FAILURES as failure:
                error = error or failure
                continue
            break
        else:
            raise error or Refusal("cluster", "no node is named")
        cluster = self._connector.cluster([at, *(one for one in seeds if one != at)])
        found = False
        try:
            await cluster.initialize()
            await self._look_at_masters(cluster, but=at)
            found = True
        finally:
            if not found:
                await cluster.aclose()
        wires = ClusterWires(cluster, silence_seconds=self._connector.silence_seconds)
        return Route(cluster, wires, server, "cluster")

    def _wire(self, client: aioredis.Redis) -> Wire:
        connection_class, options = client.connection_pool.connection_class, client.connection_pool.connection_kwargs
        return Wire(lambda: connection_class(**options), silence_seconds=self._connector.silence_seconds)

    async def _look_at_node(self, at: HostPort) -> str:
        client = self._connector.node(at)
        try:
            greeting = await greet(client)
            if greeting.mode != "cluster":
                raise Refusal("cluster", f"{at} is not in cluster mode; write redis:// or redis+sentinel://")
            await look_at_rights(client, cluster=True, tls=self._tls)
        finally:
            await client.aclose()
        return greeting.server

    async def _look_at_masters(self, cluster: PatientCluster, but: HostPort) -> None:
        """Rights are kept by each node apart; a node that is down now is met later."""
        others = [HostPort(node.host, int(node.port)) for node in cluster.get_primaries()]
        looks = [self._look_at_node(at) for at in others if at != but]
        for outcome in await asyncio.gather(*looks, return_exceptions=True):
            if isinstance(outcome, Refusal) and outcome.cause.kind == "rights":
                raise outcome


async def greet(client: aioredis.Redis) -> Greeting:
    """What the server says of itself.

    Raises:
        Refusal: It is too old.
        RedisError, OSError, TimeoutError: It does not answer, or does not let us in.
    """
    try:
        answer: Any = await client.execute_command("HELLO")  # type: ignore[no-untyped-call]  # the library's
    except ResponseError as error:
        # A proxy may not know it, and neither does Redis 5.
        if cause_of(error, tls=False).kind != "command":
            raise
        return await _greet_in_old_words(client)
    return greeting_of(answer)


async def _greet_in_old_words(client: aioredis.Redis) -> Greeting:
    try:
        said: Any = await client.info("server")
    except ResponseError:
        # Everything about a proxy is found out by what it does.
        said = {}
    version = said.get("redis_version") if isinstance(said, dict) else None
    return greeting_of({"version": version}) if version else Greeting("", "standalone", "master")


def greeting_of(answer: Any) -> Greeting:  # noqa: ANN401  # a list or a mapping, as the server and the library like
    """What the answer to `HELLO` says.

    Raises:
        Refusal: The server is too old.
    """
    pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=False)
    said = {_text(name): one for name, one in pairs}
    name, version = _text(said.get("server", "redis")).lower(), _text(said.get("version", ""))
    server = f"{name.capitalize()} {version}"
    numbers = re.match(r"(\d+)\.(\d+)", version)
    oldest = OLDEST.get(name)
    if numbers is not None and oldest is not None and (int(numbers[1]), int(numbers[2])) < oldest:
        raise Refusal("version", f"{server} is too old; {NEEDED}")
    role = "master" if _text(said.get("role", "master")) == "master" else "replica"
    return Greeting(server, _text(said.get("mode", "standalone")), role)


def _no_redis() -> Refusal:
    return Refusal("protocol", "what answers there does not answer as Redis does", lasting=False)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
