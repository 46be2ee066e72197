"""Connections to Redis: deadlines, TLS, and names that are looked up apart from everybody else's."""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import redis.asyncio as aioredis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import BlockingConnectionPool, Connection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.fleet.address import HostPort, Login, RedisAddress
from service.fleet.answers import check_answers
from service.fleet.look_up import HostLookUp
from service.fleet.tls import tls_context
from service.tasks import stop_task

MAX_CONNECTIONS: Final = 32
"""Commands in flight from one replica; more wait their turn within the timeout."""


class HostConnection(Connection):
    """A connection to a host whose name is looked up by `HostLookUp`, with one TLS context for all."""

    def __init__(self, *, look_up: HostLookUp, tls_context: ssl.SSLContext | None = None, **options: Any) -> None:  # noqa: ANN401  # the library's own
        super().__init__(**options)
        self._look_up = look_up
        self._tls_context = tls_context
        self._address = ""

    async def _connect(self) -> None:
        assert self.socket_connect_timeout is not None  # noqa: S101  # the connector sets it
        addresses = await self._look_up.addresses(self.host, self.socket_connect_timeout)
        for number, address in enumerate(addresses, start=1):
            self._address = address
            try:
                await super()._connect()  # type: ignore[no-untyped-call]  # the library's
            except OSError:
                self._look_up.failed(self.host, address)
                if number == len(addresses):
                    raise
            except asyncio.CancelledError:
                self._look_up.failed(self.host, address)
                raise
            else:
                return

    async def disconnect(self, nowait: bool = False, *others: Any, **named: Any) -> None:  # noqa: ANN401, FBT001, FBT002  # the library's
        """See the library's; without waiting, nothing is left open over TLS either."""
        if nowait and self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(nowait, *others, **named)

    def _connection_arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"host": self._address, "port": self.port}
        if self._tls_context is not None:
            arguments |= {"ssl": self._tls_context, "server_hostname": self.host}
        return arguments


class ClosingPool(BlockingConnectionPool):
    """The library's pool, which leaves nothing open where its closing is given up.

    The library closes each connection in a task of its own. One that has not begun would not begin any more.
    """

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002  # the library's
        """See the library's."""
        try:
            await super().disconnect(inuse_connections)
        finally:
            # It waits for nothing, so nothing can come between.
            in_use = self._in_use_connections if inuse_connections else ()
            for connection in [*self._available_connections, *in_use]:
                await connection.disconnect(nowait=True)


class ClosingRedis(aioredis.Redis):
    """The library's client, which a block closes however it is left.

    The library first counts down who uses the client. Where that is given up, it would not close it.
    """

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class PatientCluster(RedisCluster):
    """The library's cluster client, whose commands do not wait for a look at the nodes once some are known.

    The library looks at the nodes again, inside the next command, after any connection failed. If one node is silent,
    that holds up commands to the others for as long as a connection may take.
    """

    def __init__(self, *, connection: dict[str, Any], startup_nodes: list[ClusterNode], **options: Any) -> None:  # noqa: ANN401  # the library's own
        super().__init__(startup_nodes=startup_nodes, **options)
        # Nodes that are found later take the first, those known already the second.
        self.connection_kwargs |= connection
        for node in self.nodes_manager.startup_nodes.values():
            node.connection_class = connection["connection_class"]
            node.connection_kwargs |= {name: one for name, one in connection.items() if name != "connection_class"}
        self._looking: asyncio.Task[None] | None = None

    async def initialize(
        self,
        additional_startup_nodes_info: list[tuple[str, int]] | None = None,
        last_failed_node_name: str | None = None,
    ) -> "PatientCluster":
        """Find the nodes, or, when some are known, find them again beside what goes on."""
        if not self._initialize:
            return self
        if not self.nodes_manager.slots_cache:
            await super().initialize(additional_startup_nodes_info, last_failed_node_name)
            return self
        self._initialize = False
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(last_failed_node_name), name="redis-cluster-nodes")
        return self

    def look_again(self) -> None:
        """Look at the nodes again before the next command: one of them is not what it was."""
        self._initialize = True

    async def aclose(self) -> None:
        """Close the connections; also when the nodes were never found."""
        try:
            if self._looking is not None:
                await stop_task(self._looking)
            await super().aclose()
            await self.nodes_manager.aclose()
            await self.nodes_manager.aclose("startup_nodes")
        finally:
            # For the same reason as in the pool above.
            for node in (*self.nodes_manager.nodes_cache.values(), *self.nodes_manager.startup_nodes.values()):
                for connection in node._connections:  # noqa: SLF001  # docs/adr/0014 says what is leaned on
                    await connection.disconnect(nowait=True)

    async def _look(self, last_failed_node_name: str | None) -> None:
        # Without an answer the known nodes stay; the next command that fails looks again.
        with suppress(Exception):
            await self.nodes_manager.initialize(last_failed_node_name=last_failed_node_name)


