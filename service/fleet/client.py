"""The one way to Redis: short timeouts, one kind of error, and whether it answers at all.

The way is in one of three states::

    found, allowed to do what is needed, and a beat answered
              +-----------------------------------------+
              v                                         |
       +------------+   a command failed          +-----------+
       |     up     | --------------------------> |   down    |
       +------------+                             +-----------+
              |                                      |     ^
              | a command was refused for good       |     | the pause is over
              |                                      v     |
              |                                   +-----------+
              +---------------------------------> |  refused  |
                                                  +-----------+

While it is down, each beat of the heartbeat looks for the way anew. After a lasting refusal, such as a missing right,
it looks seldom: a replica that went to and fro would spend the budget of two.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Self

import redis.asyncio as aioredis
import structlog
from redis.asyncio.client import PubSub

from service.errors import SharedStateUnavailable
from service.fleet.address import HostPort, RedisAddress
from service.fleet.asking import Asking
from service.fleet.causes import FAILURES, Cause, Refusal, cause_of
from service.fleet.connections import MAX_CONNECTIONS, AnyRedis, Connector, PatientCluster
from service.fleet.key_faults import KeyFaultLog
from service.fleet.memory_loss import MemoryLossLog
from service.fleet.route import Pathfinder, Route
from service.fleet.script import Answers, RunsScripts, Script
from service.fleet.sentinels import MasterLease
from service.tasks import stop_task

TIMEOUT_SECONDS: Final = 0.25
"""For one command, connecting included: a sixth of the default deadline, and far above what a healthy Redis takes."""

FINDING_SECONDS: Final = 2.0
"""For finding the way: a few connections one after another, none of them in a request."""

NODE_PAUSE_SECONDS: Final = 0.5
"""A node of a cluster that failed is not asked for so long; what belongs to it counts as unavailable."""

FIRST_PAUSE_SECONDS: Final = 5.0
MAX_PAUSE_SECONDS: Final = 60.0
"""After a lasting refusal the way is looked for again after the first, then after twice as long, up to the second."""

_logger = structlog.stdlib.get_logger(__name__)


class RedisClient:
    """A client that gives up quickly, and once for all its users.

    The first failure of any command marks Redis down. From then on `use` raises `SharedStateUnavailable` at once,
    without touching the network. Only the heartbeat marks Redis up, so a client without one stays down. In a cluster,
    a node that fails a command for a key is not asked for a moment, and the others go on.

    Args:
        url: `REDIS_URL`; may hold a password and is therefore never logged.
        timeout_seconds: For one command.
        slots_seconds: How long before its beginning a slot of the budget may be reserved. A master that the sentinels
            have just named knows nothing of those that the old one went on to hand out.

    Raises:
        ConfigurationError: The URL names no Redis, or a certificate that cannot be read.
    """

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS, slots_seconds: float = 0.0) -> None:
        self.address = RedisAddress.parse(url)
        self.timeout_seconds = timeout_seconds
        self.up = False
        """Whether the last command was answered."""
        self.memory_loss_log = MemoryLossLog()
        self._key_faults = KeyFaultLog(self.address.shown)
        self._connector = Connector(self.address, timeout_seconds=timeout_seconds)
        self._paths = Pathfinder(self.address, self._connector)
        self._route: Route | None = None
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        self._causes_named: set[str] = set()
        self._refused_until = float("-inf")
        self._pause_seconds = FIRST_PAUSE_SECONDS
        # What was asked of the old master may be read by it this much later.
        self._lease = MasterLease(slots_seconds + timeout_seconds, _now)
        self._nodes_asked_from: dict[str, float] = {}
        self._nodes_named: set[str] = set()
        self._watch: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[bool], None]] = []

    async def __aenter__(self) -> Self:
        if self.address.kind == "sentinel":
            self._watch = asyncio.create_task(
                self._lease.keep_asking(self._paths.sentinels, self._master_in_use, self.mark_down),
                name="redis-sentinels",
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections; fine when Redis is down."""
        if self._watch is not None:
            await stop_task(self._watch)
        self.up = False
        route, self._route = self._route, None
        if route is not None:
            await route.close()
        await self._connector.look_up.close()

    @property
    def redis(self) -> AnyRedis:
        """The library's client, for what has timeouts of its own. Commands go through `use`.

        Raises:
            SharedStateUnavailable: Redis was not found yet.
        """
        if self._route is None:
            raise SharedStateUnavailable("Redis is down")
        return self._route.redis

    @property
    def scripts(self) -> RunsScripts:
        """Where scripts run; they go through `use` as commands do.

        Raises:
            SharedStateUnavailable: Redis was not found yet.
        """
        if self._route is None:
            raise SharedStateUnavailable("Redis is down")
        return self._route.scripts

    def on_change(self, listener: Callable[[bool], None]) -> None:
        """Call `listener(up)` on every change of `up`, in order of registration; it must not raise."""
        self._listeners.append(listener)

    def script(self, path: Path, answers: Answers) -> Script:
        """The script in a Lua file, and what it returns."""
        return Script(lambda: self.scripts, path.read_text("utf-8"), answers)

    def use(self, *keys: str, spread: bool = False) -> Asking:
        """The library's client, for one command.

        Args:
            keys: Of a command for keys that any node of a cluster may hold. Without them a failure is Redis's own.
            spread: The same, for a command without keys.

        Raises:
            SharedStateFull: Redis has no memory for this write; it stays up.
            SharedStateUnavailable: Redis is down, too slow, or answered with an error.
        """
        if self.up and self._lease.is_over:
            self.mark_down(self._lease.refusal)
        if not self.up or self._route is None:
            raise SharedStateUnavailable("Redis is down")
        node = self._route.node_of(keys)
        if node is not None and _now() < self._nodes_asked_from.get(node, float("-inf")):
            raise SharedStateUnavailable("this node of Redis is down")
        spread = self._route.cluster is not None and node is None and (spread or bool(keys))
        return Asking(self, self._turns, node, spread=spread)

    def attempt(self) -> Asking:
        """The same as `use`, also while Redis is down; for the heartbeat."""
        return Asking(self, self._turns, None, spread=False)

    @asynccontextmanager
    async def subscription(self) -> AsyncIterator[PubSub]:
        """A subscription with a connection of its own, to the server that holds the key; timeouts are the caller's.

        In a cluster, what is published through any node reaches every node.
        """
        client = self.redis
        if isinstance(client, PatientCluster):
            node = client.get_default_node()
            async with self._connector.node(HostPort(node.host, int(node.port))) as single, single.pubsub() as pubsub:
                yield pubsub
        else:
            async with client.pubsub() as pubsub:
                yield pubsub

    async def masters(self) -> AsyncGenerator[aioredis.Redis, None]:
        """A client of each server that holds keys, one after another; timeouts are the caller's."""
        client = self.redis
        if not isinstance(client, PatientCluster):
            yield client
            return
        for node in client.get_primaries():
            async with self._connector.node(HostPort(node.host, int(node.port))) as single:
                yield single

    async def find(self) -> None:
        """Look for Redis anew, with new connections: a network that swallowed packets leaves some that look alive.

        Raises:
            SharedStateUnavailable: It cannot be used; the log says why.
        """
        if _now() < self._refused_until:
            raise SharedStateUnavailable("Redis refuses what the service needs")
        last, looked_at = self._route, _now()
        try:
            async with asyncio.timeout(FINDING_SECONDS):
                self._route = await self._paths.find(last)
        except (Refusal, *FAILURES) as error:
            self._failed(error, None)
            raise SharedStateUnavailable(f"Redis failed: {type(error).__name__}") from error
        self._nodes_asked_from.clear()
        if self.address.kind == "sentinel":
            self._lease.named(looked_at)
            if last is not None and last.at != self._route.at:
                self._lease.begin_with_another()
        if last is not None:
            with suppress(*FAILURES):
                await (last.close_scripts() if last.redis is self._route.redis else last.close())
        if not self._lease.has_begun:
            raise SharedStateUnavailable("Redis's master has just changed")

    def mark_up(self) -> None:
        """Let commands through; the heartbeat was answered, though perhaps by a master that was replaced meanwhile."""
        if self._lease.is_over:
            return
        if not self.up and self._route is not None:
            _logger.info("redis_up", redis=self.address.shown, server=self._route.server, mode=self._route.mode)
            self._causes_named.clear()
        self._change(up=True)

    def mark_down(self, because: BaseException) -> None:
        """Let no command through until the heartbeat is answered."""
        cause = cause_of(because, tls=self.address.tls is not None)
        # Several commands may be refused at the same moment.
        if cause.lasting and _now() >= self._refused_until:
            is_again = _now() - self._refused_until < MAX_PAUSE_SECONDS
            self._pause_seconds = min(MAX_PAUSE_SECONDS, 2 * self._pause_seconds) if is_again else FIRST_PAUSE_SECONDS
            self._refused_until = _now() + self._pause_seconds
        self._tell(cause)
        self._change(up=False)

    def note_answer(self, node: str) -> None:
        """A node of a cluster has answered."""
        if node in self._nodes_named:
            self._nodes_named.discard(node)
            _logger.info("redis_node_up", redis=node)

    def error_of(self, error: BaseException, node: str | None, *, spread: bool) -> Exception | None:
        """What the users are to see of a failure, which is noted; None if it is none of Redis's."""
        if (fault := self._key_faults.shown(error)) is not None:
            return fault
        if not isinstance(error, FAILURES):
            return None
        self._failed(error, node, spread=spread)
        return SharedStateUnavailable(f"Redis failed: {type(error).__name__}")

    def _failed(self, error: BaseException, node: str | None, *, spread: bool = False) -> None:
        cause = cause_of(error, tls=self.address.tls is not None)
        if cause.lasting or (node is None and not spread):
            self.mark_down(error)
        elif node is not None:
            self._nodes_asked_from[node] = _now() + NODE_PAUSE_SECONDS
            if node not in self._nodes_named:
                self._nodes_named.add(node)
                _logger.warning("redis_node_down", redis=node, cause=cause.words)

    def _tell(self, cause: Cause) -> None:
        # What lasts is looked at seldom, and a later look may know more, such as the right that a script wants.
        name = cause.words if cause.lasting else cause.kind
        if name in self._causes_named:
            return
        self._causes_named.add(name)
        if cause.lasting:
            _logger.error("redis_refused", redis=self.address.shown, cause=cause.words)
        else:
            _logger.warning("redis_down", redis=self.address.shown, cause=cause.words)

    def _change(self, *, up: bool) -> None:
        if up == self.up:
            return
        self.up = up
        for listener in self._listeners:
            listener(up)

    def _master_in_use(self) -> HostPort | None:
        return self._route.at if self.up and self._route is not None else None


def _now() -> float:
    return asyncio.get_running_loop().time()
