"""The picture of a send as a PNG; it needs matplotlib."""

from pathlib import Path

# This interface needs no display and keeps no state.
from matplotlib.figure import Figure

from service.sends.plan.curves import COLORS, Curves


def write_png(data: Curves, path: Path) -> None:
    """Write the picture.

    Raises:
        OSError: The file cannot be written.
    """
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    above.stackplot(
        data.minutes,
        *data.recipients.values(),
        labels=list(data.labels.values()),
        colors=[COLORS[source] for source in data.recipients],
    )
    above.axhline(data.tps, color="black", linestyle="--", label=f"{data.tps:g} TPS")
    above.set_ylabel("recipients a second")
    above.legend(loc="upper right")
    above.set_title(data.title)
    below.plot(data.minutes, data.transactions, color=COLORS["personalize"], label="transactions")
    below.axhline(data.tps, color="black", linestyle="--", label=f"{data.tps:g} TPS")
    below.set_ylabel("transactions a second")
    below.set_ylim(bottom=0)
    below.set_xlabel("minutes")
    below.legend(loc="lower right")
    figure.savefig(path, format="png", dpi=120)
