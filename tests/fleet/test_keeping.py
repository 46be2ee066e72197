"""What a server says of how it keeps data, and what follows."""

import pytest

from service.fleet.address import HostPort, RedisAddress
from service.fleet.connections import Connector
from service.fleet.keeping import Keeping, look_at_keeping
from tests.support.odd_redis import odd_redis
from tests.support.waiting import PATIENCE_SECONDS

KEEPS = Keeping(is_known=True, appends=True)


@pytest.mark.parametrize(
    ("info", "keeping", "silently", "in_a_crash"),
    [
        ("aof_enabled:1", KEEPS, "", ""),
        ("aof_enabled:0\r\nconnected_slaves:2", Keeping(is_known=True, replicas=2), "", "a failover of Redis may lose"),
        ("aof_enabled:0\r\nconnected_slaves:0", Keeping(is_known=True), "", "a crash of Redis loses"),
        ("aof_enabled:0", Keeping(is_known=True), "", "a crash of Redis loses"),
        ("maxmemory_policy:allkeys-lru", Keeping(policy="allkeys-lru"), "allkeys-lru, which may drop", "does not say"),
        (
            "aof_enabled:1\r\nmaxmemory_policy:volatile-lru",
            Keeping(is_known=True, appends=True, policy="volatile-lru"),
            "",
            "",
        ),
        ("", Keeping(), "", "does not say whether it keeps data"),
        (None, Keeping(), "", "does not say whether it keeps data"),
    ],
)
async def test_what_redis_says_of_how_it_keeps_data_is_read(
    info: str | None, keeping: Keeping, silently: str, in_a_crash: str
) -> None:
    said = "-NOPERM this user has no permissions" if info is None else info.encode()
    async with odd_redis({"INFO": said}) as redis:
        address = RedisAddress.parse(f"redis://127.0.0.1:{redis.port}")
        client = Connector(address, timeout_seconds=PATIENCE_SECONDS).server(HostPort("127.0.0.1", redis.port))
        assert await look_at_keeping(client) == keeping
        await client.aclose()
    for found, wanted in ((keeping.loses_silently, silently), (keeping.loses_in_a_crash, in_a_crash)):
        assert wanted in found
        assert bool(found) == bool(wanted)
