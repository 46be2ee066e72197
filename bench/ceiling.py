"""`python -m bench.ceiling --seeds N`: the promise of the budget over N schedules of what may go wrong.

A seed that fails is printed with its schedule, and `--first SEED --seeds 1` runs it again.
"""

import argparse
import logging
import sys
import time
from collections import Counter

import structlog

from tests.support.spenders import MISSED, REACHED, Schedule, spend


def main() -> int:
    """Exit status 1 if a second held more than is promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    broken, began, highest = 0, time.monotonic(), Counter[str]()
    for seed in range(options.first, options.first + options.seeds):
        for name, kinds in (("reached", REACHED), ("missed", MISSED)):
            schedule = Schedule.of(seed, kinds)
            spenders = spend(schedule)
            promised = schedule.tps + 1 if kinds is REACHED else spenders.promised
            highest[name] = max(highest[name], round(100 * spenders.most / promised))
            if spenders.most > promised:
                broken += 1
                print(f"seed {seed}: {spenders.most} in a second, {promised:g} promised: {schedule}")
    print(f"{2 * options.seeds} schedules in {time.monotonic() - began:.0f} s, {broken} broken promises;", end=" ")
    print(f"at most {highest['reached']} % of the promise with Redis, {highest['missed']} % without")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
