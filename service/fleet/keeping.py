"""Whether Redis keeps what it has taken: through a crash, and when its memory is full."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from service.fleet.connections import AnyRedis


@dataclass(frozen=True, slots=True)
class Keeping:
    """What one server says of how it keeps data; nothing of it is known of a server that does not let us ask."""

    is_known: bool = False
    appends: bool = False
    """Whether every write goes to a file (`appendonly yes`)."""

    replicas: int = 0
    """Replicas of Redis that hold a copy now."""

    policy: str = ""
    """`maxmemory-policy`."""

    @property
    def loses_silently(self) -> str:
        """Why it may drop what it has acknowledged while it runs; empty if it does not."""
        if self.policy.startswith("allkeys-"):
            return (
                f"Redis has maxmemory-policy {self.policy}, which may drop accepted events when memory is full;"
                " set noeviction or volatile-lru"
            )
        return ""

    @property
    def loses_in_a_crash(self) -> str:
        """What a crash of the server loses; empty if at most the last second."""
        if not self.is_known:
            return "Redis does not say whether it keeps data through a crash; the right +info lets the service ask"
        if self.appends:
            return ""
        if self.replicas:
            return "a failover of Redis may lose the last accepted events; appendonly yes keeps all but the last second"
        return "a crash of Redis loses accepted events; turn on appendonly yes, or run a replica of Redis"


async def look_at_keeping(redis: AnyRedis) -> Keeping:
    """What a server says; of a cluster, one of its masters.

    Raises:
        OSError: It did not answer; any other refusal only means that nothing is known.
    """
    found: dict[str, Any] = {}
    for section in ("persistence", "replication", "memory"):
        try:
            found |= _plain(await redis.info(section))
        except RedisError:
            return Keeping()
    if "aof_enabled" not in found:
        return Keeping(policy=str(found.get("maxmemory_policy", "")))
    return Keeping(
        is_known=True,
        appends=str(found["aof_enabled"]) == "1",
        replicas=int(found.get("connected_slaves", 0)),
        policy=str(found.get("maxmemory_policy", "")),
    )


def _plain(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of one server, where a cluster's client answers with those of each node."""
    first = next(iter(info.values()), None)
    return first if isinstance(first, Mapping) else info
