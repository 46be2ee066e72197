"""What the routes and the hit lane are given, and in which phase the process is."""

from dataclasses import dataclass, field
from typing import Any, Literal

from service.api.auth import Gate
from service.core.recommend import Recommendations
from service.ports import BlockList, Clock
from service.telemetry import Telemetry


@dataclass(slots=True)
class Lifecycle:
    """Starting, ready, draining."""

    phase: Literal["starting", "ready", "draining"] = "starting"


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that answers requests; exists from readiness to shutdown."""

    clock: Clock
    gate: Gate
    recommendations: Recommendations
    block_list: BlockList
    telemetry: Telemetry
    deadline_seconds: float
    memo_bytes: int
    """Memory for rendered answers."""

    caches: list[Any] = field(default_factory=list)
    """Whatever counts as `cache_bytes`."""
