"""What `personalize-connect plan` does with what it is told."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from service.sends.plan.answers import Prices, plan
from service.sends.plan.picture import PictureUnavailable, check_possible, draw
from service.sends.plan.send import Send
from service.sends.plan.table import table

__all__ = ["PictureUnavailable", "run"]

WIDTH = 100
"""Columns of the table where there is no terminal."""


def run(inputs: Mapping[str, float], *, as_json: bool, plot: Path | None) -> None:
    """Print the plan, and draw it if asked.

    Args:
        inputs: The command's options by name.
        as_json: Print JSON instead of the table.
        plot: Where the picture goes.

    Raises:
        ValueError: An input is out of bounds; the message names it.
        PictureUnavailable: There can be no picture. If that is known before, nothing is simulated.
    """
    send = Send(
        recipients=int(inputs["recipients"]),
        passes=int(inputs["passes"]),
        minutes=inputs["minutes"],
        tps=inputs["tps"],
        cached=inputs["cached"],
        stale=inputs["stale"],
        batch=inputs["batch"],
        cached_age_seconds=inputs["cached_age"],
        stale_newer=bool(inputs["stale_newer"]),
        gap_seconds=inputs["gap"],
        peak=inputs["peak"],
        latency_seconds=inputs["latency_ms"] / 1000,
        fresh_seconds=inputs["fresh_seconds"],
        stale_seconds=inputs["stale_seconds"],
        deadline_seconds=inputs["deadline"],
    )
    prices = Prices(inputs["price_per_tps_hour"], inputs["price_per_1000_batch"])
    if plot is not None:
        check_possible()
    answers = plan(send, prices=prices, spare=inputs["spare"])
    if as_json:
        sys.stdout.write(json.dumps(answers.as_dict(), allow_nan=False) + "\n")
    else:
        console = Console(highlight=False)
        Console(highlight=False, width=None if console.is_terminal else WIDTH).print(table(answers))
    if plot is not None:
        draw(answers, plot)
