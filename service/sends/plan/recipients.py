"""Who a send goes to, when, and with which lists."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from service.lists.envelope import Envelope, seal
from service.models import ItemList
from service.sends.plan.send import MINUTE_SECONDS, Send

_FRESH: Final = 0
_STALE: Final = 1
_NEITHER: Final = 2

_GAP_SPREAD: Final = 0.05
"""Gaps are shorter than the send's by this share at most. Otherwise calls of several messages could come in one moment,
and the order in which a program happens to take them would say who gets the slot."""


@dataclass(slots=True)
class Recipient:
    """One user of a send.

    Attributes:
        number: Place in the send.
        kept: The list kept of them.
        batch_list: Their list of the batch.
        asked_at: When their message goes out, in seconds from the first message.
        passes_left: Calls to come.
        gap_seconds: Between two of them.
        is_due: Whether they have done something since their list was made.
    """

    number: int
    kept: Envelope | None
    batch_list: Envelope | None
    asked_at: float
    passes_left: int
    gap_seconds: float = 0.0
    is_due: bool = False


def recipients_of(send: Send, *, scale: float = 1.0, seed: int = 0) -> Iterator[Recipient]:
    """The recipients in the order of their messages.

    Args:
        send: What is sent.
        scale: How many times as long the send is that this one stands for. Lists age faster by this factor.
        seed: Of the order in which recipients with and without a list come.
    """
    chance, spread = random.Random(seed), random.Random(seed)  # noqa: S311  # an order, not a secret
    kinds = _exact_shares(chance, send.recipients, send.cached, send.stale)
    due_kinds = _exact_shares(chance, round(send.recipients * send.cached), send.active, 0.0)
    batch_kinds = _exact_shares(chance, send.recipients, send.batch, 0.0)
    period = send.seconds / max(1, round(send.seconds / MINUTE_SECONDS)) if scale > 1 else MINUTE_SECONDS
    lists = _lists_before(send, 0.0)
    for number, (kind, batch_kind) in enumerate(zip(kinds, batch_kinds, strict=True)):
        even = number / send.rate
        asked_at = _moment(even, send.peak, period)
        if scale > 1:
            # In the send as it is, this message goes out that much later, when the lists are that much older.
            lists = _lists_before(send, asked_at - even * scale)
        fresh, stale, batch = lists
        kept = fresh if kind == _FRESH else stale if kind == _STALE else None
        is_due = send.active > 0 and kind == _FRESH and next(due_kinds, _NEITHER) == _FRESH
        gap = send.gap_seconds * (1 - _GAP_SPREAD * spread.random())
        yield Recipient(number, kept, batch if batch_kind == _FRESH else None, asked_at, send.passes, gap, is_due)


def list_made_at(moment: float) -> Envelope:
    """A list of that time; which items are in it plays no part."""
    return seal(ItemList((), "", moment))


def _lists_before(send: Send, start: float) -> tuple[Envelope, Envelope, Envelope]:
    """A fresh, a stale and a batch list as they are at the start.

    The stale one has only just ceased to be fresh. The batch list is older than the fresh one in any case.
    """
    stale_at = start - send.fresh_seconds - 1.0
    batch_at = stale_at - 0.5 if send.stale_newer else stale_at + 0.5
    return list_made_at(start - send.cached_age_seconds), list_made_at(stale_at), list_made_at(batch_at)


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
