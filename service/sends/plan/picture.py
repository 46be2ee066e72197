"""The course of a send as a picture."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

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


class PictureUnavailable(Exception):
    """No picture can be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Curves:
    """What is drawn; everything by the second.

    Attributes:
        minutes: Middle of each part of the send.
        recipients: By source, one for each part.
        transactions: One for each part.
        tps: The line that transactions stay below.
    """

    minutes: list[float]
    recipients: dict[Source, list[float]]
    transactions: list[float]
    tps: float


def curves(plan: Plan) -> Curves:
    """The numbers of the picture; sources that nobody got are left out."""
    course = plan.course
    seconds = course.send.seconds / len(course.transaction_series)
    return Curves(
        minutes=[(place + 0.5) * seconds / 60 for place in range(len(course.transaction_series))],
        recipients={
            source: [count / seconds for count in course.series[source]]
            for source in SOURCES
            if any(course.series[source])
        },
        transactions=[count / seconds for count in course.transaction_series],
        tps=course.send.tps,
    )


def check_possible() -> None:
    """Say before a long simulation that there will be no picture of it.

    Raises:
        PictureUnavailable: matplotlib is not installed.
    """
    try:
        import_module("matplotlib")
    except ImportError:
        raise PictureUnavailable("needs matplotlib: pip install 'personalize-connect[plot]'") from None


def draw(plan: Plan, path: Path) -> None:
    """Write a PNG: above, what recipients get; below, the transactions against the TPS.

    Raises:
        PictureUnavailable: matplotlib is not installed, or the file cannot be written.
    """
    check_possible()
    # This interface needs no display and keeps no state.
    from matplotlib.figure import Figure  # noqa: PLC0415  # an extra

    data = curves(plan)
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    above.stackplot(
        data.minutes,
        *data.recipients.values(),
        labels=[WHAT[source] for source in data.recipients],
        colors=[COLORS[source] for source in data.recipients],
    )
    above.axhline(data.tps, color="black", linestyle="--", label=f"{data.tps:g} TPS")
    above.set_ylabel("recipients a second")
    above.legend(loc="upper right")
    above.set_title(f"{plan.course.send.recipients:,} recipients, {plan.course.send.minutes:g} minutes")
    below.plot(data.minutes, data.transactions, color=COLORS["personalize"], label="transactions")
    below.axhline(data.tps, color="black", linestyle="--", label=f"{data.tps:g} TPS")
    below.set_ylabel("transactions a second")
    below.set_ylim(bottom=0)
    below.set_xlabel("minutes")
    below.legend(loc="lower right")
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise PictureUnavailable(f"{path} cannot be written: {error.strerror}") from error
