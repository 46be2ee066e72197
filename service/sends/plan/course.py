"""What came of a send."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Self, cast

from service.constants import MAX_REFRESHES
from service.lists.ports import Outcome
from service.models import Source
from service.sends.plan.send import Send

MAX_PARTS: Final = 120
"""Parts into which the course of a send is cut at most."""

PART_SECONDS: Final = 2.0
"""Shortest part: in a shorter one a slot more or less looks like a change of the rate."""

WHOLE_MINUTES: Final = 10
"""A send of so many minutes is cut into whole ones: Braze crowds the messages of a minute, and half minutes would show
nothing but that."""

SOURCES: Final[tuple[Source, ...]] = ("personalize", "cache", "stale", "batch", "popular")
"""What can be shown, best first; `empty` needs an empty catalogue."""


@dataclass(slots=True)
class Course:
    """What came of a send; of a scaled one everything is scaled back up.

    Attributes:
        send: The send.
        scale: Recipients that each simulated one stands for; 1: exact.
        recipients: By the source of their first call.
        calls: By source.
        transactions: Begun from the first message until the last one is answered and the minutes are over.
        refreshes: Those among them for which no call waited.
        refreshes_after: Lists still in the queue then; each costs a transaction more.
        longest_wait_seconds: Longest wait of a call that got a slot.
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
    longest_wait_seconds: float = 0.0
    series: dict[Source, list[int]] = field(default_factory=dict)
    transaction_series: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, send: Send) -> Self:
        """A send of which nothing has happened yet."""
        parts = _parts(send)
        return cls(send, 1.0, series={source: [0] * parts for source in SOURCES}, transaction_series=[0] * parts)

    def share(self, source: Source) -> float:
        """This source's share of the recipients."""
        return self.recipients[source] / self.recipients.total()

    def share_of_calls(self, source: Source) -> float:
        """This source's share of all calls."""
        return self.calls[source] / self.calls.total()

    def answered(self, outcome: Outcome, asked_at: float, *, first: bool, calls: int) -> None:
        """Count calls that were answered at once.

        Args:
            outcome: What was shown.
            asked_at: Seconds from the first message.
            first: Whether the recipient's first call is among them.
            calls: How many.
        """
        source = cast("Source", outcome.source)  # `none` is between replicas, and there is one here
        self.calls[source] += calls
        if first:
            self.recipients[source] += 1
            self.series[source][self._part(asked_at)] += 1

    def transaction(self, began_at: float) -> None:
        """Count a transaction; `began_at` counts from the first message."""
        self.transactions += 1
        if began_at <= self.send.seconds:
            self.transaction_series[self._part(began_at)] += 1

    def scaled_up(self, send: Send, scale: float) -> "Course":
        """The course of a send of `scale` times as many recipients at the same rate."""

        def up(count: int) -> int:
            return round(count * scale)

        return Course(
            send=send,
            scale=scale,
            recipients=_to_total(self.recipients, send.recipients),
            calls=_to_total(self.calls, send.recipients * send.passes),
            transactions=up(self.transactions),
            refreshes=up(self.refreshes),
            refreshes_after=min(MAX_REFRESHES, up(self.refreshes_after)),
            longest_wait_seconds=self.longest_wait_seconds,
            series={source: [up(one) for one in counts] for source, counts in self.series.items()},
            transaction_series=[up(one) for one in self.transaction_series],
        )

    def _part(self, moment: float) -> int:
        parts = len(self.transaction_series)
        return min(parts - 1, int(moment / self.send.seconds * parts))


def _to_total(counts: Counter[Source], total: int) -> Counter[Source]:
    """The counts scaled so that they add up to the total; the largest takes what rounding leaves."""
    scaled = Counter({source: count * total // counts.total() for source, count in counts.items()})
    scaled[max(scaled, key=scaled.__getitem__)] += total - scaled.total()
    return scaled


def _parts(send: Send) -> int:
    if send.minutes < WHOLE_MINUTES:
        return max(1, min(MAX_PARTS, int(send.seconds / PART_SECONDS)))
    return round(send.minutes / math.ceil(send.minutes / MAX_PARTS))
