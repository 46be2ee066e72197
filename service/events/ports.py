"""Where events are kept, and who takes them on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from service.events.event import Event
from service.lists.keys import UserPrefix
from service.lists.ports import Forgettable

CLAIM_SECONDS: Final = 30.0
"""A claim of a process that has died lapses after this time. The outbox has sent or given back by then."""

SEEN_SECONDS: Final = 48 * 3600.0
"""An `eventId` that comes again within this time is a duplicate."""

MAX_WAITING: Final = 2_000_000
"""Events that wait; beyond it none is accepted, so that none that was accepted has to go."""


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """The latest of a user's events of one type about one item."""

    event_type: str
    item_id: str
    at: float
    """Unix seconds."""

    lifts: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that is to be sent on."""

    number: str
    """The store's own name for it."""

    event: Event


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits, and what was given up."""

    waiting: int = 0
    oldest_at: float | None = None
    aside: int = 0


class EventStore(Forgettable, Protocol):
    """Keeps events until they are sent on, and what is known of each user."""

    async def accept(self, events: Sequence[tuple[UserPrefix, Event]]) -> list[bool]:
        """Keep events safe, so that no crash loses them; for each whether it is new.

        Raises:
            SharedStateFull: So much waits that no more is taken.
            SharedStateUnavailable: None of them is known to be safe.
        """

    async def known(self, user_prefix: UserPrefix) -> list[KnownEvent]:
        """What is known of a user, the oldest first.

        Raises:
            SharedStateUnavailable: It cannot be looked up now.
        """

    async def claim(self, most: int) -> list[Waiting]:
        """Events to send on, the oldest first, each claimed by nobody else for `CLAIM_SECONDS`."""

    async def done(self, numbers: Sequence[str]) -> None:
        """These were sent on."""

    async def again(self, numbers: Sequence[str], after_seconds: float) -> None:
        """These could not be sent on; claim them again later."""

    async def aside(self, number: str, problem: str) -> None:
        """This one never will be taken; keep it apart."""

    async def backlog(self) -> Backlog:
        """What waits, and what was given up."""

    async def retry(self) -> int:
        """Let what was given up wait again; how many."""


class LoadNotes(Protocol):
    """Remembers what was read of which file; an `EventStore` does."""

    async def noted(self, url: str) -> bytes | None:
        """The last note on a file; None if there is none.

        Raises:
            SharedStateUnavailable: It cannot be looked up now.
        """

    async def note(self, url: str, note: bytes) -> None:
        """Replace the note on a file; safe when this returns.

        Raises:
            SharedStateUnavailable: It is not known to be safe.
        """


class Impressions(Protocol):
    """What users were shown."""

    async def shown_with(self, owner: str, recommendation_id: str, item_id: str) -> Sequence[str]:
        """The items that a user was shown from a list, in order; empty where that is not known exactly.

        Args:
            owner: Of the event that asks.
            recommendation_id: Of the list.
            item_id: One of the items; empty: any will do.

        Raises:
            SharedStateUnavailable: It cannot be looked up now.
        """


class EventTaker(Protocol):
    """Amazon Personalize's PutEvents, or what stands in for it."""

    async def put(self, user_id: str, session_id: str, events: Sequence[Event]) -> None:
        """Send the events of one user and session, at most 10.

        Raises:
            RecommenderRefused: One of these events never will be taken.
            RecommenderError: None was taken, for another reason.
        """
