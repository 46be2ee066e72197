"""`make bench`: the figures that the project promises, in one run.

Prints a table and writes `build/bench.json`; exit status 1 when a promise is not kept. `docs/performance.md` says how
to read it.
"""

import argparse
import datetime as dt
import json
import os
import platform
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from bench import (
    batch,
    catalog,
    console,
    data_check,
    hits,
    items_flood,
    misses,
    placements,
    plans,
    prewarm,
    redis_load,
    rehearsals,
    rehearse_pace,
    rolling_restart,
    sends,
    speed,
)
from bench.speed import DATA, LOAD_CORE
from tests.support.processes import ROOT

OUTPUT = ROOT / "build" / "bench.json"
REPEATS = {
    "hits": 5,
    "placements": 7,
    "misses": 3,
    "miss_cost": 5,
    "misses_and_hits": 5,
    "redis_load": 3,
    "pace": 3,
    "list_memory": 1,
    "connections": 3,
    "start": 3,
    "settings": 5,
    "catalog": 3,
    "catalog_turns": 3,
    "console": 5,
    "data_check": 2,
}
QUICK_REPEATS = {
    "hits": 1,
    "placements": 3,
    "misses": 1,
    "miss_cost": 1,
    "misses_and_hits": 1,
    "redis_load": 1,
    "pace": 1,
    "list_memory": 1,
    "connections": 1,
    "start": 1,
    "settings": 1,
    "catalog": 1,
    "catalog_turns": 1,
    "console": 2,
    "data_check": 1,
}


SPEED = {
    "hits": hits.hits,
    "pace": hits.pace,
    "list_memory": hits.list_memory,
    "miss_cost": misses.miss_cost,
    "misses_and_hits": misses.misses_and_hits,
    "redis_load": redis_load.redis_load,
    **speed.SCENARIOS,
    "placements": placements.hits_of_all_kinds,
}
ON_REQUEST = {
    **speed.ON_REQUEST,
    "catalog": catalog.catalog,
    "catalog_turns": catalog.catalog_turns,
    "console": console.console,
    "data_check": data_check.data_check,
}
SENDS = {
    **dict(sends.scenarios()),
    "rolling_restart": rolling_restart.rolling_restart,
    "prewarm": prewarm.prewarm,
    "batch": batch.batch,
    "planned_sends": plans.planned_sends,
    "rehearsals": rehearsals.rehearsals,
    "rehearse_pace": rehearse_pace.rehearse_pace,
    "items_flood": items_flood.items_flood,
}
PROMISES = {
    "rolling_restart": rolling_restart.promises,
    "prewarm": prewarm.promises,
    "batch": batch.promises,
    "planned_sends": plans.promises,
    "rehearsals": rehearsals.promises,
    "rehearse_pace": rehearse_pace.promises,
    "items_flood": items_flood.promises,
}


def main() -> None:
    """Measure what was asked for."""
    options = _options()
    begun = time.monotonic()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(LOAD_CORE, (os.cpu_count() or 1) - 1)})
    report: dict[str, Any] = {"machine": machine(), "figures": {}, "sends": {}}
    print(f"{report['machine']['processor']}, {report['machine']['cores']} cores,", end=" ")
    print(f"load {report['machine']['load']:.2f}, Python {report['machine']['python']}; data: {DATA.name}")
    kept = True
    repeats = QUICK_REPEATS if options.quick else REPEATS
    for name, measure in {**SPEED, **ON_REQUEST}.items():
        if name not in (options.only or SPEED):
            continue
        figures = measure(repeats[name])
        print(f"\n{name}", *(figure.line() for figure in figures), sep="\n")
        report["figures"][name] = [figure.as_dict() for figure in figures]
        kept &= all(figure.kept is not False for figure in figures)
    for name, run in SENDS.items():
        if (options.only and name not in options.only) or (not options.only and (options.quick or options.speed)):
            continue
        figures_of_send = run()
        kept_of = PROMISES.get(name) or partial(sends.promises, name)
        promises = kept_of(figures_of_send)
        print(f"\n{name}", *(f"  {'ok  ' if ok else 'FAIL'} {promise}" for promise, ok in promises.items()), sep="\n")
        report["sends"][name] = {"promises": promises, "figures": figures_of_send}
        kept &= all(promises.values())
    report["seconds"] = round(time.monotonic() - begun, 1)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(f"\n{report['seconds']:.0f} s; written to {OUTPUT.relative_to(ROOT)}")
    sys.exit(0 if kept else 1)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8").splitlines() if cpuinfo.exists() else []
    return {
        "processor": next(
            (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
        ),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def _options() -> argparse.Namespace:
    names = [*SPEED, *ON_REQUEST, *SENDS]
    parser = argparse.ArgumentParser(prog="python -m bench", description=main.__doc__)
    parser.add_argument("only", nargs="*", metavar="SCENARIO", help=f"only these: {', '.join(names)}")
    parser.add_argument("--speed", action="store_true", help="without the sends, which take seven minutes")
    parser.add_argument("--quick", action="store_true", help="without the sends and with fewer repeats")
    options = parser.parse_args()
    unknown = set(options.only) - set(names)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    main()
