"""How fast a send may go, and how much TPS it needs, for all recipients to get a live or a fresh list."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from service.constants import SPENT_SHARE
from service.sends.plan.send import MAX_MINUTES, MINUTE_SECONDS, Send
from service.sends.plan.simulation import simulate

BRAZE_PEAK: Final = 2.4
"""How far above the average Braze has been reported to go within a minute of its rate limit."""

MIN_MESSAGES_PER_MINUTE: Final = 10
"""Lowest rate limit of a campaign. Source: Braze user guide, rate limiting and frequency capping."""

MAX_MESSAGES_PER_MINUTE: Final = 500_000
"""Highest one. Source: as above."""

ALL_SHARE: Final = 0.999
"""Share of recipients with a live or fresh list that counts as all of them."""

SAMPLE_RECIPIENTS: Final = 20_000
"""Simulated for each step of a search."""


def most_messages_per_minute(send: Send, *, on_step: Callable[[], None] = lambda: None) -> int:
    """The highest Braze rate limit at which all recipients get a live or a fresh list.

    Found by simulation between two rates: the one with a slot for each recipient, and the one with a slot for each
    missing list. 0 when there is none.

    Args:
        send: What is sent; its minutes play no part.
        on_step: Called before each simulation.
    """
    slots = send.tps * SPENT_SHARE / send.peak
    fresh_for = send.fresh_seconds - send.cached_age_seconds
    low = slots
    high = MAX_MESSAGES_PER_MINUTE / MINUTE_SECONDS
    if send.ready < 1 and not send.items:
        high = min(high, slots / (1 - send.ready))
    # At a lower rate the fresh lists would cease to be so before the send is over.
    before_they_age = send.recipients / fresh_for if fresh_for > 0 else math.inf
    if send.items:
        # Most calls are for lists that others have asked for, so there may be far more of them than slots.
        low = min(low, high)
    elif send.cached and before_they_age <= high:
        low = max(low, before_they_age)
    else:
        high = low

    def enough(per_minute: int) -> bool:
        on_step()
        minutes = min(send.recipients / per_minute, MAX_MINUTES)
        return _all_served(replace(send, minutes=minutes))

    least, most = (math.floor(rate * MINUTE_SECONDS + 1e-6) for rate in (low, high))
    most = min(most, MAX_MESSAGES_PER_MINUTE)
    if most < 1:
        return 0
    return _last(enough, max(1, min(least, most)), most)


def least_tps(send: Send, *, on_step: Callable[[], None] = lambda: None) -> int:
    """The lowest whole TPS at which all recipients get a live or a fresh list within the send's minutes.

    It can be more than Personalize allows.

    Args:
        send: What is sent; its TPS play no part.
        on_step: Called before each simulation.
    """

    def too_few(tps: int) -> bool:
        on_step()
        return not _all_served(send, tps)

    crowded = send.rate * send.peak / SPENT_SHARE
    aging = send.cached_age_seconds + send.seconds > send.fresh_seconds
    least = 1 if send.items else math.ceil(crowded * (1.0 if aging else 1 - send.ready) - 1e-6)
    most = math.ceil(crowded - 1e-6)
    # What is too little grows up to one below the answer.
    return 1 + _last(too_few, max(1, least) - 1, max(1, most) - 1)


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The last number of `low` to `high` for which it holds, given that it does for `low`."""
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _all_served(send: Send, tps: float | None = None) -> bool:
    course = simulate(send, at_most=SAMPLE_RECIPIENTS, tps=tps)
    return course.share("personalize") + course.share("cache") >= ALL_SHARE
