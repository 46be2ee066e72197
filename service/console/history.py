"""What was counted over the last hour, in a small ring: the page shows it without a Prometheus."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from service.clock import Clock
from service.tasks import stop_task
from service.telemetry import Telemetry

SAMPLE_SECONDS: Final = 10.0
"""Between two looks at the counters."""

HISTORY_SECONDS: Final = 3600.0

MINUTE: Final = 60


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters at a moment, since the start of the process."""

    at: float
    """Unix seconds."""
    answers: Mapping[str, int]
    """By source."""
    transactions: Mapping[str, int]
    """By placement."""


class History:
    """Of one replica.

    Args:
        telemetry: Has the counters.
        clock: Tells the time of each sample.
    """

    def __init__(self, telemetry: Telemetry, clock: Clock) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._samples: deque[Sample] = deque(maxlen=round(HISTORY_SECONDS / SAMPLE_SECONDS) + 1)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Look at the counters for as long as the block lasts."""

        async def look() -> None:
            while True:
                await asyncio.sleep(SAMPLE_SECONDS)
                self.sample()

        self.sample()
        task = asyncio.create_task(look(), name="console-history")
        try:
            yield
        finally:
            await stop_task(task)

    def sample(self) -> None:
        """Keep the counters as they are now."""
        self._samples.append(self._now())

    def by_minute(self) -> list[dict[str, Any]]:
        """Answers by source of each minute in which there were any, the oldest first, up to this moment."""
        minutes: dict[int, dict[str, int]] = {}
        for before, after in pairwise([*self._samples, self._now()]):
            minute = minutes.setdefault(int(after.at // MINUTE), {})
            for source, count in after.answers.items():
                minute[source] = minute.get(source, 0) + count - before.answers.get(source, 0)
        first = int((self._clock.time() - HISTORY_SECONDS) // MINUTE)
        return [
            {"at": minute * MINUTE, "answers": counts}
            for minute, counts in sorted(minutes.items())
            if minute > first and any(counts.values())
        ]

    def transactions_lately(self) -> tuple[dict[str, int], float]:
        """Transactions by placement of about the last minute, and how many seconds that is."""
        now = self._now()
        young = [one for one in self._samples if one.at >= now.at - MINUTE]
        if not young:
            return {}, 0.0
        first = young[0]
        spent = {name: count - first.transactions.get(name, 0) for name, count in now.transactions.items()}
        return spent, max(0.0, now.at - first.at)

    def _now(self) -> Sample:
        return Sample(
            self._clock.time(), self._telemetry.answers_by_source(), self._telemetry.transactions_by_placement()
        )
