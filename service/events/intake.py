"""Takes events in: answers only when they are safe."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from service.errors import SharedStateFull, SharedStateUnavailable, SharedStateUnsafe
from service.events.braze import Ignored
from service.events.event import Event, EventProblem
from service.events.known import KnownEvents
from service.events.ports import EventStore, KnownEvent
from service.lists.keys import UserPrefix

PATIENCE_SECONDS: Final = 25.0
"""For a store that does not answer: Redis is mostly found again within a second, and Braze waits 90 s for a webhook."""

AGAIN_SECONDS: Final = 0.1

MAX_KEEPING: Final = 8
"""Bodies that ask the store at a time. When Redis comes back, those that waited must not all go on in one turn."""

EVENTS_OF_A_TURN: Final = 25
"""Events that are read between two looks at everything else; half a millisecond."""

Thing = TypeVar("Thing")


class EventRecorder(Protocol):
    """Where events are counted."""

    def events(self, result: str, count: int) -> None:
        """So many events were `accepted`, `duplicate`, `ignored`, `rejected`, `sent` or `aside`."""


@dataclass(slots=True)
class IntakeReport:
    """What became of the events of one body."""

    accepted: int = 0
    duplicate: int = 0
    ignored: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)

    known_only: int = 0
    """Of the accepted ones, those that are not sent on; a caller of the API has none."""


class Intake:
    """Keeps events safe, and lets this replica know of them.

    Args:
        store: Keeps them.
        known: Gets those of users who are asked for here.
        recorder: Counts.
    """

    def __init__(self, store: EventStore, *, known: KnownEvents, recorder: EventRecorder) -> None:
        self._store = store
        self._known = known
        self._recorder = recorder
        self._keeping = asyncio.Semaphore(MAX_KEEPING)
        self.on_accepted: Callable[[str], None] = lambda _: None
        """Called with the user of each new event that undoes nothing; must not raise."""

    async def take(self, events: Iterable[Event | EventProblem | Ignored]) -> IntakeReport:
        """Keep what is an event; safe when this returns.

        Raises:
            EventProblem: The body as a whole is wrong.
            SharedStateUnavailable: None of the events is known to be safe.
        """
        report = IntakeReport()
        kept: list[Event] = []
        async for index, one in _in_turns(events):
            if isinstance(one, Event):
                kept.append(one)
            elif isinstance(one, EventProblem):
                report.rejected.append({"index": index, "problem": str(one)})
            else:
                report.ignored += 1
        prefixes = [self._known.prefix(one.owner) for one in kept]
        are_new = await self._accept(list(zip(prefixes, kept, strict=True)))
        async for _, (one, prefix, new) in _in_turns(zip(kept, prefixes, are_new, strict=True)):
            if new:
                report.accepted += 1
                report.known_only += one.known_only
                self._known.heard(prefix, [KnownEvent(one.event_type, one.item_id, one.sent_at, one.lifts)])
                if not one.lifts:
                    self.on_accepted(one.owner)
            else:
                report.duplicate += 1
        for result, count in (
            ("accepted", report.accepted),
            ("duplicate", report.duplicate),
            ("ignored", report.ignored),
            ("rejected", len(report.rejected)),
        ):
            if count:
                self._recorder.events(result, count)
        return report

    async def _accept(self, events: Sequence[tuple[UserPrefix, Event]]) -> list[bool]:
        """Keep them, also if the store is away for a moment: who sends events has more patience than who asks.

        Raises:
            SharedStateFull: So much waits that no more is taken.
            SharedStateUnavailable: The store was away for `PATIENCE_SECONDS`.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE_SECONDS
        async with self._keeping:
            while True:
                try:
                    return await self._store.accept(events)
                except (SharedStateFull, SharedStateUnsafe):
                    raise
                except SharedStateUnavailable:
                    if loop.time() >= give_up_at:
                        raise
                await asyncio.sleep(AGAIN_SECONDS)


async def _in_turns(things: Iterable[Thing]) -> AsyncIterator[tuple[int, Thing]]:
    """Each with its place; everything else gets its turn meanwhile, however many they are."""
    for index, one in enumerate(things):
        if index % EVENTS_OF_A_TURN == EVENTS_OF_A_TURN - 1:
            await asyncio.sleep(0)
        yield index, one
