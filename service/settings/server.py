"""Where the process listens, what it logs and how it stops."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from service.constants import MAX_PORT
from service.settings.base import SettingsGroup, lower


class ServerSettings(SettingsGroup):
    """How one process listens, logs and stops."""

    host: str = "0.0.0.0"  # noqa: S104  # in a container, the outside is the only side
    """Address to listen on."""

    port: int = Field(8000, ge=0, le=MAX_PORT)
    """Port to listen on; 0 takes a free one."""

    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(lower)] = "info"
    """Least severe event that is logged."""

    log_format: Annotated[Literal["json", "text"], BeforeValidator(lower)] = "json"
    """One JSON object a line, or text for people."""

    access_log_sample: float = Field(0.01, ge=0, le=1)
    """Share of answers that get an access line."""

    drain_seconds: float = Field(2, ge=0, le=300)
    """How long /readyz says 503 before the listener closes."""
