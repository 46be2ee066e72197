"""One transaction for each list at a time, however many ask for it and on whichever replica.

A flight fetches one list. Callers of this process share it through a future, callers of other replicas through the
shared store. A caller that gives up leaves the flight to the others. When the last one leaves before a transaction was
spent, the flight ends and its slot goes to the next. A transaction once spent is awaited and its list kept, even if
everybody who asked for it is gone.

`fetching` draws the way of a flight. What its callers get is settled with the other replicas first::

    landed ──► is a degraded answer pinned already, here or on another replica?
                 │ yes: that one is shown          │ no: this one is shown
                 ▼                                 ▼ a degraded one is pinned from now on
               callers                           callers
"""

import asyncio
from collections import Counter
from typing import Any, Final

import structlog

from service.clock import Clock, margin_seconds
from service.constants import MAX_WAITING_CALLERS
from service.lists.envelope import Envelope
from service.lists.keys import UserKey
from service.lists.lists import Lists, Settled
from service.lists.ports import ABANDONED, Outcome
from service.models import NOBODY, ListRequest, Sender
from service.personalize.fetching import Fetching
from service.personalize.flight import Flight, Timings
from service.personalize.ports import StaleQueue

SETTLING_SECONDS: Final = 0.05
"""Callers wait this long at most until the shared store says that nothing else has been answered. It takes a
millisecond or two."""

_log = structlog.stdlib.get_logger(__name__)