AnyRedis = aioredis.Redis | PatientCluster
"""The library's clients; both offer the commands that the service uses."""


class Connector:
    """Makes the library's clients for one address.

    Args:
        address: Of `REDIS_URL`.
        timeout_seconds: For one command, and for one connection.

    Raises:
        ConfigurationError: The certificates that the address names cannot be read.
    """

    def __init__(self, address: RedisAddress, *, timeout_seconds: float) -> None:
        self._address = address
        self.timeout_seconds = timeout_seconds
        self.look_up = HostLookUp()
        self._tls_context = None if address.tls is None else tls_context(address.tls)

    @property
    def silence_seconds(self) -> float:
        """A server that owes an answer for so long has gone."""
        return 2 * self.timeout_seconds

    def socket(self) -> aioredis.Redis:
        """A client of the server behind the address's socket."""
        return self._client(UnixDomainSocketConnection, {"path": self._address.path}, self._address.login)

    def server(self, at: HostPort) -> aioredis.Redis:
        """A client of one server."""
        return self._client(HostConnection, self._reached_at(at), self._address.login, db=self._address.db)

    def node(self, at: HostPort) -> aioredis.Redis:
        """A client of one node of a cluster."""
        return self._client(HostConnection, self._reached_at(at), self._address.login)

    def sentinel(self, at: HostPort) -> aioredis.Redis:
        """A client of one sentinel."""
        return self._client(HostConnection, self._reached_at(at), self._address.sentinel_login)

    def cluster(self, nodes: Sequence[HostPort]) -> PatientCluster:
        """A client of the cluster that these nodes belong to."""
        cluster = PatientCluster(
            connection={"connection_class": HostConnection, **self._way()},
            startup_nodes=[ClusterNode(*node) for node in nodes],
            retry=Retry(NoBackoff(), 0),
            # The client bounds the commands in flight, whatever their node.
            max_connections=4 * MAX_CONNECTIONS,
            # The nodes that were given are names that outlive any node.
            dynamic_startup_nodes=False,
            # Each of the moved slots is learned by itself. The alternative closes connections under other commands.
            reinitialize_steps=0,
            require_full_coverage=False,
            username=self._address.login.username,
            password=self._address.login.password,
            **self._terms(),
        )
        check_answers(cluster)
        return cluster

    async def speaks(self, at: HostPort, *, tls: bool) -> bool:
        """Whether a server answers there with, or without, TLS; who it is does not matter."""
        context = None
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(self.timeout_seconds):
                [address, *_] = await self.look_up.addresses(at.host, self.timeout_seconds)
                reader, writer = await asyncio.open_connection(address, at.port, ssl=context)
                try:
                    writer.write(b"PING\r\n")
                    return await reader.read(1) in (b"+", b"-")
                finally:
                    # Over TLS, closing waits half a minute for the other side's word.
                    writer.transport.abort()
        return False

    def _client(
        self, connection_class: type[Any], reached_at: dict[str, Any], login: Login, *, db: int = 0
    ) -> aioredis.Redis:
        pool = ClosingPool(
            connection_class=connection_class,
            max_connections=MAX_CONNECTIONS,
            timeout=self.timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            username=login.username,
            password=login.password,
            db=db,
            **reached_at,
            **self._terms(),
        )
        client = ClosingRedis.from_pool(pool)
        check_answers(client)
        return client

    def _reached_at(self, at: HostPort) -> dict[str, Any]:
        return {"host": at.host, "port": at.port, **self._way()}

    def _way(self) -> dict[str, Any]:
        return {"look_up": self.look_up, "tls_context": self._tls_context}

    def _terms(self) -> dict[str, Any]:
        return {
            # The client's own deadline is the shorter one, and knows of the loop's stalls.
            "socket_timeout": self.silence_seconds,
            "socket_connect_timeout": self.timeout_seconds,
            "client_name": self._address.client_name,
            "protocol": 2,
            "driver_info": None,
        }
