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
    lists = _lists_before(send, 0.0)
    for number, (kind, batch_kind) in enumerate(zip(kinds, batch_kinds, strict=True)):
        if scale > 1 and not send.items:
            # In the send as it is, this message goes out that much later, when the lists are that much older.
            even = number / send.rate
            lists = _lists_before(send, _moment(even, send.peak, period) - even * scale)
        fresh, stale, batch = lists
        kept = fresh if kind == _FRESH else stale if kind == _STALE else None
        is_due = send.active > 0 and kind == _FRESH and next(due_kinds, _NEITHER) == _FRESH
        yield KeptList(number, kept, batch if batch_kind == _FRESH else None, is_due)


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
