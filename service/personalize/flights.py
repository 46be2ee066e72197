"""One transaction per user at a time, whoever asks and wherever.

A flight fetches one user's list. Callers of this process share it through a future; callers of other replicas
through `SharedLists`. A caller that gives up leaves the flight to the others; when the last one leaves before
a transaction was spent, the flight ends and its slot goes to the next. A transaction once spent is awaited
and its list kept, even if all who asked for it are gone.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from service.budget.ports import Lane, TpsGovernor
from service.budget.slot_queue import SlotQueue
from service.clock import Clock
from service.errors import (
    BudgetExhausted,
    DeadlineExceeded,
    Degraded,
    DegradedReason,
    RecommenderError,
    RecommenderRefused,
    RecommenderThrottled,
    RecommenderTimeout,
    SharedStateUnavailable,
)
from service.lists.envelope import created_at, readable, seal
from service.lists.ports import ABANDONED, BatchLists, LocalLists, Outcome, SharedLists
from service.models import ItemList, ListRequest
from service.personalize.breaker import Breaker
from service.personalize.ports import Recommender, Recorder

_log = logging.getLogger(__name__)

LOOK_UP_SECONDS = 0.05
"""Kept back from a caller's wait for a live list, so that there is time to look for one that a batch made. A look-up
takes a millisecond or two."""


@dataclass(frozen=True, slots=True)
class FlightPolicy:
    """Numbers that the flights live by."""

    fresh_seconds: float
    stale_seconds: float
    transaction_seconds: float
    """Longest wait for one transaction."""

    def fresh(self, made_at: float, now: float) -> bool:
        """Whether a list may be served without a transaction."""
        return now - made_at < self.fresh_seconds

    def usable(self, made_at: float, now: float) -> bool:
        """Whether a list may be served when no transaction can be had."""
        return now - made_at < self.stale_seconds

    def place_in_line(
        self, *, has_list: bool, began: float, deadline: float, latency_seconds: float
    ) -> tuple[Lane, float]:
        """The lane for a user's transaction, and until when a slot is of use."""
        if has_list:
            return Lane.STALE, began
        # Thrice the usual latency is left for the transaction, so that a slot is not spent in vain.
        return Lane.NO_LIST, deadline - min(max(0.2, 3 * latency_seconds), (deadline - began) / 2)


FIRST_LATENCY_SECONDS = 0.1
"""A transaction's usual latency before there was one."""


def usual_latency(so_far: float, took: float) -> float:
    """The usual latency after one more transaction."""
    return so_far + 0.1 * (took - so_far)


@dataclass(slots=True)
class _Flight:
    landed: asyncio.Future[Outcome]
    task: asyncio.Task[None] | None = None
    callers: int = 0
    spent: bool = False
    asked: bool = False
    """Personalize was asked; `spent` says already that a slot is taken for it."""
    prewarm: bool = False
    lost: bool = False
    """The list is kept in this process only, since the store could not take it."""
    slot_at: float | None = None
    timings: list[tuple[str, float]] = field(default_factory=list)


