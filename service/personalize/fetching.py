"""How a flight finds its list.

                       a fresh list or a pin is found
    flight ──► board ───────────────────────────────────────────────► landed
                │ │                                                     ▲
                │ └─ another replica leads ─► follow ── its end ────────┤
                │                               └─ no end in time ──► step down
                └─ we lead ─► slot ─► transaction ── a list ────────────┤
                               └─ none ──┴─ none ──► step down ─────────┘

A flight begun for nobody, a refresh or a prewarm, brings its slot along. It follows nobody and steps down to nothing.
As soon as a caller boards it, it is the caller's: it follows, and asks for a slot in the caller's lane.
"""

from service.clock import Clock
from service.errors import BudgetExhausted, Degraded, DegradedReason, SharedStateUnavailable
from service.lists.envelope import newer, seal
from service.lists.lists import Lists
from service.lists.ports import ABANDONED, Landing, Outcome
from service.models import ItemList
from service.personalize.flight import Flight
from service.personalize.ports import Learner
from service.personalize.transactions import Transactions


class Fetching:
    """Finds the lists of one campaign.

    Args:
        clock: Deadlines are points on its monotonic time.
        lists: Where lists are looked for.
        transactions: Where they come from otherwise.
        learner: Learns from every live list.
    """

    def __init__(self, *, clock: Clock, lists: Lists, transactions: Transactions, learner: Learner) -> None:
        self._clock = clock
        self._lists = lists
        self._transactions = transactions
        self._learner = learner

    @property
    def timeout_seconds(self) -> float:
        """Longest wait for one transaction."""
        return self._transactions.timeout_seconds

    async def outcome(self, flight: Flight) -> Outcome:
        """The best list that the flight can bring."""
        return await self._board(flight) or await self._lead(flight)

    async def _board(self, flight: Flight) -> Outcome | None:
        """What is found without a transaction of ours; None if there is to be one."""
        while True:
            began = self._clock.monotonic()
            try:
                async with self._lists.follow(flight.key) as landing:
                    found = await self._found(flight, landing)
            except SharedStateUnavailable:
                if flight.needs_store and flight.unseen:
                    return self._lists.without_batch(flight.kept, "error")
                return None
            finally:
                flight.timings.append(("store", (self._clock.monotonic() - began) * 1000))
            if flight.led or (found is not None and found != ABANDONED):
                return found
            if flight.in_background or self._clock.monotonic() >= flight.deadline:
                return await self._step_down(flight, "timeout")

    async def _found(self, flight: Flight, landing: Landing) -> Outcome | None:
        """What the store has, or how the flight of the replica that leads has ended; None: we lead, or no end came."""
        # A transaction that begins at the deadline is over by then.
        until = flight.deadline + self._transactions.timeout_seconds
        boarding = await self._lists.board(
            flight.key,
            lease_seconds=until - self._clock.monotonic(),
            background=flight.in_background,
            renew=flight.renews,
        )
        flight.led = boarding.leader
        kept = flight.kept = newer(flight.kept, self._lists.usable(boarding.envelope))
        if kept is not None and not flight.renews and self._lists.is_fresh(flight.key, kept):
            return Outcome(kept, "cache")
        if boarding.pinned is not None:
            flight.settled = True
            return boarding.pinned
        if boarding.leader or flight.in_background:
            return None
        if boarding.background and kept is not None:
            # The slot is the other replica's, and who has a list waits for nobody.
            return await self._step_down(flight, "budget")
        landed = await landing.wait(min(flight.deadline - self._clock.monotonic(), boarding.lease_seconds))
        flight.settled = landed is not None and landed != ABANDONED
        return landed

    async def _lead(self, flight: Flight) -> Outcome:
        try:
            self._transactions.check()
            await self._take_slot(flight)
            items = await self._transact(flight)
        except Degraded as error:
            flight.to_renew = flight.kept is not None and not flight.background
            return await self._step_down(flight, error.reason)
        if not items.item_ids:
            return await self._step_down(flight, "error")
        self._learner.learn(items.item_ids)
        return Outcome(seal(items), "personalize")

    async def _take_slot(self, flight: Flight) -> None:
        if flight.slot_at is not None and not self._transactions.slot_is_late(flight.slot_at):
            return
        if flight.in_background:
            raise BudgetExhausted
        flight.spent = False
        waited = await self._transactions.wait_for_slot(
            has_list=flight.kept is not None, deadline=flight.deadline, sender=flight.sender
        )
        flight.timings.append(("budget", waited * 1000))

    async def _transact(self, flight: Flight) -> ItemList:
        era = self._transactions.admit()
        flight.spent = True
        began = flight.asked_at = self._clock.monotonic()
        try:
            return await self._transactions.spend(flight.request, era)
        finally:
            flight.timings.append(("personalize", (self._clock.monotonic() - began) * 1000))

    async def _step_down(self, flight: Flight, reason: DegradedReason) -> Outcome:
        if flight.unseen:
            return self._lists.without_batch(flight.kept, reason)
        began = self._clock.monotonic()
        try:
            return await self._lists.step_down(flight.key, flight.kept, reason, flight.deadline)
        finally:
            flight.timings.append(("batch", (self._clock.monotonic() - began) * 1000))
