"""How long `data check` takes on 10 million interactions, and how much memory: `python -m bench data_check`."""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.speed import Figure

ROWS = 10_000_000
USERS = 600_000
ITEMS = 80_000
SECONDS = 60.0
RESIDENT_MB = 300.0


def data_check(repeats: int) -> list[Figure]:
    """Seconds and peak memory of a check, the best of some."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "interactions.csv")
        _write(path)
        runs = [_run(path) for _ in range(repeats)]
    seconds, megabytes = min(run[0] for run in runs), max(run[1] for run in runs)
    detail = f"{ROWS:,} interactions of {USERS:,} users, the fastest of {repeats}"
    return [
        Figure("data check", seconds, "s", f"< {SECONDS:g}", seconds < SECONDS, detail),
        Figure("data check, resident", megabytes, "MB", f"< {RESIDENT_MB:g}", megabytes < RESIDENT_MB, "the largest"),
    ]


def _write(path: Path) -> None:
    chance = random.Random(1)
    events = ("View", "View", "View", "AddToCart", "Purchase")
    with path.open("w", encoding="utf-8") as stream:
        stream.write("USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP\n")
        for at in range(ROWS):
            user, item = int(chance.random() ** 2 * USERS), int(chance.random() ** 3 * ITEMS)
            event = events[int(chance.random() * 5)]
            stream.write(f"user-{user},item-{item:06d},{event},{1_700_000_000 + at * 2}\n")


_CHILD = """
import resource, sys
from service.cli import main
try:
    main(["data", "check", "--interactions", sys.argv[1]], standalone_mode=False)
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def _run(path: Path) -> tuple[float, float]:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", _CHILD, str(path)], capture_output=True, text=True, check=True)
    return time.monotonic() - began, int(done.stderr.split()[-1]) * 1024 / 1e6
