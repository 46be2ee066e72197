"""A send in virtual time, by the rules that the service itself answers by.

The rooms that answer decide here too: slots by `SlotSchedule` and `RateWindow`, lanes and patience by
`lane_and_patience`, fallbacks by `Ladder`, repeated answers by `LocalPins`, refreshes by `RefreshQueue`. This module
only calls them: messages, transactions of a fixed duration, and the order in time.
"""

import heapq
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, cast

from service.budget.ports import Lane
from service.budget.schedule import SlotSchedule
from service.budget.slot_queue import RateWindow, held_back
from service.constants import ANSWER_MARGIN_SECONDS, MAX_REFRESHES, PIN_SECONDS, SPENT_SHARE
from service.errors import DegradedReason
from service.lists.envelope import Envelope, created_at, seal
from service.lists.freshness import Freshness
from service.lists.keys import UserKey
from service.lists.ladder import Ladder, NoPopularList
from service.lists.lists import LOOK_UP_SECONDS
from service.lists.pins import LocalPins
from service.lists.ports import Outcome
from service.models import ItemList, Source
from service.personalize.refresher import RefreshQueue
from service.personalize.transactions import FIRST_LATENCY_SECONDS, lane_and_patience, usual_latency
from service.sends.plan.send import MINUTE_SECONDS, Send

EXACT_RECIPIENTS: Final = 1_000_000
"""Largest send that is simulated message by message."""

MAX_BINS: Final = 120
"""Parts into which the course of a send is cut at most."""

BIN_SECONDS: Final = 2.0
"""Shortest part: in a shorter one a slot more or less looks like a change of the rate."""

SOURCES: Final[tuple[Source, ...]] = ("personalize", "cache", "stale", "batch", "popular")
"""What can be shown, best first; `empty` needs an empty catalogue."""

_MIN_WAIT_SECONDS: Final = 0.001


@dataclass(slots=True)
class Seen:
    """What came of a send; of a scaled one everything is scaled back up.

    Attributes:
        send: The send.
        scale: Recipients that each simulated one stands for; 1: exact.
        recipients: By the source of their first call.
        calls: By source.
        transactions: Begun from the first message until the last one is answered and the minutes are over.
        refreshes: Those among them that nobody waited for.
        refreshes_after: Lists still in the queue then; each costs a transaction more.
        most_wait_seconds: Longest wait for a slot that was got.
        series: Recipients by source, in equal parts of the send.
        transaction_series: Transactions in the same parts; those after the last message are in none.
    """

    send: Send
    scale: float
    recipients: Counter[Source] = field(default_factory=Counter)
    calls: Counter[Source] = field(default_factory=Counter)
    transactions: int = 0
    refreshes: int = 0
    refreshes_after: int = 0
    most_wait_seconds: float = 0.0
    series: dict[Source, list[int]] = field(default_factory=dict)
    transaction_series: list[int] = field(default_factory=list)

    def share(self, source: Source) -> float:
        """Of the recipients."""
        return self.recipients[source] / self.recipients.total()

    def share_of_calls(self, source: Source) -> float:
        """Of all calls."""
        return self.calls[source] / self.calls.total()


def simulate(send: Send, *, at_most: int = EXACT_RECIPIENTS, seed: int = 0, tps: float | None = None) -> Seen:
    """Run a send.

    Args:
        send: What is sent.
        at_most: Recipients simulated one by one; a larger send is scaled down to them.
        seed: Of the order in which recipients with and without a list come.
        tps: Instead of the send's; may exceed what Personalize allows.
    """
    scale = max(1.0, send.recipients / at_most)
    if scale == 1.0:
        return Simulation(send, 1.0, seed, tps).run()
    short = replace(
        send,
        recipients=at_most,
        minutes=send.minutes / scale,
    )
    seen = Simulation(short, scale, seed, tps).run()
    return _scaled_up(seen, send, scale)


