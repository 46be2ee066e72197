"""What misses beside hits, many connections, the start and the settings of the server cost; the parts of other benches.

The server runs on core 0, load and local Personalize share core 1. Every figure is a median of repeats, and what is
compared is measured in the same turn, so that other work on the machine slows both.
"""

import contextlib
import json
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn.config

from bench.load import FOR_YOU, Load, call_each, connect_at_once, flood, paced
from bench.quiet_machine import Quiet
from tests.support.ports import free_port
from tests.support.processes import RETAIL, SAMPLE, Process, local_personalize, running, service

SERVER_CORE = 0
LOAD_CORE = 1

USERS = 500
MANY_USERS = 100_000
LATENCY_MS = 40.0
MISSES_PER_SECOND = 150
PERSONALIZE_TPS = 400
IDLE_CONNECTIONS = 2_000
CALLS_PER_SECOND = 1_000

START_CPU_SECONDS = 0.65

AS_CHOSEN = "as chosen"
NO_KEEP_ALIVE = "as chosen, each call on a connection of its own"
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    AS_CHOSEN: {},
    "uvicorn's own HTTP protocol": {"http": "httptools"},
    "h11's parser": {"http": "h11"},
    "asyncio's loop": {"loop": "asyncio"},
    "uvicorn's access log": {"access_log": True, "log_config": uvicorn.config.LOGGING_CONFIG},
    "no Date header": {"date_header": False},
}

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

    def line(self) -> str:
        """For the table."""
        digits = 0 if abs(self.value) >= 100 else 2
        promise = "" if self.kept is None else f"{'ok  ' if self.kept else 'FAIL'} {self.wanted}"
        return f"  {self.name:<66}{self.value:>10,.{digits}f} {self.unit:<10} {promise:<20} {self.detail}".rstrip()


def misses(repeats: int) -> list[Figure]:
    """Hits at 4 connections without and with misses in flight, and what those misses wait beyond upstream."""
    seconds = 4.0
    with (
        local_personalize(DATA, latency_ms=LATENCY_MS, core=LOAD_CORE) as personalize,
        replica_of(personalize) as replica,
    ):
        warm(replica)

        def turn(number: int) -> dict[str, Answers]:
            without = flooded(replica, connections=4, seconds=seconds)
            missing = answers(replica, lambda: misses_only(replica, f"a{number}x", seconds / 2))
            with ThreadPoolExecutor(1) as thread:
                flooding = thread.submit(flooded, replica, connections=4, seconds=seconds)
                together = answers(replica, lambda: misses_only(replica, f"b{number}x", seconds))
                return {"without": without, "missing": missing, "together": together, "beside": flooding.result()}

        quiet: Quiet[dict[str, Answers]] = Quiet([replica, personalize])
        turns = quiet.turns(repeats, turn)
    p99_without, p99 = (statistics.median(one[name].load.p99_ms for one in turns) for name in ("without", "beside"))
    added_without, added = (
        statistics.median(one[name].load.p50_ms for one in turns) - LATENCY_MS for name in ("missing", "together")
    )
    beside = f"{statistics.median(one['beside'].load.per_second for one in turns):.0f} hits/s meanwhile; {quiet}"
    return [
        Figure("hits' p99 at 4 connections, no misses", p99_without, "ms"),
        Figure(
            f"hits' p99 at 4 connections, {MISSES_PER_SECOND} misses/s",
            p99,
            "ms",
            "<= 3 x or 8 ms",
            p99 <= max(3 * p99_without, 8.0),
            beside,
        ),
        Figure("those misses' p50 over upstream", added, "ms", "<= 15 ms", added <= 15),
        Figure("misses' p50 over upstream, no hits", added_without, "ms"),
        Figure("CPU of a miss", statistics.median(one["missing"].cpu_us for one in turns), "us"),
    ]


def connections(repeats: int) -> list[Figure]:
    """Calls at a fixed rate while two thousand idle connections stay open."""
    with local_personalize(DATA, core=LOAD_CORE) as personalize, replica_of(personalize) as replica:
        warm(replica)

        def turn(_: int) -> Load:
            return paced(
                replica.port,
                lambda number: f"u{number % USERS}",
                per_second=CALLS_PER_SECOND,
                connections=64,
                seconds=5,
                idle_connections=IDLE_CONNECTIONS,
            )

        quiet: Quiet[Load] = Quiet([replica, personalize])
        loads = quiet.turns(repeats, turn)
    failed = sum(load.failed for load in loads)
    p99 = statistics.median(load.p99_ms for load in loads)
    what = f"{CALLS_PER_SECOND} calls/s beside {IDLE_CONNECTIONS} idle connections"
    return [
        Figure(f"{what}: failed", failed, "calls", "0", failed == 0, str(quiet)),
        Figure(f"{what}: p99", p99, "ms", "< 100 ms", p99 < 100),
        Figure(f"{what}: reached", statistics.median(load.per_second for load in loads), "calls/s"),
    ]


