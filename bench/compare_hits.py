"""The processor time of a hit in this tree and in another one: `python -m bench.compare_hits FOLDER [TURNS]`.

FOLDER is a checkout of the other commit (`git worktree add FOLDER COMMIT`). All servers share core 0 and are asked one
after another in each turn, so other work on the machine slows them alike. A ratio below 1 says that this tree costs
less. It promises nothing and exits 0.
"""

import os
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

from bench.hits import CONNECTIONS, PREFIX
from bench.speed import LOAD_CORE, MANY_USERS, USERS, flooded, reference, replica_of
from tests.support import processes
from tests.support.processes import ROOT, Process

TURNS = 3
SECONDS = 1.0


def main() -> None:
    """Print a line for each number of connections, and one for few users."""
    other, turns = Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else TURNS
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(LOAD_CORE, (os.cpu_count() or 1) - 1)})
    with ExitStack() as stack:
        before, now = (_filled(stack, folder) for folder in (other, ROOT))
        raw = stack.enter_context(reference("raw", now, user=f"{PREFIX}0"))
        kinds = [(count, MANY_USERS) for count in CONNECTIONS] + [(32, USERS)]
        costs: dict[tuple[int, int], list[tuple[float, ...]]] = {kind: [] for kind in kinds}
        for _ in range(turns):
            for count, users in kinds:
                costs[count, users].append(tuple(_cost(one, count, users) for one in (before, now, raw)))
    print(f"{'connections':>11} {'users':>8} {'before':>8} {'now':>8} {'raw ASGI':>8}   now/before   raw/now")
    for (count, users), found in costs.items():
        shown = " ".join(f"{statistics.median(one):>5.1f} us" for one in zip(*found, strict=True))
        changed = statistics.median(one[1] / one[0] for one in found)
        against = statistics.median(one[2] / one[1] for one in found)
        print(f"{count:>11} {users:>8,} {shown} {changed:>12.2f} {against:>9.2f}")


def _filled(stack: ExitStack, folder: Path) -> Process:
    """A replica of the code in this folder, with lists for all users."""
    processes.ROOT = folder
    try:
        replica = stack.enter_context(replica_of(None, arguments=("bench.prefilled_service",), CACHE_MAX_MB="512"))
    finally:
        processes.ROOT = ROOT
    replica.post(f"/_fill?users={MANY_USERS}")
    return replica


def _cost(server: Process, connections: int, users: int) -> float:
    return flooded(server, prefix=PREFIX, users=users, connections=connections, seconds=SECONDS).cpu_us


if __name__ == "__main__":
    main()
