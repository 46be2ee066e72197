"""What is kept, and where: in Redis, in memory, on disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from service.settings.base import Problem, SettingsGroup

REDIS_SCHEMES: Final = ("redis", "rediss", "unix")


class StateSettings(SettingsGroup):
    """What outlives a request."""

    redis_url: SecretStr | None = None
    """State that the replicas share; without it there is one. Secret for the password it may hold."""

    expected_replicas: int = Field(4, ge=1, le=1_000)
    """How many replicas there may be. One that starts while Redis is down spends this part of the budget."""

    cache_max_mb: float = Field(256, ge=1, le=65_536)
    """Memory for cached lists in one replica."""

    data_dir: Path = Path("data")
    """Where an embedded replica keeps what must survive a restart."""

    user_key_secret: SecretStr | None = None
    """Keys the hash under which a user's lists are kept; the same on all replicas; see `Settings.user_key`."""

    def problems(self) -> Iterator[Problem]:
        """An address that names no Redis."""
        if self.redis_url is not None and not _names_redis(self.redis_url.get_secret_value().strip()):
            schemes = ", ".join(f"{scheme}://" for scheme in REDIS_SCHEMES)
            yield Problem.of("redis_url", f"must begin with one of {schemes} and name a host or a socket")


def _names_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in REDIS_SCHEMES and bool(
            parts.path if parts.scheme == "unix" else parts.hostname and parts.port != 0
        )
    except ValueError:
        return False