def start(repeats: int) -> list[Figure]:
    """From the process's start to its first good answer on `/readyz`, and what it took and weighs then."""
    ready, resident, taken = [], [], []
    with local_personalize(DATA, core=LOAD_CORE) as personalize:
        for _ in range(repeats):
            with replica_of(personalize) as replica:
                ready.append(replica.ready_seconds)
                taken.append(replica.cpu_seconds())
                resident.append(replica.resident_mib())
    seconds, cpu = statistics.median(ready), min(taken)
    return [
        Figure("start to ready", seconds, "s", "<= 2 s", seconds <= 2),
        Figure("CPU of a start", cpu, "s", f"<= {START_CPU_SECONDS:g} s", cpu <= START_CPU_SECONDS, _all(taken)),
        Figure("memory when ready", statistics.median(resident), "MiB"),
    ]


def _all(values: Sequence[float]) -> str:
    return f"of {', '.join(f'{value:.2f}' for value in values)}"


def settings(repeats: int) -> list[Figure]:
    """The raw ASGI application under the service's server settings, and with one of them changed."""
    figures = []
    with ExitStack() as stack:
        replica = stack.enter_context(replica_of(None))
        servers = {
            name: stack.enter_context(reference("raw", replica, **other)) for name, other in OTHER_SETTINGS.items()
        }

        def turn(_: int) -> dict[str, Answers]:
            done = {name: flooded(server, connections=32, seconds=1) for name, server in servers.items()}
            return done | {
                NO_KEEP_ALIVE: flooded(servers[AS_CHOSEN], connections=32, seconds=1, keep_alive=False),
            }

        turns = Quiet[dict[str, Answers]]([*servers.values(), replica]).turns(repeats, turn)
        for name in turns[0]:
            rate = statistics.median(one[name].load.per_second for one in turns)
            cost = statistics.median(one[name].cpu_us for one in turns)
            figures.append(Figure(name, rate, "answers/s", detail=f"{cost:.0f} us of CPU each"))
    for backlog in (128, 2048, 4096):
        with reference("raw", None, backlog=backlog) as server:
            slowest = statistics.median(connect_at_once(server.port, IDLE_CONNECTIONS) for _ in range(repeats))
        figures.append(Figure(f"{IDLE_CONNECTIONS} connections at once, backlog {backlog}", slowest * 1000, "ms"))
    return figures


SCENARIOS = {
    "misses": misses,
    "connections": connections,
    "start": start,
}
"""By name, in the order of the table."""

ON_REQUEST = {"settings": settings}
"""Measured only when named."""


@dataclass(frozen=True, slots=True)
class Answers:
    """A load and what it cost the server."""

    load: Load
    cpu_us: float
    """Processor time for each answer, in microseconds."""


def answers(replica: Process, run: Callable[[], Load]) -> Answers:
    """Run a load and see what it costs.

    Raises:
        RuntimeError: A call failed.
    """
    before = replica.cpu_seconds()
    load = run()
    good(load)
    return Answers(load, (replica.cpu_seconds() - before) / load.answers * 1e6)


def flooded(
    replica: Process,
    *,
    connections: int,
    seconds: float,
    prefix: str = "u",
    users: int = USERS,
    keep_alive: bool = True,
    path: str = FOR_YOU,
) -> Answers:
    """As many hits as the server can give."""
    return answers(
        replica,
        lambda: flood(
            replica.url,
            prefix=prefix,
            users=users,
            connections=connections,
            seconds=seconds,
            keep_alive=keep_alive,
            path=path,
        ),
    )


def misses_only(replica: Process, prefix: str, seconds: float) -> Load:
    """Calls for users that were never seen."""
    return paced(
        replica.port,
        lambda number: f"{prefix}{number}",
        per_second=MISSES_PER_SECOND,
        connections=64,
        seconds=seconds,
    )


def replica_of(
    personalize: Process | None, *, arguments: Sequence[str] = ("service", "serve"), **settings: str
) -> "contextlib.AbstractContextManager[Process]":
    """The service on its core."""
    return service(
        personalize,
        catalog=DATA / "items.csv",
        core=SERVER_CORE,
        arguments=arguments,
        **{"PERSONALIZE_TPS": str(PERSONALIZE_TPS)} | NEVER_STALE | settings,
    )


@contextlib.contextmanager
def reference(
    kind: str, replica: Process | None, *, path: str = FOR_YOU, user: str = "u0", **other: object
) -> Iterator[Process]:
    """A server that answers with the very bytes and headers of a hit; `other` are server settings to change."""
    headers: list[tuple[str, str]] = [("content-length", "0")]
    body = b""
    if replica is not None:
        with urllib.request.urlopen(f"{replica.url}{path}{user}", timeout=10) as answer:  # noqa: S310  # loopback only
            body = answer.read()
            headers = [pair for pair in answer.getheaders() if pair[0].lower() not in ("date", "connection")]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer.json"
        file.write_text(json.dumps({"headers": headers, "body": body.decode("latin-1")}), "utf-8")
        port = free_port()
        command = [sys.executable, "-m", "bench.reference_server", kind, str(port), str(file), json.dumps(other)]
        with running(command, port=port, probe="/recommendations?user_id=u0", core=SERVER_CORE) as process:
            yield process


def warm(replica: Process) -> None:
    """Make a list for each user of the hits."""
    good(call_each(replica.port, [f"u{number}" for number in range(USERS)]))


def good(load: Load) -> None:
    """Refuse to measure errors.

    Raises:
        RuntimeError: A call failed.
    """
    if load.failed:
        raise RuntimeError(f"{load.failed} of {load.answers} calls failed")
