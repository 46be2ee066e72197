"""What keeps lists, and what comes back from it."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from service.constants import PIN_SECONDS
from service.errors import DegradedReason
from service.lists.envelope import Envelope
from service.lists.keys import UserKey, UserPrefix
from service.lists.numbers import NumberedList

OutcomeSource = Literal["personalize", "cache", "stale", "batch", "popular", "none"]
"""Rung of the ladder that a list came from; `none` tells that there is no answer yet."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a flight ended: a list, and why it is not a live one if it is not.

    Attributes:
        envelope: The list to show; None when nothing better than the popular list is known.
        source: Rung of the ladder it came from.
        degraded_reason: Why no live list was had; None when it was.
    """

    envelope: Envelope | None
    source: OutcomeSource
    degraded_reason: DegradedReason | None = None


ABANDONED = Outcome(envelope=None, source="none")
"""The flight may be over without an answer: its followers board again, and one of them leads."""


@dataclass(frozen=True, slots=True)
class Boarding:
    """What a replica learns when it opens a flight.

    Attributes:
        leader: Whether this replica is to make the transaction; otherwise another one does.
        envelope: The list that all replicas keep, of any age; None when there is none.
        pinned: The answer of some moments ago, when no live list could be had.
        pinned_seconds: How long that one is still repeated.
        lease_seconds: Follower: how long the leader may hold the flight at most.
        background: Follower: whether the leader began the flight for nobody.
    """

    leader: bool
    envelope: Envelope | None = None
    pinned: Outcome | None = None
    pinned_seconds: float = 0.0
    lease_seconds: float = 0.0
    background: bool = False


@dataclass(frozen=True, slots=True)
class Landed:
    """What the shared store says to the end of a flight, or to the answer of a caller who left it.

    Attributes:
        outcome: What all parts of the user's message show: the one given, unless another was answered before.
        pinned_seconds: How long that one is repeated, if it is degraded.
        shared: Whether the store itself has heard of it, not only the replicas.
    """

    outcome: Outcome
    pinned_seconds: float = PIN_SECONDS
    shared: bool = True


ListsEvent = Literal["full", "unreadable", "resubscribed"]
"""What Redis refused: room for a list; a value that this version can read; the channel, which was lost meanwhile."""


class ListsRecorder(Protocol):
    """Where a shared store says what it was refused; a metric hangs on it."""

    def lists_event(self, event: ListsEvent) -> None:
        """Count it; must not raise."""


class Forgettable(Protocol):
    """Keeps something of users; `Forgetting` calls it when one is to be forgotten."""

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """Delete everything kept under keys that begin so.

        Raises:
            SharedStateUnavailable: It is not known to be deleted everywhere; try again.
        """


class Searchable(Forgettable, Protocol):
    """Keeps something of users in this process, and can be searched for those of whom only a tombstone is known."""

    def kept_keys(self) -> Iterable[bytes]:
        """The keys of everything kept."""

    def clear(self) -> None:
        """Forget everybody."""


class LocalLists(Searchable, Protocol):
    """Lists in this process's memory, bounded by bytes."""

    def get(self, key: UserKey) -> Envelope | None:
        """The list kept under this key; None when there is none."""

    def numbered(self, key: UserKey) -> NumberedList | None:
        """The same as numbers; None also where it is not kept as numbers of now."""

    def keep_choice(self, key: UserKey, with_choice: NumberedList) -> None:
        """Keep a list of numbers that is here with a choice, if there is room without another list going."""

    def put(self, key: UserKey, envelope: Envelope) -> None:
        """Keep a list; the lists put first make room for it."""


class Pins(Searchable, Protocol):
    """Degraded answers that are repeated for some seconds."""

    def get(self, key: UserKey) -> Outcome | None:
        """The answer to repeat, if there is one."""

    def put(self, key: UserKey, outcome: Outcome, seconds: float | None = None) -> None:
        """Repeat this answer from now on, for what is left of its time."""


class SharedLists(Protocol):
    """Lists and flights that all replicas share.

    Every method raises `SharedStateUnavailable` when the store does not answer; the caller goes on without it.
    """

    async def board(
        self, key: UserKey, *, lease_seconds: float, background: bool = False, renew: bool = False
    ) -> Boarding:
        """Look for a list and take the lead of fetching it if nobody has it.

        In the background, for nobody, a pin is not looked for: the list is for those who come after it.
        Who renews takes the lead although a fresh list is kept.
        """

    async def land(self, key: UserKey, outcome: Outcome, *, led: bool) -> Landed:
        """Publish how the flight ended to every replica, keep its list, and give up the lead.

        A degraded outcome is pinned for all replicas, unless a pin or a list was there first. Who gives a degraded
        answer without leading lands it too, before giving it.
        """

    def note(self, key: UserKey, *, shared: bool) -> None:
        """A live list is kept here in memory. It is offered to the others if the store was away, or comes back.

        Args:
            key: Of the list.
            shared: Whether the store has taken it, as far as anybody knows.
        """

    def follow(self, key: UserKey) -> AbstractAsyncContextManager["Landing"]:
        """Listen for the end of a flight; entered before `board`, so that no end is missed."""

    async def look(self, key: UserKey) -> Envelope | None:
        """The list kept under this key, of any age; takes no lead."""

    async def made_at(self, keys: Sequence[UserKey]) -> list[float | None]:
        """When the list kept under each key was made, Unix seconds; None where there is none."""


class Landing(Protocol):
    """A place to wait for the end of a flight that another replica leads."""

    async def wait(self, timeout_seconds: float) -> Outcome | None:
        """How it ended; None when the time is over first.

        Raises:
            SharedStateUnavailable: The store was lost meanwhile, so the end would not be heard.
        """


class BatchLists(Forgettable, Protocol):
    """Lists that a batch job made, looked up one by one when no live list can be had.

    `forget_user` also reaches into a set that is being loaded.
    """

    async def get(self, key: UserKey) -> Envelope | None:
        """The list kept under this key, of any age; None when there is none.

        Raises:
            SharedStateUnavailable: It cannot be looked up now.
        """


class Liveness(Protocol):
    """Knows when users last did something, so that a list stays fresh for as long as its user does nothing."""

    def changed_at(self, user_prefix: UserPrefix) -> float | None:
        """Unix seconds of the user's latest event; minus infinity for none; None while it is not known here."""

    async def learn(self, user_prefixes: Sequence[UserPrefix]) -> None:
        """Have it known here for these users.

        Raises:
            SharedStateUnavailable: It cannot be looked up now.
        """


class PopularList(Protocol):
    """The non-personalised list."""

    def envelope(self) -> Envelope | None:
        """The list as of now; None when there is no item to show."""
