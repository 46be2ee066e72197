"""What the page Send needs of the wiring."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.models import RequestKind
from service.sends.plan.aside import PlannerAside


@dataclass(frozen=True, slots=True)
class PlacementFacts:
    """What a plan needs to know of a placement."""

    kind: RequestKind
    tps: float
    fresh_seconds: float
    stale_seconds: float


@dataclass(frozen=True, slots=True)
class BatchState:
    """The batch lists of a placement, in words and in figures."""

    lists: int
    loaded_at: float | None
    """Unix seconds; None without an active set."""
    loading: int | None
    """Lists that a load under way has brought; None without one."""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SendTools:
    """What the page needs of the wiring.

    Attributes:
        planner: Plans beside the event loop.
        placements: By name, in the operator's order.
        batch_state: Says which batch lists a placement has; it waits for its store, so it is called in a thread.
        deadline_seconds: `REQUEST_DEADLINE_SECONDS`.
        live_until_event: Whether lists stay fresh until their user does something.
    """

    planner: PlannerAside
    placements: Mapping[str, PlacementFacts]
    batch_state: Callable[[str], BatchState]
    deadline_seconds: float
    live_until_event: bool
