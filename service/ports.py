"""What the core needs from the outside, one role each."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from service.constants import DEFAULT_NUM_RESULTS
from service.models import RankedList, RecommendationRequest


class Clock(Protocol):
    """Two clocks, injected so that tests own the time."""

    def time(self) -> float:
        """Unix seconds; the same on every replica, may jump."""

    def monotonic(self) -> float:
        """Seconds of this process; never jumps. Deadlines are points on this clock."""


class Recommender(Protocol):
    """Amazon Personalize, or what stands in for it."""

    async def recommend(self, request: RecommendationRequest, *, timeout_seconds: float) -> RankedList:
        """Spend one transaction.

        Raises:
            RecommenderError: The transaction brought no list, for the reason that the class names.
        """


class Lane(IntEnum):
    """Who gets a slot of the budget first; a lower number goes first."""

    NO_LIST = 1
    STALE = 2
    AHEAD = 3


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a governor answers.

    Attributes:
        granted: Whether the slot is ours.
        wait_seconds: Granted: until the slot begins. Refused: until asking again could make sense.
    """

    granted: bool
    wait_seconds: float


class TpsGovernor(Protocol):
    """Hands out the slots of `PERSONALIZE_TPS`, one transaction each, evenly spaced."""

    async def reserve(self, lane: Lane, within_seconds: float) -> Reservation:
        """Take the next slot if it begins within the given time.

        `Lane.NO_LIST` may reserve ahead of time. The lower lanes get a slot only when it is free at once, since a slot
        reserved for them would delay a user without a list.
        """

    async def throttled(self) -> None:
        """Personalize refused a transaction for its rate: lower the rate in use at once."""

    @property
    def tps_in_use(self) -> float:
        """The rate at which slots are handed out now; at most `PERSONALIZE_TPS`."""

    @property
    def slot_seconds(self) -> float:
        """Seconds between two slots of this replica's source of slots."""


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

    async def forget(self, stem: bytes) -> None:
        """Delete the lists whose keys begin so, also out of a set that is being loaded.

        Raises:
            SharedStateUnavailable: They are not known to be deleted; try again.
        """


@dataclass(frozen=True, slots=True)
class SetStatus:
    """What a store of lists made ahead holds.

    Attributes:
        about: What `BatchSets.switch` was told of the set in force; None when there is none.
        lists: Lists in it.
        mark: How far the load under way has come; None when there is none.
    """

    about: bytes | None
    lists: int
    mark: bytes | None


class BatchSets(Protocol):
    """The store of lists made ahead, as who loads it sees it: one set in force and at most one being loaded.

    Every method raises `BatchError` when the store does not answer or has no room. Nothing of a set being loaded
    is served.
    """

    def begin(self, source: str) -> bytes | None:
        """Go on with the set that was begun from this source, or begin an empty one in the place of any other.

        Returns:
            The mark of the last `write` if there was one, else None. Whoever began earlier can write no more.
        """

    def write(self, lists: Sequence[tuple[bytes, RankedList]], mark: bytes) -> None:
        """Keep lists by user's key, the last one of a user, and the mark; all of it or nothing."""

    def switch(self, about: bytes) -> int:
        """Put the set in force, at once for all replicas, and remove every other; the number of its lists."""

    def status(self) -> SetStatus:
        """What there is."""

    def drop(self) -> None:
        """Remove every set."""

    def close(self) -> None:
        """Give back what is open."""


@dataclass(frozen=True, slots=True)
class AheadTerms:
    """How lists are to be made ahead of a send.

    Attributes:
        spare: Share of the rate in use that may be spent on them at most, above 0, at most 1.
        num_results: Items that the templates of the send will ask for.
        max_age_seconds: A list that is younger is good enough; one that is fresh always is.
    """

    spare: float = 0.8
    num_results: int = DEFAULT_NUM_RESULTS
    max_age_seconds: float = 0.0


@dataclass(slots=True)
class Made:
    """What came of making lists for some users.

    Attributes:
        fetched: Lists that cost a transaction.
        kept: Users who had a list that is young enough, or for whom somebody else was fetching one.
        left: Users whose turn did not come.
        failed: Users whose transaction brought no list, and why.
        tps: Rate in use of all replicas.
        fresh_seconds: How long a list is fresh.
    """

    fetched: int = 0
    kept: int = 0
    left: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    tps: float = 0.0
    fresh_seconds: float = 0.0


class ListMaker(Protocol):
    """Makes lists ahead of a send, here or in a replica."""

    async def make(
        self, users: Sequence[str], terms: AheadTerms, *, seconds: float, on_done: Callable[[], None] = lambda: None
    ) -> Made:
        """Fetch a list for each user who has none that is young enough, in the lowest lane of the budget.

        Args:
            users: Each once.
            terms: Share, length and age.
            seconds: Slots are waited for so long; transactions begun by then are awaited. 0 only looks who is left.
            on_done: Called for each user who has a list now, as soon as that is known.

        Raises:
            SharedStateUnavailable: The lists cannot be looked at now; nothing was spent.
        """


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """An item ready to be written out.

    Attributes:
        fragment: The item as a JSON object with id, url, name, price, image.
        extras: JSON array of the further columns, in the order of `ItemCatalog.columns`.
        eligible: False when the operator's exclusion keeps it from every answer.
    """

    fragment: bytes
    extras: bytes
    eligible: bool = True


class ItemCatalog(Protocol):
    """The items that may be shown; a snapshot, replaced as a whole."""

    @property
    def version(self) -> int:
        """Grows with every change of the catalogue."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the further columns, as the source spells them."""

    def __len__(self) -> int:
        """Items that can be shown."""

    def rows(self, item_ids: Sequence[str]) -> list[CatalogRow | None]:
        """One entry for each id, None where the catalogue has no complete item."""

    def first_ids(self) -> Iterable[str]:
        """Every id that the operator's exclusion lets through, in the source's own order, made as it is asked for."""

    def close(self) -> None:
        """Close what it holds, at the end of the service; one that is replaced closes itself behind its last reader."""


class RemoteItemCatalog(ItemCatalog, Protocol):
    """A catalogue whose `rows` answers only from what `prefetch` has brought here."""

    def missing(self, item_ids: Iterable[str]) -> list[str]:
        """Those that would have to be fetched."""

    async def prefetch(self, item_ids: Iterable[str], timeout_seconds: float) -> None:
        """Bring items here as far as the time allows; never fails."""


class BlockList(Protocol):
    """Items taken out of every answer by an operator."""

    @property
    def version(self) -> int:
        """Grows with every change."""

    def __contains__(self, item_id: object) -> bool: ...

    def ids(self) -> list[str]:
        """All blocked ids, in order."""

    async def block(self, item_id: str) -> None:
        """Take an item out of every answer; it need not be in the catalogue.

        Raises:
            BlockListFull: No room.
            SharedStateUnavailable: It could not be kept, so it is not in force.
        """

    async def unblock(self, item_id: str) -> None:
        """Let an item be shown again; unknown ids are fine.

        Raises:
            SharedStateUnavailable: It could not be kept, so it is not in force.
        """


class Recorder(Protocol):
    """Where the core says what happened; metrics hang on it."""

    def transaction(self, outcome: str, seconds: float) -> None:
        """A transaction was spent: `ok`, `empty`, `throttled`, `timeout` or `error`."""

    def budget_wait(self, seconds: float) -> None:
        """A caller waited this long for its slot."""

    def dropped(self, reason: str, items: int) -> None:
        """Items of a list were not fit to show."""
