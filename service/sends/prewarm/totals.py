"""What a prewarm has come to, and how fast."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from service.clock import Clock

RATE_SECONDS: Final = 60.0
"""Time whose rate says when all will be done: however long a round takes, it is about as steady."""


@dataclass(slots=True)
class Totals:
    """Counts of users.

    Attributes:
        wanted: Users without a list when they were looked up.
        done: Users among them who have one now.
        fetched: Users for whom a transaction of this prewarm brought one.
        failed: Users given up, by the reason of their last transaction.
    """

    wanted: int = 0
    done: int = 0
    fetched: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def missing(self) -> int:
        """Users still without a list."""
        return max(0, self.wanted - self.done)


class RecentRate:
    """The rate of the last `RATE_SECONDS`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rounds: deque[tuple[float, int]] = deque([(clock.monotonic(), 0)])

    def after_round(self, done: int) -> float:
        """Users a second over the last rounds.

        Args:
            done: Users done since the beginning, this round's included.
        """
        rounds = self._rounds
        rounds.append((self._clock.monotonic(), done))
        while len(rounds) > 2 and rounds[1][0] <= rounds[-1][0] - RATE_SECONDS:  # noqa: PLR2004  # a first and a last
            rounds.popleft()
        (first_at, first_done), (last_at, last_done) = rounds[0], rounds[-1]
        return (last_done - first_done) / max(last_at - first_at, 0.001)