def _scaled_up(seen: Seen, send: Send, scale: float) -> Seen:
    def up(count: int) -> int:
        return round(count * scale)

    return Seen(
        send=send,
        scale=scale,
        recipients=_to_total(seen.recipients, send.recipients),
        calls=_to_total(seen.calls, send.recipients * send.passes),
        transactions=up(seen.transactions),
        refreshes=up(seen.refreshes),
        refreshes_after=min(MAX_REFRESHES, up(seen.refreshes_after)),
        most_wait_seconds=seen.most_wait_seconds,
        series={source: [up(one) for one in counts] for source, counts in seen.series.items()},
        transaction_series=[up(one) for one in seen.transaction_series],
    )


def _to_total(counts: Counter[Source], total: int) -> Counter[Source]:
    """The counts scaled so that they add up to the total; the largest takes what rounding leaves."""
    scaled = Counter({source: count * total // counts.total() for source, count in counts.items()})
    scaled[max(scaled, key=scaled.__getitem__)] += total - scaled.total()
    return scaled


@dataclass(slots=True)
class Recipient:
    """Who is sent to.

    Attributes:
        number: Place in the send.
        known: The list kept for them.
        made_ahead: Their list of the batch.
        asked_at: When their message goes out.
        passes_left: Calls to come.
    """

    number: int
    known: Envelope | None
    made_ahead: Envelope | None
    asked_at: float
    passes_left: int


@dataclass(slots=True)
class _Flight:
    recipient: Recipient
    has_list: bool
    calls: list[tuple[float, bool, int]]
    """Who waits: when they asked, whether it is the recipient's first call, how many at once."""


class _Clock:
    """`Clock` whose time is set; both clocks are the same."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


_FRESH, _STALE, _NONE = range(3)
_CALL, _BEGIN, _LAND, _REFRESH = range(4)


class Simulation:
    """One run; `run` is called once."""

    def __init__(self, send: Send, scale: float = 1.0, seed: int = 0, tps: float | None = None) -> None:
        self._send = send
        self._clock = _Clock()
        self._freshness = Freshness(send.fresh_seconds, send.stale_seconds)
        self._schedule = SlotSchedule((tps or send.tps) * SPENT_SHARE)
        self._rate_window = RateWindow()
        self._ladder = Ladder(NoPopularList())
        self._pins = LocalPins(PIN_SECONDS, self._clock)
        self._queue = RefreshQueue[int, Recipient]()
        self._refresher_waits = False
        self._latency = FIRST_LATENCY_SECONDS
        self._in_line: deque[tuple[_Flight, float]] = deque()
        self._open: dict[int, _Flight] = {}
        self._events: list[tuple[float, int, int, object]] = []
        self._pushed = 0
        self._random = random.Random(seed)  # noqa: S311  # an order, not a secret
        self._scale = scale
        bins = self._bins = max(1, min(MAX_BINS, int(send.seconds / BIN_SECONDS)))
        self._seen = Seen(send, 1.0, series={one: [0] * bins for one in SOURCES}, transaction_series=[0] * bins)
        self._sending = True
        self._calls_to_come = 0

    def run(self) -> Seen:
        """The whole send, and what it leaves behind."""
        clock, events = self._clock, self._events
        for recipient in self.recipients():
            now = recipient.asked_at
            while events and events[0][0] <= now:
                self._next_event()
            clock.now = now
            self._ask(recipient, first=True)
        self._sending = False
        while events:
            self._next_event()
        return self._seen

    def recipients(self) -> Iterator[Recipient]:
        """Who is sent to, in order; seconds count from the first message."""
        send = self._send
        draws = _exact_shares(self._random, send.recipients, send.cached, send.stale)
        ahead = _exact_shares(self._random, send.recipients, send.batch, 0.0)
        period = send.seconds / max(1, round(send.seconds / MINUTE_SECONDS)) if self._scale > 1 else MINUTE_SECONDS
        lists = self._lists_before(0.0)
        for number, (kind, in_batch) in enumerate(zip(draws, ahead, strict=True)):
            even = number / send.rate
            at = _moment(even, send.peak, period)
            if self._scale > 1:
                # In the send as it is, this message goes out that much later, when the lists are that much older.
                lists = self._lists_before(at - even * self._scale)
            fresh, stale, batch = lists
            known = fresh if kind == _FRESH else stale if kind == _STALE else None
            yield Recipient(number, known, batch if in_batch == _FRESH else None, at, send.passes)

    def _lists_before(self, start: float) -> tuple[Envelope, Envelope, Envelope]:
        """A fresh, a stale and a batch list as they are at the start.

        The stale one has only just ceased to be fresh; the batch's is older than the fresh one in any case.
        """
        send = self._send
        stale_at = start - send.fresh_seconds - 1.0
        batch_at = stale_at - 0.5 if send.stale_newer else stale_at + 0.5
        return _list_of(start - send.cached_age_seconds), _list_of(stale_at), _list_of(batch_at)

    def _push(self, at: float, kind: int, what: object = None) -> None:
        self._pushed += 1
        heapq.heappush(self._events, (at, self._pushed, kind, what))

    def _next_event(self) -> None:
        self._clock.now, _, kind, what = heapq.heappop(self._events)
        if kind == _CALL:
            self._calls_to_come -= 1
            self._ask(cast("Recipient", what), first=False)
        elif kind == _BEGIN:
            self._begin()
        elif kind == _LAND:
            self._land(cast("_Flight", what))
        else:
            self._refresh()

    def _ask(self, recipient: Recipient, *, first: bool) -> None:
        """One call, or all of a recipient's if they come at once: those share a flight, or its outcome."""
        now = self._clock.now
        gap = self._send.gap_seconds
        calls = 1 if gap else recipient.passes_left
        recipient.passes_left -= calls
        if recipient.passes_left:
            self._calls_to_come += 1
            self._push(now + gap, _CALL, recipient)
        pinned = None if first else self._pins.get(_key(recipient.number))
        known = self._usable(recipient.known)
        if pinned is not None:
            self._answered(pinned, now, first=first, calls=calls)
        elif known is not None and self._freshness.fresh(created_at(known), now):
            self._answered(Outcome(known, "cache"), now, first=first, calls=calls)
        elif recipient.number in self._open:
            self._open[recipient.number].calls.append((now, first, calls))
        else:
            self._fly(_Flight(recipient, known is not None, [(now, first, calls)]), known)

    def _usable(self, envelope: Envelope | None) -> Envelope | None:
        if envelope is None or not self._freshness.usable(created_at(envelope), self._clock.now):
            return None
        return envelope

    def _fly(self, flight: _Flight, known: Envelope | None) -> None:
        now = self._clock.now
        lane, until = lane_and_patience(
            has_list=flight.has_list, began=now, deadline=now + self._patience, latency_seconds=self._latency
        )
        if lane is Lane.NO_LIST:
            got = self._get_in_line(flight, until)
        else:
            got = self._slot_at_once(lane)
            if got:
                self._start(flight)
        if got:
            self._open[flight.recipient.number] = flight
            return
        if known is not None and self._queue.add(flight.recipient.number, flight.recipient):
            self._wake_refresher()
        self._step_down(flight, known, "budget")

    @property
    def _patience(self) -> float:
        """How long a caller waits for a live list."""
        return self._send.deadline_seconds - ANSWER_MARGIN_SECONDS - LOOK_UP_SECONDS

    def _get_in_line(self, flight: _Flight, until: float) -> bool:
        now = self._clock.now
        reservation = self._schedule.reserve(Lane.NO_LIST, until - now, now)
        if not reservation.granted:
            return False
        wait = max(reservation.wait_seconds, self._crowded_seconds())
        if wait <= 0 and not self._in_line:
            self._start(flight)
        else:
            self._in_line.append((flight, now))
            self._push(now + wait, _BEGIN)
        return True

    def _slot_at_once(self, lane: Lane) -> bool:
        if held_back(lane, len(self._in_line), 0) or self._crowded_seconds():
            return False
        return self._schedule.reserve(lane, 0.0, self._clock.now).granted

    def _crowded_seconds(self) -> float:
        return self._rate_window.crowded_seconds(1.0 / self._schedule.rate(self._clock.now), self._clock.now)

    def _begin(self) -> None:
        crowded = self._crowded_seconds()
        if crowded:
            self._push(self._clock.now + crowded, _BEGIN)
            return
        flight, since = self._in_line.popleft()
        self._seen.most_wait_seconds = max(self._seen.most_wait_seconds, self._clock.now - since)
        self._start(flight)

    def _start(self, flight: _Flight) -> None:
        now = self._clock.now
        self._rate_window.add(now)
        self._seen.transactions += 1
        if now <= self._send.seconds:
            self._seen.transaction_series[self._bin(now)] += 1
        self._push(now + self._send.latency_seconds, _LAND, flight)

    def _land(self, flight: _Flight) -> None:
        now = self._clock.now
        recipient = flight.recipient
        self._latency = usual_latency(self._latency, self._send.latency_seconds)
        del self._open[recipient.number]
        late = [call for call in flight.calls if now > call[0] + self._patience]
        if late:
            self._step_down(_Flight(recipient, flight.has_list, late), self._usable(recipient.known), "timeout")
        recipient.known = _list_of(now)
        outcome = Outcome(recipient.known, "personalize")
        for asked_at, first, calls in flight.calls:
            if now <= asked_at + self._patience:
                self._answered(outcome, asked_at, first=first, calls=calls)

    def _step_down(self, flight: _Flight, known: Envelope | None, reason: DegradedReason) -> None:
        outcome = self._ladder.step_down(known, reason, self._usable(flight.recipient.made_ahead))
        if flight.recipient.passes_left:
            self._pins.put(_key(flight.recipient.number), outcome)
        for asked_at, first, calls in flight.calls:
            self._answered(outcome, asked_at, first=first, calls=calls)

    def _answered(self, outcome: Outcome, asked_at: float, *, first: bool, calls: int) -> None:
        source = cast("Source", outcome.source)
        seen = self._seen
        seen.calls[source] += calls
        if first:
            seen.recipients[source] += 1
            seen.series[source][self._bin(asked_at)] += 1

    def _bin(self, at: float) -> int:
        return min(self._bins - 1, int(at / self._send.seconds * self._bins))

    def _wake_refresher(self) -> None:
        if not self._refresher_waits:
            self._refresher_waits = True
            self._push(self._clock.now, _REFRESH)

    def _refresh(self) -> None:
        """The worker of `Refresher` looks for a slot, and again when there can be one."""
        now = self._clock.now
        if not self._queue:
            self._refresher_waits = False
            return
        if not self._sending and now >= self._send.seconds and not self._anybody_waits():
            self._seen.refreshes_after = len(self._queue)
            return
        wait = self._crowded_seconds() or 1.0 / self._schedule.rate(now)
        if not held_back(Lane.STALE, len(self._in_line), 0) and not self._crowded_seconds():
            reservation = self._schedule.reserve(Lane.STALE, 0.0, now)
            wait = reservation.wait_seconds
            if reservation.granted:
                self._refresh_next()
        self._push(now + max(wait, _MIN_WAIT_SECONDS), _REFRESH)

    def _anybody_waits(self) -> bool:
        return self._calls_to_come > 0 or any(flight.calls for flight in self._open.values())

    def _refresh_next(self) -> None:
        """The slot is ours; it is lost if the list was fetched in the meantime."""
        number, recipient = self._queue.take()
        known = self._usable(recipient.known)
        if number in self._open or (known is not None and self._freshness.fresh(created_at(known), self._clock.now)):
            self._rate_window.add(self._clock.now)
            return
        flight = self._open[number] = _Flight(recipient, has_list=known is not None, calls=[])
        self._seen.refreshes += 1
        self._start(flight)


def _exact_shares(chance: random.Random, count: int, first: float, second: float) -> Iterator[int]:
    """0, 1 or 2 for each, in random order: exactly the first share of all are 0, the second 1, the rest 2."""
    zeros = round(count * first)
    ones = min(round(count * second), count - zeros)
    for left in range(count, 0, -1):
        at = chance.random() * left
        if at < zeros:
            zeros -= 1
            yield _FRESH
        elif at < zeros + ones:
            ones -= 1
            yield _STALE
        else:
            yield _NONE


def _moment(even: float, peak: float, period: float) -> float:
    """When a message goes out that an even send would send then: a minute's messages in its first part."""
    within = even % period
    return even - within + within / peak


def _list_of(made_at: float) -> Envelope:
    return seal(ItemList((), "", made_at))


def _key(number: int) -> UserKey:
    return UserKey(number.to_bytes(8, "big"))
