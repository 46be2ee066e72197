"""Who a send goes to, when, and with which lists."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from service.lists.envelope import Envelope, sealed
from service.sends.plan.send import MINUTE_SECONDS, Send

_FRESH: Final = 0
_STALE: Final = 1
_NEITHER: Final = 2

_GAP_SPREAD: Final = 0.05
"""Gaps are shorter than the send's by this share at most. Otherwise calls of several messages could come in one moment,
and the order in which a program happens to take them would say who gets the slot."""


@dataclass(slots=True)
class KeptList:
    """What is kept of a user, or of an item.

    Attributes:
        number: Tells it from others.
        kept: The list.
        batch: The list of the batch.
        is_due: Whether the user has done something since the list was made.
    """

    number: int
    kept: Envelope | None
    batch: Envelope | None
    is_due: bool = False


@dataclass(slots=True)
class Recipient:
    """One user of a send.

    Attributes:
        number: Place in the send.
        list: What answers their calls: their own, or an item's.
        asked_at: When their message goes out, in seconds from the first message.
        passes_left: Calls to come.
        gap_seconds: Between two of them.
    """

    number: int
    list: KeptList
    asked_at: float
    passes_left: int
    gap_seconds: float = 0.0


def recipients_of(send: Send, *, scale: float = 1.0, seed: int = 0) -> Iterator[Recipient]:
    """The recipients in the order of their messages.

    Args:
        send: What is sent.
        scale: How many times as long the send is that this one stands for. Lists age faster by this factor.
        seed: Of the order in which recipients with and without a list come.
    """
    spread = random.Random(seed)  # noqa: S311  # an order, not a secret
    period = send.seconds / max(1, round(send.seconds / MINUTE_SECONDS)) if scale > 1 else MINUTE_SECONDS
    of_items = [] if not send.items else list(_lists_of(send, scale, seed, period))
    lists = _lists_of(send, scale, seed, period) if not send.items else None
    for number in range(send.recipients):
        asked_at = _moment(number / send.rate, send.peak, period)
        own = spread.choice(of_items) if lists is None else next(lists)
        gap = send.gap_seconds * (1 - _GAP_SPREAD * spread.random())
        yield Recipient(number, own, asked_at, send.passes, gap)


def _lists_of(send: Send, scale: float, seed: int, period: float) -> Iterator[KeptList]:
    """What is kept when the send begins: of each recipient in order, or of each item."""
    chance = random.Random(seed)  # noqa: S311  # as above
    count = send.items or send.recipients
    kinds = _exact_shares(chance, count, send.cached, send.stale)
    due_kinds = _exact_shares(chance, round(count * send.cached), send.active, 0.0)
    batch_kinds = _exact_shares(chance, count, send.batch, 0.0)
    lists = _ListsBefore(send)
    start = 0.0
    for number, (kind, batch_kind) in enumerate(zip(kinds, batch_kinds, strict=True)):
        if scale > 1 and not send.items:
            # In the send as it is, this message goes out that much later, when the lists are that much older.
            even = number / send.rate
            start = _moment(even, send.peak, period) - even * scale
        kept = None if kind == _NEITHER else lists.made(start, lists.fresh if kind == _FRESH else lists.stale)
        is_due = send.active > 0 and kind == _FRESH and next(due_kinds, _NEITHER) == _FRESH
        yield KeptList(number, kept, lists.made(start, lists.batch) if batch_kind == _FRESH else None, is_due)


def list_made_at(moment: float) -> Envelope:
    """A list of that time; which items are in it plays no part."""
    return sealed((), moment, recommendation_id=b"", promoted=b"", is_popular=False)


class _ListsBefore:
    """The lists that there are when a send begins.

    Attributes:
        fresh: When a fresh one was made, in seconds from the start.
        stale: When a stale one was made. It has only just ceased to be fresh.
        batch: When one of the batch was made, before the fresh one in any case.
    """

    def __init__(self, send: Send) -> None:
        self.fresh = -float(send.cached_age_seconds)
        self.stale = -send.fresh_seconds - 1.0
        self.batch = self.stale - 0.5 if send.stale_newer else self.stale + 0.5
        self._made: dict[float, Envelope] = {}

    def made(self, start: float, before: float) -> Envelope:
        """One of them, as it is for a message that goes out at the start."""
        if start:
            return list_made_at(start + before)
        if before not in self._made:
            self._made[before] = list_made_at(before)
        return self._made[before]


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
            yield _NEITHER


def _moment(even: float, peak: float, period: float) -> float:
    """When a message goes out that an even send would send then: a minute's messages in its first part."""
    within = even % period
    return even - within + within / peak
