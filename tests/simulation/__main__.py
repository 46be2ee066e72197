"""`python -m tests.simulation --seeds N`: N worlds, and whether every promise held in each of them.

A seed that fails is printed with what it broke; `--first SEED --seeds 1` plays it again, the same.
"""

import argparse
import logging
import sys
import time
from collections import Counter

import structlog

from tests.simulation.world import SECONDS, play


def main() -> int:
    """Exit status 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began, broken = time.monotonic(), 0
    sources: Counter[str] = Counter()
    for seed in range(options.first, options.first + options.seeds):
        world = play(seed)
        sources += world.sources
        if world.broken:
            broken += 1
            print(f"seed {seed}: {world.plan}", *world.broken[:5], sep="\n  ", flush=True)
    seconds = time.monotonic() - began
    print(f"{options.seeds} worlds of {SECONDS:g} s in {seconds:.0f} s, {broken} with a broken promise;", end=" ")
    print(", ".join(f"{source} {count}" for source, count in sources.most_common()))
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
