"""Sends kept events on to Personalize: at its own rate, again after a failure, once each.

waiting ──► claimed ──► sent
   ▲           │
   └── again ──┤  Personalize failed or refused the rate: wait, then claim again
               └──► aside  Personalize never will take it; `events retry` lets it wait again
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog

from service.budget.budget import Budget
from service.budget.ports import Lane
from service.clock import Clock
from service.errors import BudgetExhausted, RecommenderError, RecommenderRefused, SharedStateUnavailable
from service.events.intake import EventRecorder
from service.events.ports import EventStore, EventTaker, Waiting

MAX_A_CALL: Final = 10
"""Events of one PutEvents call, all of one user and session. Source: Personalize API reference, PutEvents."""

CLAIMED_AT_ONCE: Final = 100
IDLE_SECONDS: Final = 0.5
MIN_BACKOFF_SECONDS: Final = 1.0
MAX_BACKOFF_SECONDS: Final = 60.0
SLOT_PATIENCE_SECONDS: Final = 5.0

MAX_ATTEMPTS_REFUSED: Final = 3
"""A refusal may be of rights that are granted a moment later; after so many an event is put aside."""

_log = structlog.stdlib.get_logger(__name__)


class Outbox:
    """One worker for each replica.

    Args:
        store: Where events wait.
        taker: Who gets them.
        budget: Calls per second, of all replicas together.
        clock: Deadlines are points on its monotonic time.
        recorder: Counts.
    """

    def __init__(
        self, store: EventStore, *, taker: EventTaker, budget: Budget, clock: Clock, recorder: EventRecorder
    ) -> None:
        self._store = store
        self._taker = taker
        self._budget = budget
        self._clock = clock
        self._recorder = recorder
        self._filled = asyncio.Event()
        self._failing = False

    def wake(self) -> None:
        """Something was accepted here: look at once."""
        self._filled.set()

    async def run(self) -> None:
        """Send until it is cancelled; what was not sent then waits in the store."""
        while True:
            self._filled.clear()
            try:
                claimed = await self._store.claim(CLAIMED_AT_ONCE)
                for call in calls_of(claimed):
                    await self._send(call)
            except SharedStateUnavailable:
                claimed = []
            except Exception:  # noqa: BLE001  # a bug of ours: what waits stays, the log gets the traceback
                _log.exception("events_outbox_failed")
                claimed = []
            if not claimed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS):
                        await self._filled.wait()

    async def _send(self, call: Sequence[Waiting]) -> None:
        first = call[0].event
        numbers = [one.number for one in call]
        attempts = max(one.attempts for one in call)
        try:
            await self._budget.acquire(Lane.NO_LIST, self._clock.monotonic() + SLOT_PATIENCE_SECONDS)
            await self._taker.put(first.user_id, first.session_id, [one.event for one in call])
        except BudgetExhausted:
            await self._store.again(numbers, MIN_BACKOFF_SECONDS)
        except RecommenderRefused as error:
            await self._refused(call, attempts, error)
        except RecommenderError as error:
            if error.reason == "throttled":
                await self._budget.throttled()
            self._say(error)
            backoff = min(MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS * 2 ** min(attempts, 6))
            await self._store.again(numbers, backoff)
        else:
            if self._failing:
                self._failing = False
                _log.info("events_sent_again")
            await self._store.done(numbers)
            self._recorder.events("sent", len(numbers))

    async def _refused(self, call: Sequence[Waiting], attempts: int, error: RecommenderError) -> None:
        self._say(error)
        if attempts < MAX_ATTEMPTS_REFUSED:
            await self._store.again([one.number for one in call], MIN_BACKOFF_SECONDS * 2**attempts)
            return
        if len(call) > 1:
            # One of them may be what Personalize refuses: send each by itself.
            for one in call:
                await self._send([one])
            return
        await self._store.aside(call[0].number, str(error).partition(":")[0])
        self._recorder.events("aside", 1)

    def _say(self, error: RecommenderError) -> None:
        if not self._failing:
            self._failing = True
            # Amazon's sentence may quote an event.
            _log.warning("events_not_sent", reason=error.reason, problem=str(error).partition(":")[0])


def calls_of(waiting: Sequence[Waiting]) -> list[list[Waiting]]:
    """The events by user and session, at most `MAX_A_CALL` in a call, each user's in order."""
    by_session: dict[tuple[str, str], list[list[Waiting]]] = {}
    for one in waiting:
        calls = by_session.setdefault((one.event.user_id, one.event.session_id), [[]])
        if len(calls[-1]) == MAX_A_CALL:
            calls.append([])
        calls[-1].append(one)
    return [call for calls in by_session.values() for call in calls]
