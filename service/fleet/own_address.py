"""The address at which other replicas reach this one: that of its way to Redis."""

import socket
from typing import Final

from service.fleet.client import RedisClient
from service.fleet.connections import PatientCluster
from service.fleet.look_up import HostLookUp

_LOOK_UP_SECONDS: Final = 1.0
_ANY_PORT: Final = 9
_LOOPBACK: Final = "127.0.0.1"


async def own_address(client: RedisClient) -> str:
    """The address of this machine from which it connects to Redis; loopback where Redis is a socket.

    Raises:
        SharedStateUnavailable: Redis was not found yet.
        OSError: There is no way to Redis.
    """
    redis = client.redis
    if isinstance(redis, PatientCluster):
        host = redis.get_default_node().host
    else:
        host = redis.connection_pool.connection_kwargs.get("host", "")
    if not host:
        return _LOOPBACK
    look_up = HostLookUp()
    try:
        address, *_ = await look_up.addresses(host, _LOOK_UP_SECONDS)
    finally:
        await look_up.close()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        # Sends nothing, and waits for nobody: the system only chooses the way.
        probe.connect((address, _ANY_PORT))
        found: str = probe.getsockname()[0]
    return found
