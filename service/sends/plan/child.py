"""The program of the child process that plans a send for a page: seconds of work that no replica can lend.

One line of JSON on standard input says what is sent and how far the process stands back behind others. It answers with
a line: the plan as `plan --json` prints it, with a sentence and a picture, or the problem.
"""

import os
import sys
from typing import Any

import orjson

from service.sends.plan.answers import Plan, Prices, plan
from service.sends.plan.curves import curves
from service.sends.plan.send import Send
from service.sends.plan.svg import svg
from service.sends.plan.table import WHAT

AT_MOST = 30_000
"""Recipients simulated one by one: half a second of work, and shares within a point of a whole simulation's."""


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """What the page gets."""
    try:
        planned = plan(Send(**job["send"]), prices=Prices(), spare=job["spare"], at_most=AT_MOST)
    except ValueError as error:
        return {"problem": str(error)}
    return {**planned.as_dict(), "sentence": sentence(planned), "words": WHAT, "svg": svg(curves(planned))}


def sentence(planned: Plan) -> str:
    """Which share of the recipients gets what, the best first."""
    course = planned.course
    fresh = course.share("personalize") + course.share("cache")
    older = course.share("stale") + course.share("batch")
    parts = [
        f"{_percent(fresh)} will get a live or a fresh list",
        *([f"{_percent(older)} an older list of their own"] if older else []),
        *([f"{_percent(course.share('popular'))} popular items"] if course.share("popular") else []),
    ]
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1] + "."


def _percent(share: float) -> str:
    if 0 < share < 0.01:  # noqa: PLR2004  # 0 % would be wrong
        return "less than 1 %"
    if 0.99 < share < 1:  # noqa: PLR2004  # 100 % would be wrong
        return "more than 99 %"
    return f"{share:.0%}".replace("%", " %")


if __name__ == "__main__":
    asked = orjson.loads(sys.stdin.buffer.readline())
    os.nice(asked["niceness"])
    sys.stdout.buffer.write(orjson.dumps(answer(asked)) + b"\n")
