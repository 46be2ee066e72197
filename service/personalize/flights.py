"""One transaction for each list at a time, however many ask for it and on whichever replica.

A flight fetches one list. Callers of this process share it through a future, callers of other replicas through the
shared store. A caller that gives up leaves the flight to the others. When the last one leaves before a transaction was
spent, the flight ends and its slot goes to the next. A transaction once spent is awaited and its list kept, even if
everybody who asked for it is gone.

                       a fresh list or a pin is found
    caller ──► board ───────────────────────────────────────────────► landed
                │ │                                                     ▲
                │ └─ another replica leads ─► follow ── its end ────────┤
                │                               └─ no end in time ──► step down
                └─ we lead ─► slot ─► transaction ── a list ────────────┤
                               └─ none ──┴─ none ──► step down ─────────┘
"""

import asyncio
from dataclasses import dataclass, field

import structlog

from service.clock import Clock
from service.constants import MAX_WAITING_CALLERS
from service.errors import BudgetExhausted, DeadlineExceeded, Degraded, DegradedReason, SharedStateUnavailable
from service.lists.envelope import Envelope, created_at, seal
from service.lists.keys import UserKey
from service.lists.lists import LOOK_UP_SECONDS, Lists
from service.lists.ports import ABANDONED, Outcome
from service.models import ItemList, ListRequest
from service.personalize.ports import Learner, StaleQueue
from service.personalize.transactions import Transactions

_log = structlog.stdlib.get_logger(__name__)

Timings = list[tuple[str, float]]
"""Name of each wait, and its milliseconds."""


@dataclass(slots=True)
class _Flight:
    landed: asyncio.Future[Outcome]
    task: asyncio.Task[None] | None = None
    callers: int = 0
    spent: bool = False
    """A slot is taken for it, so it goes on without callers."""
    asked: bool = False
    """Personalize was asked."""
    prewarm: bool = False
    lost: bool = False
    """The list is kept in this process only, since the store could not take it."""
    slot_at: float | None = None
    timings: Timings = field(default_factory=list)

    @property
    def unseen(self) -> bool:
        """Whether its end answers nobody."""
        return self.prewarm and not self.callers


