"""What a marketer and an operator want to know of a send."""

import math
from dataclasses import dataclass, replace
from typing import Any, Final

from service.constants import PERSONALIZE_MAX_TPS
from service.sends.display import Display, NoDisplay
from service.sends.plan.course import SOURCES, Course
from service.sends.plan.limits import BRAZE_PEAK, MIN_MESSAGES_PER_MINUTE, least_tps, most_messages_per_minute
from service.sends.plan.prewarm_plan import PrewarmPlan, plan_prewarm
from service.sends.plan.send import Send
from service.sends.plan.simulation import MAX_EXACT_RECIPIENTS, simulate
from service.sends.plan.verdict import Verdict, verdict_on
from service.sends.ports import DEFAULT_SPARE
from service.sends.words import duration

MAX_PRICE: Final = 1_000_000.0
"""Highest price, in whatever currency."""

HOUR_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Prices:
    """What the operator pays; None: not known, so no cost is shown.

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
class Cost:
    """What things cost, in the currency of the prices; None where no price was given."""

    send: float | None
    prewarm: float | None
    batch: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The answers.

    Attributes:
        verdict: Whether that is good, and what to do if it is not.
        course: The send as it would go.
        all_live_per_minute: Highest messages a minute at which all have a live or fresh list.
        all_live_per_minute_in_bursts: The same if the messages of a minute are as crowded as Braze's have been seen.
        all_live_tps: Lowest whole `PERSONALIZE_TPS` at which all have one within the minutes given.
        prewarm: What it takes to have all lists before.
        tps_hours: Of the campaign during the send.
        cost: Of the send, of prewarming and of the batch.
    """

    verdict: Verdict
    course: Course
    all_live_per_minute: int
    all_live_per_minute_in_bursts: int
    all_live_tps: int
    prewarm: PrewarmPlan
    tps_hours: float
    cost: Cost

    def notes(self) -> list[str]:
        """What the figures do not show by themselves."""
        send = self.course.send
        notes = []
        if send.items:
            notes.append(f"Lists are kept per item: each recipient asks for one of {send.items:,} items at random.")
        if self.course.scale > 1:
            simulated = f"{send.recipients / self.course.scale:,.0f} recipients at the same rate for a shorter while"
            notes.append(f"Simulated at a scale of 1 : {self.course.scale:,.4g}: {simulated}.")
        if self.all_live_tps > PERSONALIZE_MAX_TPS:
            notes.append(f"{self.all_live_tps:,} TPS are more than the {PERSONALIZE_MAX_TPS:,} of an AWS account.")
        if self.all_live_per_minute < MIN_MESSAGES_PER_MINUTE:
            notes.append(f"Braze's lowest rate limit is {MIN_MESSAGES_PER_MINUTE} messages a minute.")
        if send.cached and send.cached_age_seconds + send.seconds > send.fresh_seconds:
            left = max(0.0, send.fresh_seconds - send.cached_age_seconds)
            setting = "CACHE_STALE_SECONDS" if send.active else "CACHE_FRESH_SECONDS"
            notes.append(f"Lists that are fresh at the start are so for {duration(left)} of the send ({setting}).")
        if self.course.refreshes_after:
            notes.append(
                f"{self.course.refreshes_after:,} stale lists are still to be refreshed when the send is over."
            )
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
        send, course = self.course.send, self.course
        return {
            "verdict": {
                "all_fresh": self.verdict.all_fresh,
                "sentence": self.verdict.sentence,
                "ways_out": list(self.verdict.ways_out),
            },
            "send": {name: getattr(send, name) for name in send.__slots__},
            "scale": course.scale,
            "recipients": {
                source: {"count": course.recipients[source], "share": course.share(source)} for source in SOURCES
            },
            "calls": {
                source: {"count": course.calls[source], "share": course.share_of_calls(source)} for source in SOURCES
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
                "send": course.transactions,
                "of_them_refreshes": course.refreshes,
                "refreshes_after": course.refreshes_after,
            },
            "tps_hours": self.tps_hours,
            "cost": {"send": self.cost.send, "prewarm": self.cost.prewarm, "batch": self.cost.batch},
            "most_wait_seconds": course.longest_wait_seconds,
            "notes": self.notes(),
            "series": {
                "seconds_per_point": send.seconds / len(course.transaction_series),
                "recipients": course.series,
                "transactions": course.transaction_series,
            },
        }


def plan(
    send: Send,
    *,
    prices: Prices,
    spare: float = DEFAULT_SPARE,
    at_most: int = MAX_EXACT_RECIPIENTS,
    display: Display | None = None,
) -> Plan:
    """Answer everything about a send; takes up to a minute.

    Args:
        send: What is sent.
        prices: What the operator pays.
        spare: Share of the TPS that prewarm may spend.
        at_most: Recipients simulated one by one.
        display: Where people watch.

    Raises:
        ValueError: `spare` is not above 0 and at most 1.
    """
    if not 0 < spare <= 1:
        raise ValueError(f"spare is {spare:g}, and can be above 0 and up to 1")
    display = display or NoDisplay()
    course = _watched(send, at_most, display)
    prewarm = plan_prewarm(send, spare)
    with display.track("looking for the rate and the TPS", "sends") as track:
        per_minute = most_messages_per_minute(send, on_step=track.advance)
        in_bursts = per_minute
        if send.peak < BRAZE_PEAK:
            in_bursts = most_messages_per_minute(replace(send, peak=BRAZE_PEAK), on_step=track.advance)
        tps = least_tps(send, on_step=track.advance)
    hours = send.seconds / HOUR_SECONDS
    per_hour, per_1000 = prices.per_tps_hour, prices.per_1000_batch
    cost = Cost(
        send=None if per_hour is None else send.tps * hours * per_hour,
        prewarm=None if per_hour is None else send.tps * prewarm.seconds / HOUR_SECONDS * per_hour,
        batch=None if per_1000 is None else round(send.lists * send.batch) / 1000 * per_1000,
    )
    return Plan(
        verdict=verdict_on(course, per_minute=per_minute, tps=tps, prewarm=prewarm),
        course=course,
        all_live_per_minute=per_minute,
        all_live_per_minute_in_bursts=in_bursts,
        all_live_tps=tps,
        prewarm=prewarm,
        tps_hours=send.tps * hours,
        cost=cost,
    )


def _watched(send: Send, at_most: int, display: Display) -> Course:
    total = min(send.recipients, at_most)
    done = 0
    with display.track("simulating", "recipients", total) as track:

        def advance(recipients: int) -> None:
            nonlocal done
            done += recipients
            track.advance(recipients)
            display.mention(lambda: f"simulating: {done:,} of {total:,} recipients")

        return simulate(send, at_most=at_most, on_recipients=advance)