class Flights:
    """The flights to one campaign in one replica.

    Args:
        clock: Deadlines are points on its monotonic time.
        lists: Where lists are kept.
        fetching: Finds them.
        stale: Gets the stale lists that were given to callers.
        max_waiting: Callers that may wait at a time. One more gets the best that is at hand at once: waiting for more
            than a replica works off within its deadline would only make everybody late. What that one gets is repeated
            on this replica only.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        lists: Lists,
        fetching: Fetching,
        stale: StaleQueue,
        max_waiting: int = MAX_WAITING_CALLERS,
    ) -> None:
        self._clock = clock
        self._lists = lists
        self._fetching = fetching
        self._stale = stale
        self._max_waiting = max_waiting
        self._waiting: Counter[Sender] = Counter()
        self._open: dict[UserKey, Flight] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """Flights under way."""
        return len(self._open)

    async def outcome(
        self, key: UserKey, request: ListRequest, kept: Envelope | None, deadline: float, sender: Sender = NOBODY
    ) -> tuple[Outcome, Timings]:
        """The best list to be had before the deadline, and the milliseconds that each wait took.

        A part of the time left is kept back to step down in.

        Args:
            key: The list's key.
            request: What to ask Personalize.
            kept: A list that is known already but not fresh.
            deadline: Point on the monotonic clock.
            sender: Whose call it is.
        """
        if self._has_no_place_for(sender):
            outcome = await self._lists.step_down(key, kept, "budget", deadline)
            self._lists.pin(key, outcome)
            return outcome, []
        flight = self._open.get(key)
        if flight is not None and flight.background and kept is not None:
            # Its slot is not the caller's, and who has a list waits for nobody.
            outcome = await self._lists.step_down(key, kept, "budget", deadline)
            return await self._settled(key, outcome, deadline), []
        now = self._clock.monotonic()
        waits_until = deadline - margin_seconds(deadline - now)
        if flight is None:
            flight = self._start(Flight(key, request, kept, _landing(), waits_until))
        flight.board(waits_until, sender)
        self._waiting[sender] += 1
        try:
            await asyncio.wait({flight.landed}, timeout=waits_until - now)
            if not flight.landed.done():
                return await self._without(flight, deadline), flight.timings
        finally:
            self._leave(sender)
            flight.callers -= 1
            if not flight.callers and not flight.spent and flight.task is not None and not flight.landed.done():
                # A caller that comes now starts a flight of its own rather than board one that is being ended.
                self._close(flight)
                flight.task.cancel()
        if flight.landed.cancelled():
            return await self._without(flight, deadline), flight.timings
        return flight.landed.result(), flight.timings

    def _has_no_place_for(self, sender: Sender) -> bool:
        # Who has less than its part of the places gets one although all are taken.
        senders = len(self._waiting.keys() | {sender})
        return self._waiting.total() >= self._max_waiting and self._waiting[sender] * senders >= self._max_waiting

    def _leave(self, sender: Sender) -> None:
        self._waiting[sender] -= 1
        if not self._waiting[sender]:
            del self._waiting[sender]

    async def refresh(self, key: UserKey, request: ListRequest, slot_at: float) -> None:
        """Renew a stale list in the background; the slot that began at `slot_at` is ours."""
        if key in self._open:
            return
        flight = self._in_background(key, request, slot_at=slot_at)
        await asyncio.wait({flight.landed})

    async def prewarm(self, key: UserKey, request: ListRequest, slot_at: float, *, renew: bool) -> tuple[Outcome, bool]:
        """Fetch a list that nobody waits for; the slot that began at `slot_at` is ours.

        Without the store that the replicas share nothing is spent. A fresh list is renewed only if that is asked for.

        Returns:
            How it ended, and whether a transaction was spent. If none was, the slot is still there to be used.
        """
        if key in self._open:
            return Outcome(None, "cache"), False
        flight = self._in_background(key, request, slot_at=slot_at, needs_store=True, renew=renew)
        assert flight.task is not None  # noqa: S101  # started just now
        await asyncio.wait({flight.task})
        unkept = flight.lost or flight.landed.cancelled()
        outcome = self._lists.without_batch(flight.kept, "error") if unkept else flight.landed.result()
        return outcome, flight.asked_at is not None

    async def close(self, timeout_seconds: float) -> None:
        """Wait for transactions under way, then end what is left."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _in_background(
        self, key: UserKey, request: ListRequest, *, slot_at: float, needs_store: bool = False, renew: bool = False
    ) -> Flight:
        deadline = self._clock.monotonic() + self._fetching.timeout_seconds
        return self._start(
            Flight(
                key,
                request,
                self._lists.kept(key),
                _landing(),
                deadline,
                background=True,
                needs_store=needs_store,
                renews=renew,
                slot_at=slot_at,
                spent=True,
            )
        )

    def _start(self, flight: Flight) -> Flight:
        self._open[flight.key] = flight
        flight.task = asyncio.create_task(self._fly(flight))
        self._keep_until_done(flight.task)
        return flight

    async def _fly(self, flight: Flight) -> None:
        outcome = ABANDONED
        try:
            outcome = await self._fetching.outcome(flight)
        except asyncio.CancelledError:
            flight.landed.cancel()
            raise
        except Exception:  # noqa: BLE001  # a bug of ours: the caller still gets an answer, the log the traceback
            _log.exception("flight_failed")
            outcome = self._lists.without_batch(flight.kept, "error")
        finally:
            await self._land(flight, outcome)

    async def _land(self, flight: Flight, outcome: Outcome) -> None:
        key = flight.key
        if outcome == ABANDONED or (outcome.degraded_reason and flight.unseen):
            # It answers nobody, so nobody is to hear of it: neither followers nor the next caller.
            self._end(flight, outcome)
            if flight.led:
                flight.lost = not await self._lists.abandon(key)
        elif flight.led or (outcome.degraded_reason and not flight.settled):
            settling = self._settling(key, outcome, flight)
            await asyncio.wait({settling}, timeout=SETTLING_SECONDS if flight.callers else None)
            shown = settling.result().outcome if settling.done() else outcome
            self._lists.pin(key, shown)
            # A live list is kept although something else is shown for the moment.
            self._lists.keep(key, shown if shown.source == "cache" else outcome, asked_at=flight.asked_at)
            self._end(flight, shown)
            flight.lost = not (await settling).shared
        else:
            self._lists.pin(key, outcome)
            self._lists.keep(key, outcome, shared=flight.settled, asked_at=flight.asked_at)
            self._end(flight, outcome)

    def _end(self, flight: Flight, shown: Outcome) -> None:
        # In one step with the pin: a call that comes between would start another flight, and could differ.
        self._close(flight)
        if not flight.landed.done():
            flight.landed.set_result(shown)
        if flight.to_renew and not self._lists.forgotten(flight.key):
            # Not before: the refresh would find this flight under way.
            self._stale.add(flight.key, flight.request)

    def _close(self, flight: Flight) -> None:
        if self._open.get(flight.key) is flight:
            del self._open[flight.key]

    async def _without(self, flight: Flight, deadline: float) -> Outcome:
        """What a caller is shown whose time is over before the flight's end; the same for all of them."""
        if flight.step_down is None:
            flight.step_down = asyncio.create_task(self._step_down(flight, deadline))
            self._keep_until_done(flight.step_down)
        await asyncio.wait({flight.step_down}, timeout=deadline - self._clock.monotonic())
        if flight.step_down.done():
            return flight.step_down.result()
        outcome = self._lists.without_batch(flight.kept, "timeout")
        self._lists.pin(flight.key, outcome)
        return outcome

    async def _step_down(self, flight: Flight, deadline: float) -> Outcome:
        # Half of the time that is left for what a batch has made, half for what others have answered.
        now = self._clock.monotonic()
        outcome = await self._lists.step_down(flight.key, flight.kept, "timeout", now + (deadline - now) / 2)
        return await self._settled(flight.key, outcome, deadline)

    async def _settled(self, key: UserKey, outcome: Outcome, deadline: float) -> Outcome:
        """What is shown in the place of a degraded answer, or that one, pinned."""
        settling = self._settling(key, outcome)
        await asyncio.wait({settling}, timeout=min(SETTLING_SECONDS, deadline - self._clock.monotonic()))
        shown = settling.result().outcome if settling.done() else outcome
        self._lists.pin(key, shown)
        return shown

    def _settling(self, key: UserKey, outcome: Outcome, flight: Flight | None = None) -> "asyncio.Task[Settled]":
        led, asked_at = (False, None) if flight is None else (flight.led, flight.asked_at)
        settling = asyncio.create_task(self._lists.settle(key, outcome, led=led, asked_at=asked_at))
        self._keep_until_done(settling)
        return settling

    def _keep_until_done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _landing() -> asyncio.Future[Outcome]:
    return asyncio.get_running_loop().create_future()