class Flights:
    """The flights of one replica."""

    def __init__(
        self,
        *,
        policy: FlightPolicy,
        clock: Clock,
        recommender: Recommender,
        slot_queue: SlotQueue,
        governor: TpsGovernor,
        breaker: Breaker,
        local: LocalLists,
        shared: SharedLists,
        recorder: Recorder,
        step_down: Callable[[bytes | None, DegradedReason, bytes | None], Outcome],
        on_degraded: Callable[[bytes, Outcome], None],
        on_list: Callable[[ItemList], None],
        on_stale: Callable[[bytes, ListRequest], None],
        batch: BatchLists | None = None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._recommender = recommender
        self._slot_queue = slot_queue
        self._governor = governor
        self._breaker = breaker
        self._local = local
        self._shared = shared
        self._recorder = recorder
        self._step_down = step_down
        self._on_degraded = on_degraded
        self._on_list = on_list
        self._on_stale = on_stale
        self._batch = batch
        self._open: dict[bytes, _Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._latency_seconds = FIRST_LATENCY_SECONDS

    def __len__(self) -> int:
        """Flights under way."""
        return len(self._open)

    async def outcome(
        self, key: bytes, request: ListRequest, known: bytes | None, deadline: float
    ) -> tuple[Outcome, list[tuple[str, float]]]:
        """The best list to be had for a user before the deadline, and the milliseconds that each wait took.

        Args:
            key: The user's key.
            request: What to ask Personalize.
            known: A list that is known already but not fresh.
            deadline: Point on the monotonic clock; `DeadlineExceeded` comes early enough to step down by then.

        Raises:
            DeadlineExceeded: The flight goes on without us.
        """
        if self._batch is not None:
            deadline -= LOOK_UP_SECONDS
        flight = self._open.get(key) or self._start(key, request, known, deadline)
        flight.callers += 1
        try:
            await asyncio.wait({flight.landed}, timeout=max(0.0, deadline - self._clock.monotonic()))
        finally:
            flight.callers -= 1
            if not flight.callers and not flight.spent and flight.task is not None and not flight.landed.done():
                # Whoever comes now starts a flight of its own rather than board one that is being ended.
                self._closed(key, flight)
                flight.task.cancel()
        if not flight.landed.done() or flight.landed.cancelled():
            raise DeadlineExceeded
        return flight.landed.result(), flight.timings

    async def refresh(self, key: bytes, request: ListRequest) -> None:
        """Renew a stale list in the background; the slot for it is ours already."""
        if key in self._open:
            return
        known = self._local.get(key)
        deadline = self._clock.monotonic() + self._policy.transaction_seconds
        flight = self._start(key, request, known, deadline, slot_at=self._clock.monotonic())
        await asyncio.wait({flight.landed})

    async def prewarm(self, key: bytes, request: ListRequest, slot_at: float) -> tuple[Outcome, bool]:
        """Fetch a list that nobody waits for; the slot that began at `slot_at` is ours.

        A failure is pinned for nobody, and without the store that the replicas share nothing is spent.

        Returns:
            How it ended, and whether a transaction was spent. If none was, the slot is still there to be used.
        """
        if key in self._open:
            return Outcome(None, "cache"), False
        known = self.usable(self._local.get(key))
        deadline = self._clock.monotonic() + self._policy.transaction_seconds
        flight = self._start(key, request, known, deadline, slot_at=slot_at, prewarm=True)
        assert flight.task is not None  # noqa: S101  # started just now
        await asyncio.wait({flight.task})
        unkept = flight.lost or flight.landed.cancelled()
        return self._step_down(known, "error", None) if unkept else flight.landed.result(), flight.asked

    async def close(self, timeout_seconds: float) -> None:
        """Wait for transactions under way, then end what is left."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def step_down(self, key: bytes, known: bytes | None, reason: DegradedReason, deadline: float) -> Outcome:
        """The best that can be had by the deadline without a transaction; an old list is looked for only now."""
        return self._step_down(known, reason, await self._batch_list(key, deadline))

    async def _batch_list(self, key: bytes, deadline: float) -> bytes | None:
        if self._batch is None:
            return None
        try:
            async with asyncio.timeout(max(LOOK_UP_SECONDS, deadline - self._clock.monotonic())):
                return self.usable(await self._batch.get(key))
        except (SharedStateUnavailable, TimeoutError):
            return None

    @property
    def fresh_seconds(self) -> float:
        """Age at which a list stops being fresh."""
        return self._policy.fresh_seconds

    def fresh(self, envelope: bytes | None) -> bool:
        """Whether the list may be served without a transaction."""
        return envelope is not None and self._policy.fresh(created_at(envelope), self._clock.time())

    def usable(self, envelope: bytes | None) -> bytes | None:
        """The envelope if this version reads it and it is not past the stale horizon."""
        known = readable(envelope)
        if known is None or not self._policy.usable(created_at(known), self._clock.time()):
            return None
        return known

    def _start(
        self,
        key: bytes,
        request: ListRequest,
        known: bytes | None,
        deadline: float,
        *,
        slot_at: float | None = None,
        prewarm: bool = False,
    ) -> _Flight:
        landed = asyncio.get_running_loop().create_future()
        flight = _Flight(landed, spent=slot_at is not None, slot_at=slot_at, prewarm=prewarm)
        self._open[key] = flight
        flight.task = asyncio.create_task(self._fly(flight, key, request, known, deadline))
        self._tasks.add(flight.task)
        flight.task.add_done_callback(self._tasks.discard)
        return flight

    async def _fly(
        self,
        flight: _Flight,
        key: bytes,
        request: ListRequest,
        known: bytes | None,
        deadline: float,
    ) -> None:
        led = False
        outcome = ABANDONED
        try:
            found, known, led = await self._board(flight, key, known, deadline)
            if flight.prewarm and not led and found is None:
                found = self._step_down(known, "error", None)
            outcome = found or await self._lead(flight, key, request, known, deadline)
        except asyncio.CancelledError:
            flight.landed.cancel()
            raise
        except Exception:  # noqa: BLE001  # a bug of ours: the caller still gets an answer, the log the traceback
            _log.exception("flight failed")
            outcome = self._step_down(known, "error", None)
        finally:
            self._closed(key, flight)
            unseen = flight.prewarm and not flight.callers
            if outcome.degraded_reason and not unseen:
                # In the same step: a call that comes between would start another flight, and could differ.
                self._on_degraded(key, outcome)
            if outcome.envelope is not None and outcome.source in ("personalize", "cache", "stale"):
                self._local.put(key, outcome.envelope)
            if not flight.landed.done():
                flight.landed.set_result(outcome)
            if led:
                # Whoever comes to need the list now is not to be told that it could not be had ahead of time.
                flight.lost = not await self._land(key, ABANDONED if outcome.degraded_reason and unseen else outcome)

    def _closed(self, key: bytes, flight: _Flight) -> None:
        if self._open.get(key) is flight:
            del self._open[key]

    async def _board(
        self, flight: _Flight, key: bytes, known: bytes | None, deadline: float
    ) -> tuple[Outcome | None, bytes | None, bool]:
        """What is found without a transaction, the newest list known, and whether we lead."""
        began = self._clock.monotonic()
        while True:
            try:
                async with self._shared.follow(key) as landing:
                    lease = max(0.0, deadline - self._clock.monotonic()) + self._policy.transaction_seconds
                    boarding = await self._shared.board(key, lease_seconds=lease)
                    known = _newer(known, self.usable(boarding.envelope))
                    if self.fresh(known):
                        return Outcome(known, "cache"), known, boarding.leader
                    if boarding.pinned is not None:
                        return boarding.pinned, known, boarding.leader
                    if boarding.leader:
                        return None, known, True
                    # A slot in hand does not keep until another replica's flight has ended.
                    left = deadline - self._clock.monotonic() if flight.slot_at is None else 0.0
                    landed = await landing.wait(min(left, boarding.lease_seconds))
            except SharedStateUnavailable:
                return None, known, False
            finally:
                flight.timings.append(("store", (self._clock.monotonic() - began) * 1000))
            if landed is not None and landed != ABANDONED:
                return landed, known, False
            if flight.slot_at is not None or deadline - self._clock.monotonic() <= 0:
                return await self._less(flight, key, known, "timeout", deadline), known, False

    async def _lead(
        self,
        flight: _Flight,
        key: bytes,
        request: ListRequest,
        known: bytes | None,
        deadline: float,
    ) -> Outcome:
        try:
            self._breaker.check()
            if flight.slot_at is None:
                await self._acquire(flight, known, deadline)
            elif self._clock.monotonic() - flight.slot_at > self._governor.slot_seconds / 2:
                raise BudgetExhausted
            ranked = await self._transact(flight, request)
        except Degraded as error:
            if known is not None and flight.slot_at is None:
                self._on_stale(key, request)
            return await self._less(flight, key, known, error.reason, deadline)
        if not ranked.item_ids:
            return await self._less(flight, key, known, "error", deadline)
        self._on_list(ranked)
        return Outcome(seal(ranked), "personalize")

    async def _less(
        self, flight: _Flight, key: bytes, known: bytes | None, reason: DegradedReason, deadline: float
    ) -> Outcome:
        if flight.prewarm and not flight.callers:
            return self._step_down(known, reason, None)
        began = self._clock.monotonic()
        try:
            return await self.step_down(key, known, reason, deadline)
        finally:
            flight.timings.append(("batch", (self._clock.monotonic() - began) * 1000))

    async def _acquire(self, flight: _Flight, known: bytes | None, deadline: float) -> None:
        began = self._clock.monotonic()
        lane, until = self._policy.place_in_line(
            has_list=known is not None, began=began, deadline=deadline, latency_seconds=self._latency_seconds
        )
        await self._slot_queue.acquire(lane, until)
        waited = self._clock.monotonic() - began
        self._recorder.budget_wait(waited)
        flight.timings.append(("budget", waited * 1000))

    async def _transact(self, flight: _Flight, request: ListRequest) -> ItemList:
        era = self._breaker.admit()
        flight.spent = flight.asked = True
        began = self._clock.monotonic()
        result = "error"
        try:
            ranked = await self._recommender.recommend(request, timeout_seconds=self._policy.transaction_seconds)
        except RecommenderThrottled:
            result = "throttled"
            self._breaker.neutral(era)
            await self._governor.throttled()
            raise
        except RecommenderTimeout:
            result = "timeout"
            self._breaker.failure(era)
            raise
        except RecommenderRefused:
            self._breaker.neutral(era)
            raise
        except RecommenderError:
            self._breaker.failure(era)
            raise
        except BaseException:
            self._breaker.neutral(era)
            raise
        else:
            result = "ok" if ranked.item_ids else "empty"
            self._breaker.success(era)
            self._latency_seconds = usual_latency(self._latency_seconds, self._clock.monotonic() - began)
            return ranked
        finally:
            took = self._clock.monotonic() - began
            self._recorder.transaction(result, took)
            flight.timings.append(("personalize", took * 1000))

    async def _land(self, key: bytes, outcome: Outcome) -> bool:
        try:
            await self._shared.land(key, outcome, led=True)
        except SharedStateUnavailable:
            # The list is kept here; the other replicas make their own when Redis is away.
            return False
        return True


def _newer(one: bytes | None, other: bytes | None) -> bytes | None:
    if one is None or other is None:
        return one or other
    return one if created_at(one) >= created_at(other) else other
