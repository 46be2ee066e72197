"""What a marketer and an operator want to know of a send."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from service.constants import PERSONALIZE_MAX_TPS, SPENT_SHARE
from service.sends.plan.send import MAX_MINUTES, MINUTE_SECONDS, Send
from service.sends.plan.simulation import EXACT_RECIPIENTS, SOURCES, Seen, simulate
from service.sends.ports import DEFAULT_SPARE

BRAZE_PEAK: Final = 2.4
"""How far above the average Braze has been reported to go within a minute of its rate limit."""

MIN_MESSAGES_PER_MINUTE: Final = 10
"""Lowest rate limit of a campaign. Source: Braze user guide, rate limiting and frequency capping."""

MAX_MESSAGES_PER_MINUTE: Final = 500_000
"""Highest one. Source: as above."""

ALL_SHARE: Final = 0.999
"""Of the recipients live or from a fresh list: from here on it is called all of them."""

SAMPLE_RECIPIENTS: Final = 20_000
"""Simulated for each step of a search."""

MAX_PRICE: Final = 1_000_000.0
"""Highest price, in whatever currency."""

HOUR_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Prices:
    """What the operator pays; None: not told, so nothing is said of it.

    Raises:
        ValueError: A price is below 0 or no number.
    """

    per_tps_hour: float | None = None
    per_1000_batch: float | None = None

    def __post_init__(self) -> None:
        for name, price in (("price_per_tps_hour", self.per_tps_hour), ("price_per_1000_batch", self.per_1000_batch)):
            if price is not None and not 0 <= price <= MAX_PRICE:
                raise ValueError(f"{name} is {price:g}, and can be 0 to {MAX_PRICE:,.12g}")


@dataclass(frozen=True, slots=True)
class Prewarm:
    """Making a list for everyone without a fresh one before the send begins.

    Attributes:
        recipients: Who they are.
        spare: Share of the TPS that is spent on it.
        seconds: How long it takes, so how long before the send it must start at the latest.
        fresh_seconds_needed: `CACHE_FRESH_SECONDS` with which the first of these lists is fresh to the end of the send.
        all_fresh: Whether that is what the service has.
        all_usable: Whether the first of these lists can still be shown at the end of the send, at least as a stale one.
    """

    recipients: int
    spare: float
    seconds: float
    fresh_seconds_needed: float
    all_fresh: bool
    all_usable: bool


@dataclass(frozen=True, slots=True)
class Cost:
    """In the currency of the prices; None where no price was given."""

    send: float | None
    prewarm: float | None
    batch: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The answers.

    Attributes:
        seen: The send as it would go.
        all_live_per_minute: Highest messages a minute at which all have a live or fresh list.
        all_live_per_minute_in_bursts: The same if the messages of a minute are as crowded as Braze's have been seen.
        all_live_tps: Lowest whole `PERSONALIZE_TPS` at which all have one within the minutes given.
        prewarm: What it takes to have all lists before.
        tps_hours: Of the campaign during the send.
        cost: Of the send, of prewarming and of the batch.
    """

    seen: Seen
    all_live_per_minute: int
    all_live_per_minute_in_bursts: int
    all_live_tps: int
    prewarm: Prewarm
    tps_hours: float
    cost: Cost

    def notes(self) -> list[str]:
        """What the figures alone could mislead about."""
        send = self.seen.send
        notes = []
        if self.seen.scale > 1:
            simulated = f"{send.recipients / self.seen.scale:,.0f} recipients at the same rate for a shorter while"
            notes.append(f"Simulated at a scale of 1 : {self.seen.scale:,.4g}: {simulated}.")
        if self.all_live_tps > PERSONALIZE_MAX_TPS:
            notes.append(f"{self.all_live_tps:,} TPS are more than the {PERSONALIZE_MAX_TPS:,} of an AWS account.")
        if self.all_live_per_minute < MIN_MESSAGES_PER_MINUTE:
            notes.append(f"Braze's lowest rate limit is {MIN_MESSAGES_PER_MINUTE} messages a minute.")
        if send.cached and send.cached_age_seconds + send.seconds > send.fresh_seconds:
            left = max(0.0, send.fresh_seconds - send.cached_age_seconds)
            notes.append(
                f"Lists that are fresh at the start are so for {duration(left)} of the send (CACHE_FRESH_SECONDS)."
            )
        if self.seen.refreshes_after:
            notes.append(f"{self.seen.refreshes_after:,} stale lists are still to be refreshed when the send is over.")
        if self.prewarm.recipients and not self.prewarm.all_usable:
            notes.append(
                "Prewarming cannot have all lists ready: the first would be past CACHE_STALE_SECONDS before the last"
                " message. Use a batch, or a higher TPS."
            )
        elif self.prewarm.recipients and not self.prewarm.all_fresh:
            notes.append(
                f"With CACHE_FRESH_SECONDS below {math.ceil(self.prewarm.fresh_seconds_needed):,} lists made by prewarm"
                " are partly stale when they are shown."
            )
        return notes

    def as_dict(self) -> dict[str, Any]:
        """For `--json`; shares 0 to 1, times in seconds, costs null where no price was given."""
        send, seen = self.seen.send, self.seen
        return {
            "send": {name: getattr(send, name) for name in send.__slots__},
            "scale": seen.scale,
            "recipients": {
                source: {"count": seen.recipients[source], "share": seen.share(source)} for source in SOURCES
            },
            "calls": {
                source: {"count": seen.calls[source], "share": seen.share_of_calls(source)} for source in SOURCES
            },
            "all_live": {
                "messages_per_minute": self.all_live_per_minute,
                "messages_per_minute_in_bursts": self.all_live_per_minute_in_bursts,
                "tps": self.all_live_tps,
            },
            "prewarm": {
                "recipients": self.prewarm.recipients,
                "spare": self.prewarm.spare,
                "start_seconds_before": self.prewarm.seconds,
                "cache_fresh_seconds_needed": self.prewarm.fresh_seconds_needed,
                "all_fresh": self.prewarm.all_fresh,
                "all_usable": self.prewarm.all_usable,
            },
            "transactions": {
                "send": seen.transactions,
                "of_them_refreshes": seen.refreshes,
                "refreshes_after": seen.refreshes_after,
            },
            "tps_hours": self.tps_hours,
            "cost": {"send": self.cost.send, "prewarm": self.cost.prewarm, "batch": self.cost.batch},
            "most_wait_seconds": seen.most_wait_seconds,
            "notes": self.notes(),
            "series": {
                "seconds_per_point": send.seconds / len(seen.transaction_series),
                "recipients": seen.series,
                "transactions": seen.transaction_series,
            },
        }


