"""A plan for people."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from service.models import Source
from service.sends.plan.answers import Plan
from service.sends.plan.course import SOURCES
from service.sends.plan.limits import BRAZE_PEAK
from service.sends.words import duration

WHAT: dict[Source, str] = {
    "personalize": "live",
    "cache": "cached",
    "stale": "stale",
    "batch": "batch",
    "popular": "popular, not personal",
}
"""What people call the sources."""


def table(plan: Plan) -> Group:
    """The verdict, shares, answers and notes, to be printed by rich."""
    send, course = plan.course.send, plan.course
    shares = Table(title=f"{send.recipients:,} recipients in {duration(send.seconds)} at {send.tps:g} TPS")
    for heading in ("list", "recipients", "share", "calls", "share of calls"):
        shares.add_column(heading, justify="left" if heading == "list" else "right")
    for source in SOURCES:
        shares.add_row(
            WHAT[source],
            f"{course.recipients[source]:,}",
            f"{course.share(source):.1%}",
            f"{course.calls[source]:,}",
            f"{course.share_of_calls(source):.1%}",
        )
    answers = Table(show_header=False)
    answers.add_column(style="bold")
    answers.add_column(justify="right")
    for row in _answers(plan):
        answers.add_row(*row)
    verdict = plan.verdict
    ways = (Text(f"{number}. {way}") for number, way in enumerate(verdict.ways_out, 1))
    return Group(
        Text(verdict.sentence, style="bold"),
        *ways,
        Text(),
        shares,
        answers,
        *(Text(f"- {note}") for note in plan.notes()),
    )


def _answers(plan: Plan) -> list[tuple[str, str]]:
    send, course, cost = plan.course.send, plan.course, plan.cost
    in_bursts = []
    if send.peak < BRAZE_PEAK:
        bursts = f"  with {BRAZE_PEAK:g} times as many at the peaks of a minute"
        in_bursts = [(bursts, f"{plan.all_live_per_minute_in_bursts:,}")]
    rows = [
        ("messages a minute of this send", f"{send.recipients / send.minutes:,.0f}"),
        ("messages a minute at which all could be live", f"{plan.all_live_per_minute:,}"),
        *in_bursts,
        ("TPS at which all could be live in this time", f"{plan.all_live_tps:,}"),
        ("lists to prewarm", f"{plan.prewarm.recipients:,}"),
        ("prewarm must start, before the send", duration(plan.prewarm.seconds)),
        ("transactions", f"{course.transactions:,}"),
        ("TPS-hours", f"{plan.tps_hours:,.2f}"),
    ]
    for name, price in (("send", cost.send), ("prewarm", cost.prewarm), ("batch", cost.batch)):
        if price is not None:
            rows.append((f"cost of the {name}", f"{price:,.2f}"))
    return rows
