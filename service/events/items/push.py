"""Puts what has changed in the catalogue into the items dataset, at Personalize's own rate.

A call that succeeded is noted at once, so that a run that was killed goes on where it was. Personalize knows no call
that deletes an item: one that left the catalogue stays in the dataset, and the service never shows it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from service.errors import RecommenderError, RecommenderRefused
from service.events.items.pushed import PushedItems

MAX_ITEMS: Final = 10
"""Of a call. Source: Personalize API reference, PutItems."""

CALLS_PER_SECOND: Final = 10.0
"""Source: Personalize developer guide, Endpoints and quotas."""

MAX_PROBLEMS: Final = 10
MIN_PAUSE_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 30.0
GIVE_UP_SECONDS: Final = 600.0
"""Without a call that succeeds; an import job, during which Personalize takes no items, is mostly shorter."""


class ItemTaker(Protocol):
    """Amazon Personalize's PutItems, or what stands in for it."""

    def put(self, items: Sequence[tuple[str, str]]) -> None:
        """Put items, each with its properties as JSON text; at most `MAX_ITEMS`.

        Raises:
            RecommenderRefused: One of these items never will be taken.
            RecommenderError: None was taken, for another reason.
        """


@dataclass(slots=True)
class PushReport:
    """What became of the catalogue's items."""

    unchanged: int = 0
    new: int = 0
    changed: int = 0
    put: int = 0
    gone: int = 0
    problems: list[str] = field(default_factory=list)
    refused: int = 0
    """Items that do not fit the schema, or that Personalize did not take."""

    @property
    def wanted(self) -> int:
        """Items that have to be put."""
        return self.new + self.changed

    def refuse(self, item_id: str, problem: str) -> None:
        """Count an item that cannot be put."""
        self.refused += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(f"{item_id}: {problem}")


class ItemPush:
    """One run.

    Args:
        taker: Gets the items.
        pushed: Knows what it has.
        report: Counts.
        on_progress: Called with the number of items that were put or refused.
        clock: Seconds that never run backwards.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        taker: ItemTaker,
        pushed: PushedItems,
        report: PushReport,
        *,
        on_progress: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._taker = taker
        self._pushed = pushed
        self._report = report
        self._on_progress = on_progress
        self._clock = clock
        self._sleep = sleep
        self._next_at = clock()

    def run(self) -> None:
        """Put everything that is wanted.

        Raises:
            RecommenderError: Nothing was taken for `GIVE_UP_SECONDS`, or never will be: rights, ARN.
            BatchError: What was put cannot be noted.
        """
        done = 0
        for items in self._pushed.portions(MAX_ITEMS):
            self._put(items)
            done += len(items)
            self._on_progress(done)

    def _put(self, items: Sequence[tuple[str, str]]) -> None:
        pause, give_up_at = MIN_PAUSE_SECONDS, self._clock() + GIVE_UP_SECONDS
        while True:
            self._wait_for_slot()
            try:
                self._taker.put(items)
            except RecommenderRefused as error:
                if len(items) == 1:
                    self._report.refuse(items[0][0], str(error))
                    return
                for one in items:
                    self._put([one])
                return
            except RecommenderError:
                if self._clock() >= give_up_at:
                    raise
                self._sleep(pause)
                pause = min(MAX_PAUSE_SECONDS, 2 * pause)
            else:
                self._pushed.put(items)
                self._report.put += len(items)
                return

    def _wait_for_slot(self) -> None:
        now = self._clock()
        if self._next_at > now:
            self._sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + 1 / CALLS_PER_SECOND
