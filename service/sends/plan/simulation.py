"""A send in virtual time, by the rules that the service itself answers by.

The rooms that answer decide here too: slots by `SlotSchedule` and `RateWindow`, lanes and patience by
`lane_and_patience`, fallbacks by `Ladder`, repeated answers by `LocalPins`, refreshes by `RefreshQueue`. This module
only calls them: messages, transactions of a fixed duration, and the order in time.

A send of more than `MAX_EXACT_RECIPIENTS` is cut to that many by time: the same messages a second at the same TPS for
a shorter while, in which the lists that were there before age faster. Deadlines, pins and a minute's bursts keep their
length, since it is against the rate that they matter.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from service.budget.ports import Lane
from service.constants import PIN_SECONDS, SPENT_SHARE
from service.errors import DegradedReason
from service.lists.envelope import Envelope, created_at
from service.lists.freshness import Freshness
from service.lists.keys import UserKey
from service.lists.ladder import Ladder, NoPopularList
from service.lists.pins import LocalPins
from service.lists.ports import Outcome
from service.personalize.refresher import RefreshQueue
from service.personalize.transactions import FIRST_LATENCY_SECONDS, lane_and_patience, patience_seconds, usual_latency
from service.sends.plan.course import Course
from service.sends.plan.recipients import KeptList, Recipient, list_made_at, recipients_of
from service.sends.plan.send import Send
from service.sends.plan.slots import SimulatedSlots
from service.sends.plan.timeline import Timeline

MAX_EXACT_RECIPIENTS: Final = 1_000_000
"""Largest send that is simulated message by message."""

RECIPIENTS_A_STEP: Final = 2_000
"""Recipients between two signs of progress: some hundredths of a second."""

_MIN_WAIT_SECONDS: Final = 0.001

_MAX_CLAIMS: Final = 32
"""Slots reserved at a time: more than the lead holds at the highest TPS."""


def simulate(
    send: Send,
    *,
    at_most: int = MAX_EXACT_RECIPIENTS,
    seed: int = 0,
    tps: float | None = None,
    on_recipients: Callable[[int], None] = lambda _: None,
) -> Course:
    """Run a send.

    Args:
        send: What is sent.
        at_most: Recipients simulated one by one; a larger send is scaled down to them.
        seed: Of the order in which recipients with and without a list come.
        tps: Instead of the send's; may exceed what Personalize allows.
        on_recipients: Called now and then with how many recipients have been simulated since.
    """
    scale = max(1.0, send.recipients / at_most)
    if scale == 1.0:
        return Simulation(send, 1.0, seed, tps).run(on_recipients)
    items = max(1, round(send.items / scale)) if send.items else 0
    short = replace(send, recipients=at_most, minutes=send.minutes / scale, items=items)
    return Simulation(short, scale, seed, tps).run(on_recipients).scaled_up(send, scale)


@dataclass(slots=True)
class _Flight:
    recipient: Recipient
    has_list: bool
    calls: list[tuple[float, bool, int]]
    """Who waits: when they asked, whether it is the recipient's first call, how many at once."""


