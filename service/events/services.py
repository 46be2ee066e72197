"""Everything of events that a running service holds."""

from dataclasses import dataclass

from service.events.braze import BrazeTerms
from service.events.intake import Intake
from service.events.known import KnownEvents, OwnDoings
from service.events.outbox import Outbox
from service.events.ports import EventStore
from service.events.traits import UserTraits


@dataclass(frozen=True, slots=True)
class EventServices:
    """What the routes of events, the answers and the metrics are given."""

    intake: Intake
    known: KnownEvents
    doings: OwnDoings
    braze: BrazeTerms
    store: EventStore
    outbox: Outbox | None
    traits: UserTraits | None = None
    """None without PERSONALIZE_USERS_DATASET_ARN."""
