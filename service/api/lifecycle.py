"""What the routes and the hit lane are given, and in which phase the process is."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from fastapi import FastAPI, Request

from service.answers.arm import Arm
from service.answers.placement import Placement, Placements
from service.api.auth import Gate
from service.api.connections import Connections
from service.api.delays import WrongCredentials
from service.api.refusals import Refusals
from service.attribution import Links
from service.catalog.current import CurrentCatalog
from service.catalog.ports import BlockList
from service.catalog.refresh import CatalogRefresher
from service.clock import Clock
from service.credentials import Access
from service.events.intake import Intake
from service.events.services import EventServices
from service.lists.forgetting import Forgetting
from service.lists.keys import UserKey
from service.lists.memory import ListMemory
from service.models import Answer, RecommendationQuery
from service.sends.prewarm.prewarmer import PlacementPrewarmer
from service.telemetry import Telemetry

ACCESS_LINE: Final = "personalize_connect.access_line"
"""Of a request's scope: the request's id if its answer gets an access line and has none yet, else None."""

ASKED: Final = "personalize_connect.asked"
"""Of a request's scope: what the hit lane has found out already, an `Asked`; absent if it has not looked."""

LEAVING: Final = "personalize_connect.leaving"
"""Of a request's scope: its `Leaving`; absent where only `receive` tells that the client has left."""

FAILED: Final = "personalize_connect.failed"
"""Of a request's scope: the error of a call that the hit lane has tried to answer; absent if there is none."""

CLIENT_GONE: Final = 499
"""For our own log only: nobody is there to read it."""


class Leaving:
    """Tells who answers a request that its client has left."""

    __slots__ = ("_has_left", "on_leave")

    def __init__(self) -> None:
        self._has_left = False
        self.on_leave: Callable[[], object] | None = None
        """Called when it leaves."""

    def has_left(self) -> bool:
        """Whether it has."""
        return self._has_left

    def left(self) -> None:
        """It has left."""
        self._has_left = True
        if self.on_leave is not None:
            self.on_leave()


def _nothing() -> None:
    """Before the start is complete there is nothing to look at."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A query that the hit lane has admitted, parsed and hashed, but could not answer."""

    query: RecommendationQuery
    placement: Placement
    arm: Arm
    key: UserKey | None
    """None where there is no list to ask for."""
    began: float
    """Monotonic time of its arrival."""
    answer: Answer | None = None
    """Made from a fresh list of which nothing may be shown; that took long, and would come out the same again."""


@dataclass(frozen=True, slots=True)
class Administration:
    """What an operator may do while the service runs."""

    block_list: BlockList
    items: CurrentCatalog
    catalog: CatalogRefresher
    """Looks for a newer one."""
    forgetting: Forgetting
    prewarmers: Mapping[str, PlacementPrewarmer]
    """By placement."""
    prewarm_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One prewarm at a time."""


@dataclass(frozen=True, slots=True)
class EventRoutes:
    """Who may send events, and what takes them."""

    gate: Gate
    services: EventServices


@dataclass(frozen=True, slots=True)
class ClickRoutes:
    """What records a click and leads on."""

    links: Links
    catalog: CurrentCatalog
    intake: Intake
    event_type: str


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Numbers and choices of the operator that routes need."""

    deadline_seconds: float
    """For every answer."""

    metrics_access: Access = "keyed"
    docs_access: Access = "keyed"

    root_path: str = ""
    """Prefix under which a proxy passes all paths on."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that answers requests; exists from readiness to shutdown."""

    clock: Clock
    gate: Gate
    telemetry: Telemetry
    placements: Placements
    administration: Administration
    limits: ServiceLimits
    about: Mapping[str, object]
    """What the log says when all is ready: version, placements with their TPS, items, Redis without its password."""
    memory: ListMemory
    """The lists of all placements."""
    events: EventRoutes | None = None
    """None where no EVENT_KEYS are set."""
    clicks: ClickRoutes | None = None
    """None where no GO_KEYS are set."""

    def knows_events_of(self, user_id: str) -> bool:
        """Whether all that an answer to this user may depend on is here."""
        if self.events is None or not user_id:
            return True
        known = self.events.services.known
        return known.version(known.prefix(user_id)) >= 0


@dataclass(slots=True)
class Lifecycle:
    """Starting, ready, draining; the one slot on the application."""

    phase: Literal["starting", "ready", "draining"] = "starting"
    on_hangup: Callable[[], None] = _nothing
    """What SIGHUP does."""

    connections: Connections = field(default_factory=Connections)
    """Those that are open; none where no server listens, as in most tests."""

    refusals: Refusals = field(default_factory=lambda: Refusals(time.monotonic))
    """What is refused, with or without a look at the service."""

    wrong_credentials: WrongCredentials = field(default_factory=WrongCredentials)
    """How long those wait who send one."""

    running: Services | None = None
    """None before readiness and after shutdown."""

    @property
    def services(self) -> Services:
        """Everything that answers requests.

        Raises:
            RuntimeError: Asked before readiness; a fault of ours.
        """
        if self.running is None:
            raise RuntimeError("no request is routed before readiness")
        return self.running


def install_lifecycle(app: FastAPI, lifecycle: Lifecycle) -> None:
    """Put it where the routes find it."""
    app.state.lifecycle = lifecycle


def lifecycle_of(request: Request) -> Lifecycle:
    """The lifecycle of the application that has got this request."""
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle


def asked_by(services: Services, query: RecommendationQuery, began: float) -> Asked:
    """Who answers a query, and under which key its list is kept.

    Raises:
        InvalidQuery: There is no such placement, or the query names no item and the placement finds none.
    """
    placement = services.placements.of(query)
    query = placement.with_item(query)
    arm = placement.arm_of(query)
    return Asked(query, placement, arm, arm.key_of(query), began)


def services_of(request: Request) -> Services:
    """The services of the application that has got this request."""
    return lifecycle_of(request).services


def event_routes_of(request: Request) -> EventRoutes:
    """Who may send events and what takes them, of the application that has got this request.

    Raises:
        RuntimeError: There are none; the request should not have come so far.
    """
    events = services_of(request).events
    if events is None:
        raise RuntimeError("no event is routed without EVENT_KEYS")
    return events
