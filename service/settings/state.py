"""What is kept, and where: in Redis, in memory, on disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from service.constants import MAX_PORT
from service.errors import ConfigurationError
from service.fleet.address import RedisAddress
from service.fleet.tls import tls_context
from service.settings.base import Problem, SettingsGroup


class StateSettings(SettingsGroup):
    """What outlives a request."""

    redis_url: SecretStr | None = None
    """State that the replicas share; without it there is one. Secret for the password it may hold."""

    expected_replicas: int = Field(4, ge=1, le=1_000)
    """How many replicas there may be. One that starts while Redis is down spends this part of the budget."""

    replica_links: Literal["on", "off"] = "on"
    """Whether replicas connect to each other, so that they agree while Redis is away; nothing without Redis."""

    replica_links_port: int = Field(0, ge=0, le=MAX_PORT)
    """Where a replica listens to the others; 0 for any port that is free."""

    cache_max_mb: float = Field(256, ge=1, le=65_536)
    """Memory for cached lists in one replica."""

    send_pin_seconds: float = Field(86_400, gt=0, le=2_592_000)
    """How long the same user and send get the same items in the same order."""

    data_dir: Path = Path("data")
    """Where an embedded replica keeps what must survive a restart."""

    user_key_secret: SecretStr | None = None
    """Keys the hash under which a user's lists are kept; the same on all replicas; see `Settings.user_key`."""

    def problems(self) -> Iterator[Problem]:
        """An address that names no Redis, an option that would break the service, a certificate that is not there."""
        if self.redis_url is None:
            return
        try:
            address = RedisAddress.parse(self.redis_url.get_secret_value())
            if address.tls is not None:
                tls_context(address.tls)
        except ConfigurationError as error:
            for line in error.problems:
                yield Problem(("redis_url",), line)
