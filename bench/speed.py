"""What a hit and a miss cost, and what many users and many connections do to it.

The server has core 0 to itself, load and local Personalize share core 1. Every figure is a median of repeats, and
what is compared is measured in turns, so that other work on the machine slows both.
"""

import contextlib
import json
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.load import Load, call_each, flood, paced
from bench.processes import RETAIL, SAMPLE, Running, free_port, local_personalize, running, service

SERVER_CORE = 0
LOAD_CORE = 1

USERS = 500
MANY_USERS = 100_000
LATENCY_MS = 40.0
MISSES_PER_SECOND = 150
PERSONALIZE_TPS = 400
IDLE_CONNECTIONS = 2_000
CALLS_PER_SECOND = 1_000

DATA = RETAIL if RETAIL.is_dir() else SAMPLE
NEVER_STALE = {"CACHE_FRESH_SECONDS": "86400", "ACCESS_LOG_SAMPLE": "0.01"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    unit: str
    wanted: str = ""
    """Empty for a figure without a promise."""

    kept: bool | None = None
    """Whether the promise is kept."""

    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "value": round(self.value, 3),
            "unit": self.unit,
            "wanted": self.wanted,
            "kept": self.kept,
            "detail": self.detail,
        }


def hits(repeats: int) -> list[Figure]:
    """Hits against a raw ASGI application and a FastAPI route on the same server, bytes and headers."""
    with ExitStack() as stack:
        personalize = stack.enter_context(local_personalize(DATA, core=LOAD_CORE))
        replica = stack.enter_context(replica_of(personalize))
        warm(replica)
        servers = {"hits": replica}
        for kind in ("raw", "fastapi"):
            servers[kind] = stack.enter_context(reference(kind, replica))
        rates: dict[str, list[float]] = {name: [] for name in servers}
        costs: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(repeats):
            for name, server in servers.items():
                before = server.cpu_seconds()
                load = flood(server.url, prefix="u", users=USERS, connections=32, seconds=2)
                good(load, name)
                rates[name].append(load.per_second)
                costs[name].append((server.cpu_seconds() - before) / load.answers * 1e6)
    ratio = paired(rates["hits"], rates["raw"])
    fastapi_ratio = paired(rates["fastapi"], rates["raw"])
    rate = {name: statistics.median(values) for name, values in rates.items()}
    cost = {name: statistics.median(values) for name, values in costs.items()}
    return [
        Figure("raw ASGI", rate["raw"], "answers/s", detail=f"{cost['raw']:.0f} us of CPU each"),
        Figure("hits", rate["hits"], "answers/s", detail=f"{cost['hits']:.0f} us of CPU each"),
        Figure("FastAPI route", rate["fastapi"], "answers/s", detail=f"{cost['fastapi']:.0f} us of CPU each"),
        Figure("hits / raw ASGI", ratio, "", ">= 0.6", ratio >= 0.6, spread(rates["hits"], rates["raw"])),
        Figure("FastAPI route / raw ASGI", fastapi_ratio, ""),
        Figure("CPU of raw ASGI / CPU of a hit", cost["raw"] / cost["hits"], "", detail="hardly moved by other work"),
    ]