class Simulation:
    """One run; `run` is called once."""

    def __init__(self, send: Send, scale: float = 1.0, seed: int = 0, tps: float | None = None) -> None:
        self._send = send
        self._timeline = Timeline()
        self._slots = SimulatedSlots((tps or send.tps) * SPENT_SHARE, self._timeline)
        self._freshness = Freshness(send.fresh_seconds, send.stale_seconds)
        self._ladder = Ladder(NoPopularList())
        self._pins = LocalPins(PIN_SECONDS, self._timeline)
        self._refreshes = RefreshQueue[int, Recipient]()
        self._course = Course.of(send)
        self._recipients = recipients_of(send, scale=scale, seed=seed)
        self._open: dict[int, _Flight] = {}
        self._patience_seconds = patience_seconds(send.deadline_seconds)
        self._latency_seconds = FIRST_LATENCY_SECONDS
        self._refresher_waits = False
        self._sending = True
        self._calls_to_come = 0

    def run(self, on_recipients: Callable[[int], None] = lambda _: None) -> Course:
        """The whole send, and what it leaves behind."""
        for recipient in self._recipients:
            self._timeline.advance_to(recipient.asked_at)
            self._ask(recipient, first=True)
            if recipient.number % RECIPIENTS_A_STEP == RECIPIENTS_A_STEP - 1:
                on_recipients(RECIPIENTS_A_STEP)
        self._sending = False
        self._timeline.finish()
        self._course.longest_wait_seconds = self._slots.longest_wait_seconds
        return self._course

    def _ask(self, recipient: Recipient, *, first: bool) -> None:
        """One call, or all of a recipient's if they come at once: those share a flight, or its outcome."""
        now = self._timeline.now
        gap = recipient.gap_seconds
        calls = 1 if gap else recipient.passes_left
        recipient.passes_left -= calls
        if recipient.passes_left:
            self._calls_to_come += 1
            self._timeline.call_at(now + gap, partial(self._ask_again, recipient))
        own = recipient.list
        # Nobody has asked for a user's list before; for an item's others may have.
        pinned = None if first and not self._send.items else self._pins.get(_key(own))
        kept = self._usable(own.kept)
        if pinned is not None:
            self._course.answered(pinned, now, first=first, calls=calls)
        elif kept is not None and self._is_fresh(own, kept):
            self._course.answered(Outcome(kept, "cache"), now, first=first, calls=calls)
        elif own.number in self._open:
            self._open[own.number].calls.append((now, first, calls))
        else:
            self._fly(_Flight(recipient, kept is not None, [(now, first, calls)]), kept)

    def _ask_again(self, recipient: Recipient) -> None:
        self._calls_to_come -= 1
        self._ask(recipient, first=False)

    def _is_fresh(self, own: KeptList, kept: Envelope) -> bool:
        return not own.is_due and self._freshness.fresh(created_at(kept), self._timeline.now)

    def _usable(self, envelope: Envelope | None) -> Envelope | None:
        if envelope is None or not self._freshness.usable(created_at(envelope), self._timeline.now):
            return None
        return envelope

    def _fly(self, flight: _Flight, kept: Envelope | None) -> None:
        now = self._timeline.now
        start = partial(self._start, flight)
        lane, until = lane_and_patience(
            has_list=flight.has_list,
            began=now,
            deadline=now + self._patience_seconds,
            latency_seconds=self._latency_seconds,
        )
        has_slot = self._slots.wait(until, start) if lane is Lane.NO_LIST else self._slots.ask(lane, [start])[0] > 0
        if has_slot:
            self._open[flight.recipient.list.number] = flight
            return
        if kept is not None and self._refreshes.add(flight.recipient.list.number, flight.recipient):
            self._wake_refresher()
        self._step_down(flight, kept, "budget")

    def _start(self, flight: _Flight) -> None:
        now = self._timeline.now
        self._slots.use()
        self._course.transaction(now)
        self._timeline.call_at(now + self._send.latency_seconds, partial(self._land, flight))

    def _land(self, flight: _Flight) -> None:
        now = self._timeline.now
        recipient, own = flight.recipient, flight.recipient.list
        self._latency_seconds = usual_latency(self._latency_seconds, self._send.latency_seconds)
        del self._open[own.number]
        late = [call for call in flight.calls if now > call[0] + self._patience_seconds]
        if late:
            self._step_down(_Flight(recipient, flight.has_list, late), self._usable(own.kept), "timeout")
        own.kept, own.is_due = list_made_at(now), False
        outcome = Outcome(own.kept, "personalize")
        for asked_at, first, calls in flight.calls:
            if now <= asked_at + self._patience_seconds:
                self._course.answered(outcome, asked_at, first=first, calls=calls)

    def _step_down(self, flight: _Flight, kept: Envelope | None, reason: DegradedReason) -> None:
        recipient = flight.recipient
        outcome = self._ladder.step_down(kept, reason, self._usable(recipient.list.batch))
        if recipient.passes_left or self._send.items:
            self._pins.put(_key(recipient.list), outcome)
        for asked_at, first, calls in flight.calls:
            self._course.answered(outcome, asked_at, first=first, calls=calls)

    def _wake_refresher(self) -> None:
        if not self._refresher_waits:
            self._refresher_waits = True
            self._timeline.call_at(self._timeline.now, self._refresh)

    def _refresh(self) -> None:
        """The worker of `Refresher` looks for a slot, and again when there can be one."""
        now = self._timeline.now
        if not self._refreshes:
            self._refresher_waits = False
            return
        if not self._sending and now >= self._send.seconds and not self._anybody_waits():
            self._course.refreshes_after = len(self._refreshes)
            return
        claims = [self._refresh_next] * min(len(self._refreshes), _MAX_CLAIMS)
        _, pause = self._slots.ask(Lane.STALE, claims)
        self._timeline.call_at(now + max(pause, _MIN_WAIT_SECONDS), self._refresh)

    def _anybody_waits(self) -> bool:
        return self._calls_to_come > 0 or any(flight.calls for flight in self._open.values())

    def _refresh_next(self) -> None:
        """Use a slot; it is lost if the list was fetched in the meantime."""
        if not self._refreshes:
            return
        number, recipient = self._refreshes.take()
        kept = self._usable(recipient.list.kept)
        if number in self._open or (kept is not None and self._is_fresh(recipient.list, kept)):
            self._slots.use()
            return
        flight = self._open[number] = _Flight(recipient, has_list=kept is not None, calls=[])
        self._course.refreshes += 1
        self._start(flight)


def _key(own: KeptList) -> UserKey:
    return UserKey(own.number.to_bytes(8, "big"))
