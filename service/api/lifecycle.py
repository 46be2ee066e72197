"""What the routes and the hit lane are given, and in which phase the process is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from service.answers.recommend import Recommendations
from service.api.auth import Gate
from service.catalog.ports import BlockList
from service.clock import Clock
from service.credentials import Access
from service.lists.forgetting import Forgetting
from service.sends.ports import ListMaker
from service.telemetry import Telemetry

ACCESS_LINE: Final = "personalize_connect.access_line"
"""Of a request's scope: the request's id if its answer gets an access line and has none yet, else None."""


def _nothing() -> None:
    """Before the start is complete there is nothing to look at."""


@dataclass(slots=True)
class Lifecycle:
    """Starting, ready, draining."""

    phase: Literal["starting", "ready", "draining"] = "starting"
    on_hangup: Callable[[], None] = _nothing
    """What SIGHUP does."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that answers requests; exists from readiness to shutdown."""

    clock: Clock
    gate: Gate
    recommendations: Recommendations
    block_list: BlockList
    look_at_catalog: Callable[[], None]
    """Look for a new catalogue at once."""
    telemetry: Telemetry
    deadline_seconds: float
    memo_bytes: int
    """Memory for rendered answers."""

    forgetting: Forgetting
    prewarmer: ListMaker
    metrics_access: Access = "keyed"
    docs_access: Access = "keyed"

    caches: list[Any] = field(default_factory=list)
    """Whatever counts as `cache_bytes`."""