def misses(repeats: int) -> list[Figure]:
    """Hits at 4 connections without and with misses in flight, and what those misses wait beyond upstream."""
    alone: list[Load] = []
    together: list[Load] = []
    missing: list[Load] = []
    quiet: list[Load] = []
    cost: list[float] = []
    seconds = 4.0
    with (
        local_personalize(DATA, latency_ms=LATENCY_MS, core=LOAD_CORE) as personalize,
        replica_of(personalize) as replica,
    ):
        warm(replica)
        for turn in range(repeats):
            alone.append(flood(replica.url, prefix="u", users=USERS, connections=4, seconds=seconds))
            personalize.post("/_stats/reset")
            before = replica.cpu_seconds()
            quiet.append(misses_only(replica, f"q{turn}x", seconds / 2))
            cost.append((replica.cpu_seconds() - before) / quiet[-1].answers * 1e6)
            with ThreadPoolExecutor(1) as thread:
                flooding = thread.submit(flood, replica.url, prefix="u", users=USERS, connections=4, seconds=seconds)
                missing.append(misses_only(replica, f"m{turn}x", seconds))
                together.append(flooding.result())
    for load in (*alone, *together, *missing, *quiet):
        good(load, "misses")
    p99_alone = statistics.median(load.p99_ms for load in alone)
    p99 = statistics.median(load.p99_ms for load in together)
    added = statistics.median(load.p50_ms for load in missing) - LATENCY_MS
    added_quiet = statistics.median(load.p50_ms for load in quiet) - LATENCY_MS
    limit = max(3 * p99_alone, 8.0)
    return [
        Figure("hits' p99 at 4 connections, no misses", p99_alone, "ms"),
        Figure(
            f"hits' p99 at 4 connections, {MISSES_PER_SECOND} misses/s",
            p99,
            "ms",
            "<= 3 x or 8 ms",
            p99 <= limit,
            detail=f"{statistics.median(load.per_second for load in together):.0f} hits/s beside them",
        ),
        Figure("those misses' p50 over upstream", added, "ms", "<= 15 ms", added <= 15),
        Figure("misses' p50 over upstream, no hits", added_quiet, "ms"),
        Figure("CPU of a miss", statistics.median(cost), "us"),
    ]


def many_users(repeats: int) -> list[Figure]:
    """Hits spread over a hundred thousand cached users against five hundred, and what the lists weigh."""
    few: list[Load] = []
    many: list[Load] = []
    with replica_of(None, arguments=("bench.prefilled",), CACHE_MAX_MB="512") as replica:
        # Once with a few, so that what is made at first use is not counted.
        replica.post(f"/_fill?users={USERS}")
        empty = replica.resident_mib()
        filled = replica.post(f"/_fill?users={MANY_USERS}")
        full = replica.resident_mib()
        call_each(replica.port, [f"filled{number}" for number in range(USERS)])
        for _ in range(repeats):
            few.append(flood(replica.url, prefix="filled", users=USERS, connections=32, seconds=3))
            many.append(flood(replica.url, prefix="filled", users=MANY_USERS, connections=32, seconds=3))
        peak = replica.peak_mib()
    for load in (*few, *many):
        good(load, "many users")
    p99_few = statistics.median(load.p99_ms for load in few)
    p99_many = statistics.median(load.p99_ms for load in many)
    ratio = paired([load.p99_ms for load in many], [load.p99_ms for load in few])
    grown = full - empty
    return [
        Figure(f"hits' p99 at 32 connections over {USERS} users", p99_few, "ms"),
        Figure(f"hits' p99 at 32 connections over {MANY_USERS} users", p99_many, "ms"),
        Figure("the second / the first", ratio, "", "<= 3", ratio <= 3),
        Figure(
            f"hits over {MANY_USERS} users",
            statistics.median(load.per_second for load in many),
            "answers/s",
            detail=f"{statistics.median(load.per_second for load in few):.0f} over {USERS}",
        ),
        Figure(f"{MANY_USERS} lists of 25 in memory", grown, "MiB", "<= 70 MB", grown * 2**20 <= 70e6),
        Figure(
            "a cached list",
            grown * 2**20 / filled["entries"],
            "bytes",
            detail=f"{filled['bytes'] / filled['entries']:.0f} as accounted in cache_bytes",
        ),
        Figure("peak memory with them, under load", peak, "MiB", detail=f"{empty:.0f} MiB empty"),
    ]


