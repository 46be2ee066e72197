"""Sends kept events on to Personalize: at its own rate, again after a failure, once each.

waiting ──► claimed ──► sent
   ▲           │
   └── again ──┤  Personalize failed or refused the rate: wait, then claim again
               └──► aside  Personalize never will take it; `events retry` lets it wait again

A process that dies between Personalize's answer and the note of it leaves an event that is sent a second time, with
the same `eventId`. Personalize uses one of the two.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, Self

import structlog

from service.budget.budget import Budget
from service.budget.ports import Lane
from service.clock import Clock
from service.errors import BudgetExhausted, RecommenderError, RecommenderRefused, SharedStateUnavailable
from service.events.event import MAX_IMPRESSION, Event
from service.events.intake import EventRecorder
from service.events.ports import CLAIM_SECONDS, EventStore, EventTaker, Impressions, Waiting
from service.events.traits import USER_TRAITS

MAX_A_CALL: Final = 10
"""Events of one PutEvents call, all of one user and session. Source: Personalize API reference, PutEvents."""

MAX_CLAIMED: Final = 500
"""Events claimed at once, so that those of a user meet in one call."""

CLAIMED_FOR_SECONDS: Final = 4.0
"""A claim is as many events as have a slot each within this time."""

LAST_START_SECONDS: Final = CLAIM_SECONDS / 3
"""No call begins later after its claim, so that it has ended before the claim lapses."""

IDLE_SECONDS: Final = 0.5
MIN_PAUSE_SECONDS: Final = 0.5
MAX_PAUSE_SECONDS: Final = 10.0
"""After a round in which Personalize failed; twice as long after each further one."""

SLOT_PATIENCE_SECONDS: Final = 5.0

MAX_ASKING: Final = 4
"""Calls that ask for their slots at a time. All of a claim at once would be a burst on Redis and on the event loop."""

MAX_CALLS: Final = 50
"""Calls under way at a time; enough for Amazon's 1,000 a second if each takes 50 ms."""

LAST_CALLS_SECONDS: Final = 3.0
"""A replica that ends lets its calls in flight end, too: what it cannot note as sent is sent twice."""

MAX_REFUSALS: Final = 3
"""Of one event by itself, before it is put aside."""

MAX_REMEMBERED: Final = 10_000
"""Refused events whose refusals are counted."""

LOGGED_EVERY_SECONDS: Final = 60.0
"""Events put aside for one reason get a line in the log this often: a wrong tracking id is the fault of each event."""

_log = structlog.stdlib.get_logger(__name__)


