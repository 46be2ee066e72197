"""Where replicas listen to each other, and the secret that they share, as Redis has both."""

from collections.abc import Sequence
from contextlib import suppress
from secrets import token_bytes
from typing import Final

from service.constants import MAX_PORT
from service.errors import SharedStateUnavailable
from service.fleet.client import RedisClient
from service.fleet.heartbeat import Heartbeat

SECRET_BYTES: Final = 32
SECRET_SECONDS: Final = 60
"""Redis keeps secret and addresses for so long after the last replica has gone."""

Address = tuple[str, int]
"""Host and port."""


class LinkAddresses:
    """What one replica knows of how to reach the others.

    Args:
        client: Open for as long as this is used.
        heartbeat: Knows which replicas there are.
    """

    def __init__(self, client: RedisClient, heartbeat: Heartbeat) -> None:
        self._client = client
        self._replica = heartbeat.replica.encode()
        self._replicas_key = heartbeat.replicas_key
        self._secret_key = heartbeat.key("link-secret")
        self._key = heartbeat.key("links")
        self.secrets: Sequence[bytes] = ()
        """The secret in use, and the one before it; none while Redis has not been seen."""
        self.others: dict[bytes, Address] = {}
        """Where each other replica listens, by Redis's last word."""

    async def renew(self, host: str, port: int) -> bool:
        """Say where this replica listens, and learn where the others do; whether all have said so.

        A Redis that has lost its memory gets the secret again.

        Raises:
            SharedStateUnavailable: Redis did not answer.
        """
        mine = self.secrets[0] if self.secrets else token_bytes(SECRET_BYTES)
        async with self._client.use(self._key) as redis, redis.pipeline(transaction=False) as pipe:
            pipe.set(self._secret_key, mine, nx=True)
            pipe.pexpire(self._secret_key, SECRET_SECONDS * 1000)
            pipe.get(self._secret_key)
            pipe.hset(self._key, self._replica, f"{host} {port}")
            pipe.pexpire(self._key, SECRET_SECONDS * 1000)
            pipe.hgetall(self._key)
            pipe.zrange(self._replicas_key, 0, -1)
            _, _, secret, _, _, found, alive = await pipe.execute()
            alive = {*alive, self._replica}
            if gone := found.keys() - alive:
                await redis.hdel(self._key, *gone)
        if secret is not None and secret not in self.secrets[:1]:
            self.secrets = (secret, *self.secrets[:1])
        addresses = {replica: _address(text) for replica, text in found.items() if replica in alive}
        self.others = {one: at for one, at in addresses.items() if at is not None and one != self._replica}
        return bool(alive <= found.keys())

    async def sign_off(self) -> None:
        """Nobody is to connect any more; fine when Redis is down."""
        with suppress(SharedStateUnavailable):
            async with self._client.use(self._key) as redis:
                await redis.hdel(self._key, self._replica)


def _address(text: bytes) -> Address | None:
    host, _, port = text.decode("utf-8", "replace").partition(" ")
    is_port = port.isascii() and port.isdigit() and int(port) <= MAX_PORT
    return (host, int(port)) if host and is_port else None
