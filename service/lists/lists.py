"""The one door to the lists kept of a user: memory, pins, the shared store, the batch store and the fallback ladder."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from service.clock import Clock
from service.errors import DegradedReason, SharedStateUnavailable
from service.lists.envelope import Envelope, created_at, readable
from service.lists.forgetting import ForgottenLately
from service.lists.freshness import Freshness
from service.lists.keys import UserKey, prefix_of
from service.lists.ladder import Ladder
from service.lists.numbers import NumberedList, made_at
from service.lists.ports import ABANDONED, BatchLists, Boarding, Landing, LocalLists, Outcome, Pins, SharedLists

MIN_LOOK_UP_SECONDS: Final = 0.005
"""What a look-up for a batch list gets although the time is over; it takes a millisecond or two."""

_KEPT_SOURCES: Final = frozenset({"personalize", "cache", "stale"})
"""Outcomes whose list belongs into memory."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What all parts of a user's message show.

    Attributes:
        outcome: The one that was given, or another that was answered before.
        shared: Whether the shared store has heard of it.
    """

    outcome: Outcome
    shared: bool


class Lists:
    """Everything kept of users' lists, behind one guard for users who were forgotten.

    Args:
        clock: Its Unix time tells a list's age.
        freshness: The ages that decide what a list may be used for.
        memory: Lists of this process.
        pins: Degraded answers of this process that are repeated.
        shared: Lists and flights of all replicas.
        batch: Lists that a batch job made.
        ladder: What is left without a live list.
        lately: Of these users nothing is kept.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        freshness: Freshness,
        memory: LocalLists,
        pins: Pins,
        shared: SharedLists,
        batch: BatchLists,
        ladder: Ladder,
        lately: ForgottenLately,
    ) -> None:
        self._clock = clock
        self._freshness = freshness
        self._memory = memory
        self._pins = pins
        self._shared = shared
        self._batch = batch
        self._ladder = ladder
        self._lately = lately

    @property
    def fresh_seconds(self) -> float:
        """Age at which a list stops being fresh."""
        return self._freshness.fresh_seconds

    def fresh(self, key: UserKey) -> Envelope | None:
        """The list in memory if it is fresh and no degraded answer is being repeated; no wait."""
        if self._pins.get(key) is not None:
            return None
        envelope = self._memory.get(key)
        return envelope if envelope is not None and self.is_fresh(key, envelope) else None

    def fresh_numbered(self, key: UserKey, now: float) -> NumberedList | None:
        """The same as numbers, at this Unix time; None also where the list is not kept as numbers of now."""
        if self._pins.get(key) is not None:
            return None
        kept = self._memory.numbered(key)
        if kept is None or not self._freshness.fresh(made_at(kept), now, key):
            return None
        return kept

    def keep_choice(self, key: UserKey, with_choice: NumberedList) -> None:
        """Keep the list that `fresh_numbered` has just found with a choice, if there is room."""
        self._memory.keep_choice(key, with_choice)

    def kept(self, key: UserKey) -> Envelope | None:
        """The list in memory, fresh or stale; no wait."""
        return self.usable(self._memory.get(key))

    def pinned(self, key: UserKey) -> Outcome | None:
        """The degraded answer to repeat; no wait."""
        return self._pins.get(key)

    def is_fresh(self, key: UserKey, envelope: Envelope) -> bool:
        """Whether the list may be served without a transaction."""
        return self._freshness.fresh(created_at(envelope), self._clock.time(), key)

    def usable(self, envelope: bytes | None) -> Envelope | None:
        """The list if this version can read it and it is not past the stale horizon."""
        kept = readable(envelope)
        if kept is None or not self._freshness.usable(created_at(kept), self._clock.time()):
            return None
        return kept

    def forgotten(self, key: UserKey) -> bool:
        """Whether the user was forgotten so recently that nothing is kept."""
        return self._lately.holds(key)

    def keep(self, key: UserKey, outcome: Outcome, *, shared: bool = True, asked_at: float | None = None) -> None:
        """Keep the list of an outcome in memory, unless it is none or its user was forgotten since it was asked for.

        Args:
            key: Of the list.
            outcome: How a flight ended.
            shared: Whether the shared store was there for it.
            asked_at: When this process asked Personalize, monotonic; None if it did not.
        """
        if outcome.envelope is None or outcome.source not in _KEPT_SOURCES:
            return
        if not self._is_of_before(key, outcome, asked_at):
            self._memory.put(key, outcome.envelope)
            if outcome.source == "personalize":
                self._shared.note(key, shared=shared)

    def pin(self, key: UserKey, outcome: Outcome, seconds: float | None = None) -> None:
        """Repeat a degraded answer on this replica from now on, unless its user was forgotten lately.

        An answer that is not degraded is no pin, and the first answer of a moment is the one repeated.
        """
        if outcome.degraded_reason and not self._lately.holds(key):
            self._pins.put(key, outcome, seconds)

    def follow(self, key: UserKey) -> AbstractAsyncContextManager[Landing]:
        """Listen for the end of another replica's flight; see `SharedLists.follow`."""
        return self._shared.follow(key)

    async def board(
        self, key: UserKey, *, lease_seconds: float, background: bool = False, renew: bool = False
    ) -> Boarding:
        """Look for a list in the shared store and take the lead if nobody has it; see `SharedLists.board`.

        What is pinned there is pinned here for the rest of its time.
        """
        boarding = await self._shared.board(key, lease_seconds=lease_seconds, background=background, renew=renew)
        if boarding.pinned is not None:
            self.pin(key, boarding.pinned, boarding.pinned_seconds)
        return boarding

    async def settle(self, key: UserKey, outcome: Outcome, *, led: bool, asked_at: float | None = None) -> Settled:
        """Agree with the other replicas on what all parts of a message show, before any of them is answered.

        The first answer counts. A degraded one is pinned here and, while the store answers, on every replica. A live
        list is kept in the store even if a pin is shown for the moment. Without the store this replica decides for
        itself, and the others may show something else.

        Args:
            key: Of the list.
            outcome: How a flight ended.
            led: Whether this replica leads it.
            asked_at: When this process asked Personalize, monotonic; None if it did not.
        """
        if self._is_of_before(key, outcome, asked_at):
            return Settled(outcome, shared=await self.abandon(key) if led else False)
        shared = True
        try:
            landed = await self._shared.land(key, outcome, led=led)
        except SharedStateUnavailable:
            shared = False
        else:
            outcome, shared = landed.outcome, landed.shared
            self.pin(key, outcome, landed.pinned_seconds)
        return Settled(self._pins.get(key) or outcome, shared)

    async def abandon(self, key: UserKey) -> bool:
        """Give up the lead of a flight that answers nobody; whether the shared store has heard of it.

        Followers board again, and one of them leads.
        """
        try:
            await self._shared.land(key, ABANDONED, led=True)
        except SharedStateUnavailable:
            return False
        return True

    async def wanted(self, keys: Sequence[UserKey], max_age_seconds: float, *, only_kept: bool = False) -> list[bool]:
        """Whether each list is to be fetched: the one that is kept is neither fresh nor younger than this, or none is.

        Args:
            keys: Of the lists.
            max_age_seconds: Younger ones are good enough.
            only_kept: Where none is kept, none is wanted either.

        Raises:
            SharedStateUnavailable: The shared store did not answer.
        """
        freshness = self._freshness
        if freshness.live is not None:
            await freshness.live.learn([prefix_of(key) for key in keys])
        now = self._clock.time()
        latest, younger = freshness.latest(now), now - max_age_seconds
        made = await self._shared.made_at(keys)
        return [
            not only_kept if at is None else not min(younger, freshness.earliest(now, key)) <= at <= latest
            for key, at in zip(keys, made, strict=True)
        ]

    def without_batch(self, stale: Envelope | None, reason: DegradedReason) -> Outcome:
        """The best that can be had without a wait."""
        return self._ladder.step_down(stale, reason)

    async def step_down(self, key: UserKey, stale: Envelope | None, reason: DegradedReason, deadline: float) -> Outcome:
        """The best that can be had by the deadline without a transaction; the batch store is looked into only now.

        Args:
            key: Whose list.
            stale: A list that is known already.
            reason: Why no live list can be had.
            deadline: Point on the monotonic clock; a look-up gets `MIN_LOOK_UP_SECONDS` in any case.
        """
        return self._ladder.step_down(stale, reason, await self._batch_list(key, deadline))

    async def everything(self, key: UserKey, deadline: float) -> list[tuple[str, Envelope]]:
        """Where a list is kept, and the list; at no transaction, and nothing is kept or pinned by it.

        Args:
            key: Whose list.
            deadline: Point on the monotonic clock; each store gets `MIN_LOOK_UP_SECONDS` in any case.
        """
        here, shared = self.kept(key), self.usable(await self._shared_list(key, deadline))
        found = [
            ("memory", here),
            ("shared", shared),
            ("batch", await self._batch_list(key, deadline)),
        ]
        return [(where, envelope) for where, envelope in found if envelope is not None]

    async def look(self, key: UserKey, reason: DegradedReason, deadline: float) -> Outcome:
        """The best list kept anywhere, at no transaction; the popular list if there is none.

        Args:
            key: Whose list.
            reason: Why no live list can be had.
            deadline: Point on the monotonic clock; each store gets `MIN_LOOK_UP_SECONDS` in any case.
        """
        kept = self.kept(key) or self.usable(await self._shared_list(key, deadline))
        if kept is not None and self.is_fresh(key, kept):
            return Outcome(kept, "cache", reason)
        return await self.step_down(key, kept, reason, deadline)

    def _is_of_before(self, key: UserKey, outcome: Outcome, asked_at: float | None) -> bool:
        """Whether the user was forgotten, and this may be of the time before."""
        return self._lately.holds(key, asked_at if outcome.source == "personalize" else None)

    async def _shared_list(self, key: UserKey, deadline: float) -> Envelope | None:
        try:
            async with asyncio.timeout(max(MIN_LOOK_UP_SECONDS, deadline - self._clock.monotonic())):
                return await self._shared.look(key)
        except (SharedStateUnavailable, TimeoutError):
            return None

    async def _batch_list(self, key: UserKey, deadline: float) -> Envelope | None:
        try:
            async with asyncio.timeout(max(MIN_LOOK_UP_SECONDS, deadline - self._clock.monotonic())):
                return self.usable(await self._batch.get(key))
        except (SharedStateUnavailable, TimeoutError):
            return None