def connections(repeats: int) -> list[Figure]:
    """Calls at a fixed rate while two thousand idle connections stay open."""
    loads = []
    with local_personalize(DATA, core=LOAD_CORE) as personalize, replica_of(personalize) as replica:
        warm(replica)
        for _ in range(repeats):
            loads.append(
                paced(
                    replica.port,
                    lambda number: f"u{number % USERS}",
                    per_second=CALLS_PER_SECOND,
                    connections=64,
                    seconds=5,
                    idle_connections=IDLE_CONNECTIONS,
                )
            )
    failed = sum(load.failed for load in loads)
    p99 = statistics.median(load.p99_ms for load in loads)
    what = f"{CALLS_PER_SECOND} calls/s beside {IDLE_CONNECTIONS} idle connections"
    return [
        Figure(f"{what}: failed", failed, "calls", "0", failed == 0),
        Figure(f"{what}: p99", p99, "ms", "< 100 ms", p99 < 100),
        Figure(f"{what}: reached", statistics.median(load.per_second for load in loads), "calls/s"),
    ]


def start(repeats: int) -> list[Figure]:
    """From the process's start to its first good answer on `/readyz`, and what it weighs then."""
    ready, resident = [], []
    with local_personalize(DATA, core=LOAD_CORE) as personalize:
        for _ in range(repeats):
            with replica_of(personalize) as replica:
                ready.append(replica.ready_seconds)
                resident.append(replica.resident_mib())
    seconds = statistics.median(ready)
    return [
        Figure("start to ready", seconds, "s", "<= 2 s", seconds <= 2),
        Figure("memory when ready", statistics.median(resident), "MiB"),
    ]


SCENARIOS = {
    "hits": hits,
    "misses": misses,
    "many_users": many_users,
    "connections": connections,
    "start": start,
}
"""By name, in the order of the table."""


def misses_only(replica: Running, prefix: str, seconds: float) -> Load:
    """Calls for users that were never seen."""
    return paced(
        replica.port,
        lambda number: f"{prefix}{number}",
        per_second=MISSES_PER_SECOND,
        connections=64,
        seconds=seconds,
    )


def replica_of(
    personalize: Running | None, *, arguments: Sequence[str] = ("service", "serve"), **settings: str
) -> "contextlib.AbstractContextManager[Running]":
    """The service on its core."""
    return service(
        personalize,
        catalog=DATA / "items.csv",
        core=SERVER_CORE,
        arguments=arguments,
        PERSONALIZE_TPS=str(PERSONALIZE_TPS),
        **NEVER_STALE | settings,
    )


@contextlib.contextmanager
def reference(kind: str, replica: Running) -> Iterator[Running]:
    """A server that answers with the very bytes and headers of a hit."""
    with urllib.request.urlopen(f"{replica.url}/recommendations?user_id=u0", timeout=10) as answer:  # noqa: S310  # loopback only
        body = answer.read()
        headers = [pair for pair in answer.getheaders() if pair[0].lower() not in ("date", "connection")]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer.json"
        file.write_text(json.dumps({"headers": headers, "body": body.decode("latin-1")}), "utf-8")
        port = free_port()
        command = [sys.executable, "-m", "bench.raw_asgi", kind, str(port), str(file)]
        with running(command, port=port, probe="/recommendations?user_id=u0", core=SERVER_CORE) as process:
            yield process


def warm(replica: Running) -> None:
    """Make a list for each user of the hits."""
    good(call_each(replica.port, [f"u{number}" for number in range(USERS)]), "warming up")


def good(load: Load, name: str) -> None:
    """Refuse to measure errors.

    Raises:
        RuntimeError: A call failed.
    """
    if load.failed:
        raise RuntimeError(f"{name}: {load.failed} of {load.answers} calls failed")


def paired(ones: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios of what was measured one after the other."""
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


def spread(ones: Sequence[float], others: Sequence[float]) -> str:
    """The least and the greatest of these ratios."""
    ratios = sorted(one / other for one, other in zip(ones, others, strict=True))
    return f"{ratios[0]:.2f} to {ratios[-1]:.2f} in {len(ratios)} turns"
