"""Figures as people say them."""

import math


def duration(seconds: float) -> str:
    """As people say it: `2 d 3 h`, `3 h 4 min`, `5 min 6 s`, `7 s`."""
    whole = math.ceil(seconds)
    for large, first, small, second in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large:,} {first}" + (f" {rest} {second}" if rest else "")
    return f"{whole} s"
