"""The course of a send as numbers to be drawn."""

from dataclasses import dataclass

from service.models import Source
from service.sends.plan.answers import Plan
from service.sends.plan.course import SOURCES
from service.sends.plan.table import WHAT

COLORS: dict[Source, str] = {
    "personalize": "#1b7837",
    "cache": "#7fbf7b",
    "stale": "#d9a441",
    "batch": "#4393c3",
    "popular": "#bdbdbd",
}
"""One for each source, the same in every picture."""


@dataclass(frozen=True, slots=True)
class Curves:
    """What is drawn; everything by the second.

    Attributes:
        title: Of the picture.
        total_minutes: Of the send.
        minutes: Middle of each part of the send.
        recipients: By source, one for each part.
        transactions: One for each part.
        tps: The line that transactions stay below.
    """

    title: str
    total_minutes: float
    minutes: list[float]
    recipients: dict[Source, list[float]]
    transactions: list[float]
    tps: float

    @property
    def labels(self) -> dict[Source, str]:
        """What people call the sources that are drawn."""
        return {source: WHAT[source] for source in self.recipients}


def curves(plan: Plan) -> Curves:
    """The numbers of the picture; sources of which no recipient got a list are left out."""
    course = plan.course
    seconds = course.send.seconds / len(course.transaction_series)
    return Curves(
        title=f"{course.send.recipients:,} recipients, {course.send.minutes:g} minutes",
        total_minutes=course.send.minutes,
        minutes=[(place + 0.5) * seconds / 60 for place in range(len(course.transaction_series))],
        recipients={
            source: [count / seconds for count in course.series[source]]
            for source in SOURCES
            if any(course.series[source])
        },
        transactions=[count / seconds for count in course.transaction_series],
        tps=course.send.tps,
    )