class Flights:
    """The flights to one campaign in one replica.

    Args:
        clock: Deadlines are points on its monotonic time.
        lists: Where lists are looked for and kept.
        transactions: Where they come from.
        stale: Gets the stale lists that were served for want of a slot.
        learner: Learns from every live list.
        max_waiting: Callers that may wait at a time. One more gets the best that is at hand at once: waiting for more
            than a replica works off within its deadline would only make everybody late.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        lists: Lists,
        transactions: Transactions,
        stale: StaleQueue,
        learner: Learner,
        max_waiting: int = MAX_WAITING_CALLERS,
    ) -> None:
        self._clock = clock
        self._lists = lists
        self._transactions = transactions
        self._stale = stale
        self._learner = learner
        self._max_waiting = max_waiting
        self._waiting = 0
        self._open: dict[UserKey, _Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Flights under way."""
        return len(self._open)

    async def outcome(
        self, key: UserKey, request: ListRequest, kept: Envelope | None, deadline: float
    ) -> tuple[Outcome, Timings]:
        """The best list to be had before the deadline, and the milliseconds that each wait took.

        Args:
            key: The list's key.
            request: What to ask Personalize.
            kept: A list that is known already but not fresh.
            deadline: Point on the monotonic clock; `DeadlineExceeded` comes early enough to step down by then.

        Raises:
            DeadlineExceeded: The flight goes on without us.
        """
        if self._waiting >= self._max_waiting:
            outcome = await self._lists.step_down(key, kept, "budget", deadline)
            self._lists.pin(key, outcome)
            return outcome, []
        deadline -= LOOK_UP_SECONDS
        flight = self._open.get(key) or self._start(key, request, kept, deadline)
        flight.callers += 1
        self._waiting += 1
        try:
            await asyncio.wait({flight.landed}, timeout=max(0.0, deadline - self._clock.monotonic()))
        finally:
            self._waiting -= 1
            flight.callers -= 1
            if not flight.callers and not flight.spent and flight.task is not None and not flight.landed.done():
                # A caller that comes now starts a flight of its own rather than board one that is being ended.
                self._closed(key, flight)
                flight.task.cancel()
        if not flight.landed.done() or flight.landed.cancelled():
            raise DeadlineExceeded
        return flight.landed.result(), flight.timings

    async def refresh(self, key: UserKey, request: ListRequest) -> None:
        """Renew a stale list in the background; the slot for it is ours already."""
        if key in self._open:
            return
        kept = self._lists.kept(key)
        deadline = self._clock.monotonic() + self._transactions.timeout_seconds
        flight = self._start(key, request, kept, deadline, slot_at=self._clock.monotonic())
        await asyncio.wait({flight.landed})

    async def prewarm(self, key: UserKey, request: ListRequest, slot_at: float) -> tuple[Outcome, bool]:
        """Fetch a list that nobody waits for; the slot that began at `slot_at` is ours.

        A failure is pinned for nobody, and without the store that the replicas share nothing is spent.

        Returns:
            How it ended, and whether a transaction was spent. If none was, the slot is still there to be used.
        """
        if key in self._open:
            return Outcome(None, "cache"), False
        kept = self._lists.kept(key)
        deadline = self._clock.monotonic() + self._transactions.timeout_seconds
        flight = self._start(key, request, kept, deadline, slot_at=slot_at, prewarm=True)
        assert flight.task is not None  # noqa: S101  # started just now
        await asyncio.wait({flight.task})
        unkept = flight.lost or flight.landed.cancelled()
        outcome = self._lists.without_batch(kept, "error") if unkept else flight.landed.result()
        return outcome, flight.asked

    async def close(self, timeout_seconds: float) -> None:
        """Wait for transactions under way, then end what is left."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _start(
        self,
        key: UserKey,
        request: ListRequest,
        kept: Envelope | None,
        deadline: float,
        *,
        slot_at: float | None = None,
        prewarm: bool = False,
    ) -> _Flight:
        landed = asyncio.get_running_loop().create_future()
        flight = _Flight(landed, spent=slot_at is not None, slot_at=slot_at, prewarm=prewarm)
        self._open[key] = flight
        flight.task = asyncio.create_task(self._fly(flight, key, request, kept, deadline))
        self._tasks.add(flight.task)
        flight.task.add_done_callback(self._tasks.discard)
        return flight

    async def _fly(
        self, flight: _Flight, key: UserKey, request: ListRequest, kept: Envelope | None, deadline: float
    ) -> None:
        led = False
        outcome = ABANDONED
        try:
            found, kept, led = await self._board(flight, key, kept, deadline)
            if flight.prewarm and not led and found is None:
                found = self._lists.without_batch(kept, "error")
            outcome = found or await self._lead(flight, key, request, kept, deadline)
        except asyncio.CancelledError:
            flight.landed.cancel()
            raise
        except Exception:  # noqa: BLE001  # a bug of ours: the caller still gets an answer, the log the traceback
            _log.exception("flight_failed")
            outcome = self._lists.without_batch(kept, "error")
        finally:
            self._closed(key, flight)
            unseen = flight.unseen
            if outcome.degraded_reason and not unseen:
                # In the same step: a call that comes between would start another flight, and could differ.
                self._lists.pin(key, outcome)
            self._lists.keep(key, outcome)
            if not flight.landed.done():
                flight.landed.set_result(outcome)
            if led:
                # The next caller of this list is not to get the reason for which it could not be prewarmed.
                flight.lost = not await self._lists.land(
                    key, ABANDONED if outcome.degraded_reason and unseen else outcome
                )

    def _closed(self, key: UserKey, flight: _Flight) -> None:
        if self._open.get(key) is flight:
            del self._open[key]

    async def _board(
        self, flight: _Flight, key: UserKey, kept: Envelope | None, deadline: float
    ) -> tuple[Outcome | None, Envelope | None, bool]:
        """What is found without a transaction, the newest list known, and whether we lead."""
        began = self._clock.monotonic()
        while True:
            try:
                async with self._lists.follow(key) as landing:
                    lease = max(0.0, deadline - self._clock.monotonic()) + self._transactions.timeout_seconds
                    boarding = await self._lists.board(key, lease_seconds=lease)
                    kept = _newer(kept, self._lists.usable(boarding.envelope))
                    if kept is not None and self._lists.is_fresh(kept):
                        return Outcome(kept, "cache"), kept, boarding.leader
                    if boarding.pinned is not None:
                        return boarding.pinned, kept, boarding.leader
                    if boarding.leader:
                        return None, kept, True
                    # A slot in hand does not keep until another replica's flight has ended.
                    left = deadline - self._clock.monotonic() if flight.slot_at is None else 0.0
                    landed = await landing.wait(min(left, boarding.lease_seconds))
            except SharedStateUnavailable:
                return None, kept, False
            finally:
                flight.timings.append(("store", (self._clock.monotonic() - began) * 1000))
            if landed is not None and landed != ABANDONED:
                return landed, kept, False
            if flight.slot_at is not None or deadline - self._clock.monotonic() <= 0:
                return await self._step_down(flight, key, kept, "timeout", deadline), kept, False

    async def _lead(
        self, flight: _Flight, key: UserKey, request: ListRequest, kept: Envelope | None, deadline: float
    ) -> Outcome:
        try:
            self._transactions.check()
            if flight.slot_at is None:
                waited = await self._transactions.wait_for_slot(has_list=kept is not None, deadline=deadline)
                flight.timings.append(("budget", waited * 1000))
            elif self._transactions.slot_is_late(flight.slot_at):
                raise BudgetExhausted
            items = await self._transact(flight, request)
        except Degraded as error:
            if kept is not None and flight.slot_at is None and not self._lists.forgotten(key):
                self._stale.add(key, request)
            return await self._step_down(flight, key, kept, error.reason, deadline)
        if not items.item_ids:
            return await self._step_down(flight, key, kept, "error", deadline)
        self._learner.learn(items.item_ids)
        return Outcome(seal(items), "personalize")

    async def _transact(self, flight: _Flight, request: ListRequest) -> ItemList:
        era = self._transactions.admit()
        flight.spent = flight.asked = True
        began = self._clock.monotonic()
        try:
            return await self._transactions.spend(request, era)
        finally:
            flight.timings.append(("personalize", (self._clock.monotonic() - began) * 1000))

    async def _step_down(
        self, flight: _Flight, key: UserKey, kept: Envelope | None, reason: DegradedReason, deadline: float
    ) -> Outcome:
        if flight.unseen:
            return self._lists.without_batch(kept, reason)
        began = self._clock.monotonic()
        try:
            return await self._lists.step_down(key, kept, reason, deadline)
        finally:
            flight.timings.append(("batch", (self._clock.monotonic() - began) * 1000))


def _newer(one: Envelope | None, other: Envelope | None) -> Envelope | None:
    if one is None or other is None:
        return one or other
    return one if created_at(one) >= created_at(other) else other
