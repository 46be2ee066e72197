"""A flight: one fetch of one list, as it stands."""

import asyncio
from dataclasses import dataclass, field

from service.lists.envelope import Envelope
from service.lists.keys import UserKey
from service.lists.ports import Outcome
from service.models import NOBODY, ListRequest, Sender

Timings = list[tuple[str, float]]
"""Name of each wait, and its milliseconds."""


@dataclass(slots=True, eq=False)
class Flight:
    """What a fetch is about, who waits for it, and how far it is."""

    key: UserKey
    request: ListRequest
    kept: Envelope | None
    """The newest list known, not fresh."""

    landed: asyncio.Future[Outcome]
    deadline: float
    """Point on the monotonic clock: when its callers stop to wait."""

    sender: Sender = NOBODY
    """Whose turn its slot is: who began it, or boarded it first."""

    background: bool = False
    """Begun for nobody: a refresh or a prewarm."""

    needs_store: bool = False
    """While nobody waits for it, it spends nothing without the store that the replicas share."""

    renews: bool = False
    """It fetches a list although a fresh one is kept."""

    slot_at: float | None = None
    """When the slot began that it was started with."""

    callers: int = 0
    led: bool = False
    """Whether this replica leads it."""

    spent: bool = False
    """A slot is taken for it, so it goes on without callers."""

    asked_at: float | None = None
    """When Personalize was asked, monotonic; None before it was."""

    settled: bool = False
    """Its outcome was answered before: it came from the shared store, or from the leader."""

    to_renew: bool = False
    """Its callers were given a stale list for want of a slot, or of an answer."""

    lost: bool = False
    """The list is kept in this process only, since the store could not take it."""

    task: asyncio.Task[None] | None = None
    step_down: "asyncio.Task[Outcome] | None" = None
    """What its callers show who ran out of time."""

    timings: Timings = field(default_factory=list)

    @property
    def unseen(self) -> bool:
        """Whether its end answers nobody."""
        return not self.callers

    @property
    def in_background(self) -> bool:
        """Whether it was begun for nobody, and nobody has boarded since."""
        return self.background and not self.callers

    def board(self, deadline: float, sender: Sender = NOBODY) -> None:
        """One more caller waits for it, until this point on the monotonic clock."""
        # A flight begun for nobody is from now on the caller's.
        self.deadline = deadline if self.in_background else max(self.deadline, deadline)
        if not self.callers:
            self.sender = sender
        self.callers += 1