class Outbox:
    """One worker for each replica; a context manager, and it works within.

    Args:
        store: Where events wait.
        taker: Who gets them.
        budget: Calls per second, of all replicas together.
        clock: Deadlines are points on its monotonic time.
        recorder: Counts.
        impressions: Knows what users were shown; None: nobody does.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        taker: EventTaker,
        budget: Budget,
        clock: Clock,
        recorder: EventRecorder,
        impressions: Impressions | None = None,
    ) -> None:
        self._store = store
        self._taker = taker
        self._budget = budget
        self._clock = clock
        self._recorder = recorder
        self._impressions = impressions
        self._filled = asyncio.Event()
        self._refusals: OrderedDict[str, int] = OrderedDict()
        self._logged_at: dict[str, float] = {}
        self._pause_seconds = 0.0
        self._asking = asyncio.Semaphore(MAX_ASKING)
        # Of the round that is under way.
        self._failed: bool
        self._succeeded: bool
        self._last_start: float
        self._closing = False
        self._work: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._work = asyncio.create_task(self._run(), name="events-outbox")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let the calls in flight end; what was not sent waits in the store."""
        self._closing = True
        self._filled.set()
        work = self._work
        if work is not None:
            await asyncio.wait({work}, timeout=LAST_CALLS_SECONDS)
            while not work.done():
                work.cancel()
                await asyncio.wait({work}, timeout=IDLE_SECONDS)

    def wake(self) -> None:
        """Something was accepted here: look at once."""
        self._filled.set()

    async def _run(self) -> None:
        while not self._closing:
            self._filled.clear()
            try:
                sent = await self._round()
            except SharedStateUnavailable:
                sent = False
            except Exception:  # noqa: BLE001  # a bug of ours: what waits stays, the log gets the traceback
                _log.exception("events_outbox_failed")
                sent = False
            if self._pause_seconds and not self._closing:
                await asyncio.sleep(self._pause_seconds)
            elif not sent and not self._closing:
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS):
                        await self._filled.wait()

    async def _round(self) -> bool:
        """Claim what waits and send it; whether any of it came to Personalize, which may have refused it."""
        most = max(MAX_A_CALL, min(MAX_CLAIMED, int(self._budget.tps_in_use * CLAIMED_FOR_SECONDS)))
        claimed = await self._store.claim(most)
        self._last_start = self._clock.monotonic() + LAST_START_SECONDS
        self._failed = self._succeeded = False
        sessions = iter(by_session(claimed))
        await asyncio.gather(*(self._send_sessions(sessions) for _ in range(min(MAX_CALLS, len(claimed)))))
        if self._succeeded:
            if self._pause_seconds:
                _log.info("events_sent_again")
            self._pause_seconds = 0.0
        elif self._failed:
            self._pause_seconds = min(MAX_PAUSE_SECONDS, max(MIN_PAUSE_SECONDS, 2 * self._pause_seconds))
        # Not whether there was anything: what gets no slot waits for the next look, or it would be claimed in a circle.
        return self._succeeded

    async def _send_sessions(self, sessions: Iterator[Sequence[Waiting]]) -> None:
        """Send one session after another, as others do of the same sessions, until there is none left."""
        for waiting in sessions:
            await self._send_all(waiting)

    async def _send_all(self, waiting: Sequence[Waiting]) -> None:
        """Send the events of one session in order; what has no time left, or comes after a failure, waits again."""
        for first in range(0, len(waiting), MAX_A_CALL):
            if self._has_no_time():
                await self._again(waiting[first:], 0.0)
                return
            if not await self._send(waiting[first : first + MAX_A_CALL]):
                await self._again(waiting[first + MAX_A_CALL :], MIN_PAUSE_SECONDS)
                return

    async def _send(self, call: Sequence[Waiting]) -> bool:
        """Whether Personalize looked at the call; what it refused is seen to."""
        first = call[0].event
        events = [await self._with_impression(one.event) for one in call]
        try:
            await self._slot()
            await self._taker.put(first.user_id, first.session_id, events)
        except BudgetExhausted:
            await self._again(call, 0.0)
            return False
        except RecommenderRefused as error:
            self._succeeded = True
            await self._refused(call, error)
            return True
        except RecommenderError as error:
            if error.reason == "throttled":
                await self._budget.throttled()
            self._say(error)
            self._failed = True
            await self._again(call, MIN_PAUSE_SECONDS)
            return False
        self._succeeded = True
        await self._store.done([one.number for one in call])
        self._recorder.events("sent", len(call))
        return True

    async def _refused(self, call: Sequence[Waiting], error: RecommenderError) -> None:
        if len(call) > 1:
            # One of them is what Personalize refuses: send each by itself.
            for one in call:
                await self._send([one])
            return
        number = call[0].number
        refusals = self._refusals[number] = self._refusals.pop(number, 0) + 1
        if refusals < MAX_REFUSALS:
            while len(self._refusals) > MAX_REMEMBERED:
                self._refusals.popitem(last=False)
            await self._again(call, MIN_PAUSE_SECONDS * 2**refusals)
            return
        del self._refusals[number]
        # Amazon's sentence may quote an event.
        problem = str(error).partition(":")[0]
        now = self._clock.monotonic()
        if now - self._logged_at.get(problem, -LOGGED_EVERY_SECONDS) >= LOGGED_EVERY_SECONDS:
            # Problems are names of errors with a status, so there are few.
            self._logged_at[problem] = now
            _log.warning("event_put_aside", problem=problem)
        await self._store.aside(number, problem)
        self._recorder.events("aside", 1)

    async def _with_impression(self, event: Event) -> Event:
        """The event with what its user was shown, if it names a list and the sender did not say what was shown."""
        if self._impressions is None or not event.recommendation_id or event.impression:
            return event
        shown = await self._impressions.shown_with(event.owner, event.recommendation_id, event.item_id)
        first = tuple(shown[:MAX_IMPRESSION])
        # Of more than Amazon takes, the first ones; but not without the item of the event.
        if len(shown) > MAX_IMPRESSION and event.item_id not in first:
            return event
        return replace(event, impression=first)

    async def _slot(self) -> None:
        async with self._asking:
            if self._has_no_time():
                raise BudgetExhausted
            await self._budget.acquire(Lane.NO_LIST, self._clock.monotonic() + SLOT_PATIENCE_SECONDS)

    def _has_no_time(self) -> bool:
        return self._closing or self._clock.monotonic() > self._last_start

    async def _again(self, waiting: Iterable[Waiting], after_seconds: float) -> None:
        numbers = [one.number for one in waiting]
        if numbers:
            await self._store.again(numbers, after_seconds)

    def _say(self, error: RecommenderError) -> None:
        if not self._failed and not self._pause_seconds:
            _log.warning("events_not_sent", reason=error.reason, problem=str(error).partition(":")[0])


def by_session(waiting: Sequence[Waiting]) -> list[list[Waiting]]:
    """The events of each user and session, in order; PutEvents takes those of one in a call."""
    found: dict[tuple[str, str], list[Waiting]] = {}
    for one in waiting:
        # PutUsers takes several users in a call.
        user_id = "" if one.event.event_type == USER_TRAITS else one.event.user_id
        found.setdefault((user_id, one.event.session_id), []).append(one)
    return list(found.values())