def plan(send: Send, *, prices: Prices, spare: float = DEFAULT_SPARE, at_most: int = EXACT_RECIPIENTS) -> Plan:
    """Answer everything about a send; takes up to a minute.

    Args:
        send: What is sent.
        prices: What the operator pays.
        spare: Share of the TPS that prewarm may spend.
        at_most: Recipients simulated one by one.

    Raises:
        ValueError: `spare` is not above 0 and at most 1.
    """
    if not 0 < spare <= 1:
        raise ValueError(f"spare is {spare:g}, and can be above 0 and up to 1")
    seen = simulate(send, at_most=at_most)
    prewarm = _prewarm(send, spare)
    hours = send.seconds / HOUR_SECONDS
    per_hour, per_1000 = prices.per_tps_hour, prices.per_1000_batch
    cost = Cost(
        send=None if per_hour is None else send.tps * hours * per_hour,
        prewarm=None if per_hour is None else send.tps * prewarm.seconds / HOUR_SECONDS * per_hour,
        batch=None if per_1000 is None else round(send.recipients * send.batch) / 1000 * per_1000,
    )
    return Plan(
        seen=seen,
        all_live_per_minute=most_messages_per_minute(send),
        all_live_per_minute_in_bursts=most_messages_per_minute(replace(send, peak=max(send.peak, BRAZE_PEAK))),
        all_live_tps=least_tps(send),
        prewarm=prewarm,
        tps_hours=send.tps * hours,
        cost=cost,
    )


def most_messages_per_minute(send: Send) -> int:
    """The highest Braze rate limit at which all recipients get a live or a fresh list.

    Found by simulation between the rate that needs no luck, a slot for each recipient, and the one that the missing
    lists alone would allow. 0 when there is none.
    """
    slots = send.tps * SPENT_SHARE / send.peak
    fresh_for = send.fresh_seconds - send.cached_age_seconds
    low = slots
    high = MAX_MESSAGES_PER_MINUTE / MINUTE_SECONDS
    if send.cached < 1:
        high = min(high, slots / (1 - send.cached))
    # At a lower rate the fresh lists would cease to be so before the send is over.
    before_they_age = send.recipients / fresh_for if fresh_for > 0 else math.inf
    if send.cached and before_they_age <= high:
        low = max(low, before_they_age)
    else:
        high = low

    def enough(per_minute: int) -> bool:
        minutes = min(send.recipients / per_minute, MAX_MINUTES)
        return _all_served(replace(send, minutes=minutes))

    least, most = (math.floor(rate * MINUTE_SECONDS + 1e-6) for rate in (low, high))
    most = min(most, MAX_MESSAGES_PER_MINUTE)
    if most < 1:
        return 0
    return _last(enough, max(1, min(least, most)), most)


def least_tps(send: Send) -> int:
    """The lowest whole TPS at which all recipients get a live or a fresh list within the send's minutes.

    It can be more than Personalize allows.
    """
    crowded = send.rate * send.peak / SPENT_SHARE
    aging = send.cached_age_seconds + send.seconds > send.fresh_seconds
    least = math.ceil(crowded * (1.0 if aging else 1 - send.cached) - 1e-6)
    most = math.ceil(crowded - 1e-6)
    # What is too little grows up to one below the answer.
    return 1 + _last(lambda tps: not _all_served(send, tps), max(1, least) - 1, max(1, most) - 1)


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
    seen = simulate(send, at_most=SAMPLE_RECIPIENTS, tps=tps)
    return seen.share("personalize") + seen.share("cache") >= ALL_SHARE


def _prewarm(send: Send, spare: float) -> Prewarm:
    recipients = send.recipients - round(send.recipients * send.cached)
    seconds = recipients / (send.tps * SPENT_SHARE * spare)
    needed = seconds + send.seconds if recipients else 0.0
    return Prewarm(
        recipients=recipients,
        spare=spare,
        seconds=seconds,
        fresh_seconds_needed=needed,
        all_fresh=needed <= send.fresh_seconds,
        all_usable=needed <= send.stale_seconds,
    )


def duration(seconds: float) -> str:
    """As people say it: `2 d 3 h`, `3 h 4 min`, `5 min 6 s`, `7 s`."""
    whole = math.ceil(seconds)
    for large, first, small, second in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large:,} {first}" + (f" {rest} {second}" if rest else "")
    return f"{whole} s"
