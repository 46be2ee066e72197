"""What a hit costs: over as many users as a send has, against raw ASGI, at a fixed rate; and what the lists weigh.

The server runs on core 0, the load on core 1. Its processor time is the kernel's own account of the process, which
other work on the machine moves little. A ratio is of two loads in the same turn.
"""

import statistics
from contextlib import ExitStack

from bench.load import flood
from bench.quiet_machine import Quiet
from bench.speed import MANY_USERS, USERS, Answers, Figure, answers, flooded, reference, replica_of

CONNECTIONS = (4, 32, 256)
PACE = 25_000
PACE_CONNECTIONS = 512
PACE_DELAY_MS = (15, 23)
"""Between an answer and the next call of its connection; that makes `PACE` a second, and a little more."""

MILLION = 1_000_000
PREFIX = "filled"


def hits(repeats: int) -> list[Figure]:
    """Hits over a hundred thousand random users and over five hundred, against raw ASGI with their bytes."""
    with ExitStack() as stack:
        replica = stack.enter_context(replica_of(None, arguments=("bench.prefilled_service",), CACHE_MAX_MB="512"))
        replica.post(f"/_fill?users={MANY_USERS}")
        raw, fastapi = (stack.enter_context(reference(kind, replica, user=f"{PREFIX}0")) for kind in ("raw", "fastapi"))

        def turn(_: int) -> dict[str, Answers]:
            done = {}
            for count in CONNECTIONS:
                done[f"many {count}"] = flooded(replica, prefix=PREFIX, users=MANY_USERS, connections=count, seconds=2)
                done[f"raw {count}"] = flooded(raw, prefix=PREFIX, connections=count, seconds=2)
            done["few"] = flooded(replica, prefix=PREFIX, connections=32, seconds=2)
            done["fastapi"] = flooded(fastapi, prefix=PREFIX, connections=32, seconds=1)
            return done

        quiet: Quiet[dict[str, Answers]] = Quiet([replica, raw, fastapi])
        turns = quiet.turns(repeats, turn)
    figures = []
    for count in CONNECTIONS:
        what = f"hits over {MANY_USERS:,} random users, {count} connections"
        figures += _against_raw(turns, what, f"many {count}", f"raw {count}", 0.9)
    figures += _against_raw(turns, f"hits over {USERS} users, 32 connections", "few", "raw 32", 1.0)
    fastapi_us = statistics.median(one["fastapi"].cpu_us for one in turns)
    figures.append(Figure("a FastAPI route with the same bytes", fastapi_us, "us", detail=str(quiet)))
    return figures


def _against_raw(turns: list[dict[str, Answers]], what: str, ours: str, raw: str, least: float) -> list[Figure]:
    ratios = sorted(one[raw].cpu_us / one[ours].cpu_us for one in turns)
    ratio = statistics.median(ratios)
    cost, raw_cost = (statistics.median(one[name].cpu_us for one in turns) for name in (ours, raw))
    rate, raw_rate = (statistics.median(one[name].load.per_second for one in turns) for name in (ours, raw))
    p99 = statistics.median(one[ours].load.p99_ms for one in turns)
    return [
        Figure(
            f"{what}: raw ASGI's CPU / a hit's",
            ratio,
            "",
            f">= {least:g}",
            ratio >= least,
            f"{ratios[0]:.2f} to {ratios[-1]:.2f}; {cost:.0f} and {raw_cost:.0f} us;"
            f" {rate:,.0f} and {raw_rate:,.0f} answers/s; p99 {p99:.1f} ms",
        )
    ]


def pace(repeats: int) -> list[Figure]:
    """As many calls a second as Braze's fastest send makes, over a hundred thousand users."""
    with replica_of(None, arguments=("bench.prefilled_service",), CACHE_MAX_MB="512") as replica:
        replica.post(f"/_fill?users={MANY_USERS}")

        def turn(_: int) -> Answers:
            return answers(
                replica,
                lambda: flood(
                    replica.url,
                    prefix=PREFIX,
                    users=MANY_USERS,
                    connections=PACE_CONNECTIONS,
                    seconds=5,
                    delay_ms=PACE_DELAY_MS,
                ),
            )

        quiet: Quiet[Answers] = Quiet([replica])
        turns = quiet.turns(repeats, turn)
    rate = statistics.median(one.load.per_second for one in turns)
    cores = statistics.median(one.cpu_us for one in turns) * PACE / 1e6
    p99 = statistics.median(one.load.p99_ms for one in turns)
    what = f"{PACE:,} calls/s over {MANY_USERS:,} users"
    return [
        Figure(f"{what}: held", rate, "calls/s", f">= {PACE:,}", rate >= PACE, str(quiet)),
        Figure(f"{what}: CPU", cores, "cores", "<= 0.7", cores <= 0.7, f"{cores * 1e6 / PACE:.0f} us a call"),
        Figure(f"{what}: p99", p99, "ms", "<= 20 ms", p99 <= 20),
    ]


def list_memory(repeats: int) -> list[Figure]:
    """What lists of 25 items weigh in a process: a hundred thousand, and a million."""
    del repeats
    with replica_of(None, arguments=("bench.prefilled_service",), CACHE_MAX_MB="512") as replica:
        # Once with a few, so that what is made at first use is not counted.
        replica.post(f"/_fill?users={USERS}")
        empty = replica.resident_mib()
        filled = replica.post(f"/_fill?users={MANY_USERS}")
        # The dictionary has just doubled here, which weighs on few lists more than on many.
        few = (replica.resident_mib() - empty) * 2**20 / filled["entries"]
        accounted = filled["bytes"] / filled["entries"]
        for first in range(MANY_USERS, MILLION, MANY_USERS):
            filled = replica.post(f"/_fill?users={MANY_USERS}&first={first}")
        grown = (replica.resident_mib() - empty) * 2**20 / 1e6
    return [
        Figure(
            "a cached list of 25, of a million",
            grown,
            "bytes",
            "<= 275",
            grown <= 275,
            f"{accounted:.0f} as accounted; {few:.0f} of {MANY_USERS:,}",
        ),
        Figure(f"{filled['entries']:,} of them", grown, "MB", "<= 300 MB", grown <= 300),
    ]
