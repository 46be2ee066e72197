"""What keeps lists, and what comes back from it."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

ListsEvent = Literal["full", "unreadable", "resubscribed"]
"""What Redis refused: room for a list; a value that this version can read; the channel, which was lost meanwhile."""


class ListsRecorder(Protocol):
    """Where a shared store says what it was refused; a metric hangs on it."""

    def lists_event(self, event: ListsEvent) -> None:
        """Count it; must not raise."""


class LocalLists(Protocol):
    """Lists in this process's memory, as envelopes, bounded by bytes."""

    def get(self, key: bytes) -> bytes | None:
        """The envelope kept under this key; None when there is none."""

    def put(self, key: bytes, envelope: bytes) -> None:
        """Keep an envelope, evicting the lists put first if it needs room."""

    def discard(self, key: bytes) -> None:
        """Forget a key; unknown keys are fine."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a flight ended: an envelope, and why it is less than a live list if it is.

    Attributes:
        envelope: The list to show; None when nothing better than the popular list is known.
        source: Rung of the ladder it came from.
        degraded_reason: Why no live list was had; empty when it was.
    """

    envelope: bytes | None
    source: str
    degraded_reason: str = ""


ABANDONED = Outcome(envelope=None, source="")
"""Tells followers that the flight may be over without an answer, so that they board again and one of them leads."""


@dataclass(frozen=True, slots=True)
class Boarding:
    """What a replica learns when it opens a flight for a user.

    Attributes:
        leader: Whether this replica is to make the transaction; otherwise another one does.
        envelope: The list kept for the user by all replicas, of any age; None when there is none.
        pinned: What the user was answered moments ago when no live list could be had.
        lease_seconds: Follower: how long the leader may hold the flight at most.
    """

    leader: bool
    envelope: bytes | None = None
    pinned: Outcome | None = None
    lease_seconds: float = 0.0


class Pins(Protocol):
    """Degraded answers that are repeated for some seconds."""

    def get(self, key: bytes) -> Outcome | None:
        """The answer to repeat, if there is one."""

    def put(self, key: bytes, outcome: Outcome) -> None:
        """Repeat this answer from now on."""


class SharedLists(Protocol):
    """Lists and flights that all replicas share.

    Every method raises `SharedStateUnavailable` when the store does not answer; the caller goes on alone.
    """

    async def board(self, key: bytes, *, lease_seconds: float) -> Boarding:
        """Look for a user's list and take the lead of fetching one if nobody has it."""

    async def land(self, key: bytes, outcome: Outcome, *, led: bool) -> None:
        """Tell every replica how the flight ended, keep its list, and give up the lead."""

    def follow(self, key: bytes) -> AbstractAsyncContextManager["Landing"]:
        """Listen for the end of a flight; entered before `board`, so that no end is missed."""


class Landing(Protocol):
    """A place to wait for the end of a flight that another replica leads."""

    async def wait(self, timeout_seconds: float) -> Outcome | None:
        """How it ended; None when the time is over first.

        Raises:
            SharedStateUnavailable: The store was lost meanwhile, so the end would not be heard.
        """


class BatchLists(Protocol):
    """Lists that a batch made, looked up one by one when no live list can be had."""

    async def get(self, key: bytes) -> bytes | None:
        """The envelope kept under this key, of any age; None when there is none.

        Raises:
            SharedStateUnavailable: It cannot be looked up now.
        """

    async def forget(self, user_prefix: bytes) -> None:
        """Delete the lists whose keys begin so, also out of a set that is being loaded.

        Raises:
            SharedStateUnavailable: They are not known to be deleted; try again.
        """
