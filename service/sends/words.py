"""Figures as people say them."""

import datetime as dt
import math


def duration(seconds: float) -> str:
    """As people say it: `2 d 3 h`, `3 h 4 min`, `5 min 6 s`, `7 s`."""
    whole = math.ceil(seconds)
    for large, first, small, second in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large:,} {first}" + (f" {rest} {second}" if rest else "")
    return f"{whole} s"


def clock_time(moment: dt.datetime, now: dt.datetime) -> str:
    """A time with its zone, and its day if that is not today's: `14:30:00 CET`, `2026-11-27 14:30:00 UTC`."""
    day = "" if moment.date() == now.astimezone(moment.tzinfo).date() else f"{moment:%Y-%m-%d} "
    return f"{day}{moment:%H:%M:%S %Z}"
