"""New users all the time on a small cache: memory, tasks and connections must come to rest.

`python -m bench.soak --seconds 600 --users-per-second 200` prints a line for each thirtieth of the time, and at the end
what did not come to rest; then the exit status is 1.
"""

import asyncio
import json
import os
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from tests.support.calls import client, make_call
from tests.support.processes import SAMPLE, Process, local_personalize, service

MAX_GROWTH: Final = 1.1
"""Memory of the last third over that of the second; the cache is full by then."""

MAX_MORE_DESCRIPTORS: Final = 16
"""In the last third more than in the second; calls come and go."""


def verdict(marks: Sequence[Mapping[str, float]]) -> list[str]:
    """What did not come to rest, a line each; empty if all is well. The first third is left to warming up."""
    third = len(marks) // 3
    second, last = marks[third : 2 * third], marks[2 * third :]
    if not second:
        return ["too few marks to tell"]

    def most(some: Sequence[Mapping[str, float]], name: str) -> float:
        return max(one.get(name, 0.0) for one in some)

    found = []
    if most(last, "resident_mib") > MAX_GROWTH * most(second, "resident_mib"):
        found.append(f"memory grows: {most(second, 'resident_mib'):g} MiB, then {most(last, 'resident_mib'):g} MiB")
    for name, more in (("descriptors", MAX_MORE_DESCRIPTORS), ("flights_open", MAX_MORE_DESCRIPTORS)):
        if most(last, name) > 2 * most(second, name) + more:
            found.append(f"{name} grow: {most(second, name):g}, then {most(last, name):g}")
    if bad := most(last, "bad"):
        found.append(f"{bad:g} calls were not answered in full")
    return found


def _descriptors(process: Process) -> int:
    return len(os.listdir(f"/proc/{process.popen.pid}/fd"))  # noqa: PTH208  # only their number


async def _soak(replica: Process, seconds: float, per_second: float, wanted: int) -> list[dict[str, float]]:
    marks: list[dict[str, float]] = []
    answers: Counter[str] = Counter()
    slowest = 0.0
    began = time.monotonic()
    pending: set[asyncio.Task[None]] = set()

    async def one(number: int) -> None:
        nonlocal slowest
        call = await make_call(session, replica.url, f"soak{number}", wanted)
        answers["complete" if call.status == 200 and call.complete else "bad"] += 1
        answers[call.source] += 1
        slowest = max(slowest, call.seconds)

    async with client() as session:
        for number in range(int(seconds * per_second)):
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
            task = asyncio.create_task(one(number))
            pending.add(task)
            task.add_done_callback(pending.discard)
            if number % max(1, int(seconds * per_second / 30)) == 0:
                mark = {
                    "second": round(time.monotonic() - began, 1),
                    "resident_mib": round(replica.resident_mib(), 1),
                    "descriptors": _descriptors(replica),
                    "slowest_ms": round(slowest * 1000, 1),
                    **await asyncio.to_thread(_metrics, replica),
                    **answers,
                }
                marks.append(mark)
                print(json.dumps(mark), flush=True)
        await asyncio.gather(*pending)
    return marks


@click.command()
@click.option("--seconds", default=600.0, show_default=True)
@click.option("--users-per-second", default=200.0, show_default=True)
@click.option("--tps", default=50.0, show_default=True)
@click.option("--cache-max-mb", default=64.0, show_default=True, help="Small enough to be full in the first third.")
@click.option("--num-results", default=10, show_default=True, help="Longer lists fill the cache sooner.")
@click.option("--data", default=str(SAMPLE), show_default=True, help="Directory of items.csv and interactions.csv.")
@click.option("--out", default="build/soak.json", show_default=True)
def main(
    *,
    seconds: float,
    users_per_second: float,
    tps: float,
    cache_max_mb: float,
    num_results: int,
    data: str,
    out: str,
) -> None:
    """One replica with a small cache and ever new users."""
    with (
        local_personalize(Path(data), tps=tps, latency_ms=30) as personalize,
        service(
            personalize,
            catalog=Path(data, "items.csv"),
            PERSONALIZE_TPS=str(tps),
            CACHE_MAX_MB=str(cache_max_mb),
        ) as replica,
    ):
        marks = asyncio.run(_soak(replica, seconds, users_per_second, num_results))
        metrics = _metrics(replica)
    Path(out).parent.mkdir(exist_ok=True)
    Path(out).write_text(json.dumps({"marks": marks, "metrics": metrics}, indent=1), "utf-8")
    print(json.dumps(metrics))
    problems = verdict(marks)
    print(*(problems or ["all came to rest"]), sep="\n")
    sys.exit(int(bool(problems)))


def _metrics(replica: Process) -> dict[str, float]:
    wanted = ("flights_open", "refresh_queue", "cache_entries", "cache_bytes")
    with urllib.request.urlopen(replica.url + "/metrics", timeout=10) as answer:  # noqa: S310  # loopback only
        lines = answer.read().decode().splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith(wanted)}


if __name__ == "__main__":
    main()
