"""What a miss costs: processor time without and with Redis, what it waits beyond upstream, and what hits feel of it.

The server runs on core 0; load, Redis and `bench.upstream` in the place of Personalize share core 1.
"""

import contextlib
import statistics
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from bench.load import flood, paced
from bench.quiet_machine import Quiet
from bench.speed import DATA, LOAD_CORE, MANY_USERS, Answers, Figure, answers, replica_of
from tests.support.ports import free_port
from tests.support.processes import Process, running
from tests.support.redis import RedisServer

LATENCY_MS = 40.0
PERSONALIZE_TPS = "2500"
"""Far above what is asked: the budget is not what is measured."""

PER_SECOND = 500
PER_SECOND_OF_WAITS = 300
CONNECTIONS = 128
SECONDS = 3.0
PROMISED_US = {"embedded": 750, "with Redis": 900}

HITS_PER_SECOND = 10_000
HIT_CONNECTIONS = 128
HIT_DELAY_MS = (10, 13)
"""Between an answer and the next call of its connection; that makes `HITS_PER_SECOND`, and a little more."""

PREFIX = "filled"


def miss_cost(repeats: int) -> list[Figure]:
    """Processor time of a miss at 500/s, and what it waits beyond upstream at 300/s."""
    with ExitStack() as stack:
        upstream = stack.enter_context(upstream_of(LATENCY_MS))
        redis = stack.enter_context(RedisServer())
        settings = {"PERSONALIZE_TPS": PERSONALIZE_TPS}
        replicas = {
            "embedded": stack.enter_context(replica_of(upstream, **settings)),
            "with Redis": stack.enter_context(replica_of(upstream, REDIS_URL=redis.url, **settings)),
        }
        for replica in replicas.values():
            _missed(replica, "warm", PER_SECOND / 4, 1.0)

        def turn(number: int) -> dict[str, Answers]:
            done = {name: _missed(replica, f"a{number}x", PER_SECOND, SECONDS) for name, replica in replicas.items()}
            done["waits"] = _missed(replicas["embedded"], f"b{number}x", PER_SECOND_OF_WAITS, SECONDS)
            done["upstream"] = _missed(upstream, "u", PER_SECOND_OF_WAITS, SECONDS)
            return done

        quiet: Quiet[dict[str, Answers]] = Quiet([*replicas.values(), upstream])
        turns = quiet.turns(repeats, turn)
    figures = []
    for name, promised in PROMISED_US.items():
        costs = sorted(one[name].cpu_us for one in turns)
        cost = statistics.median(costs)
        figures.append(
            Figure(
                f"CPU of a miss at {PER_SECOND}/s, {name}",
                cost,
                "us",
                f"<= {promised} us",
                cost <= promised,
                f"{costs[0]:.0f} to {costs[-1]:.0f}",
            )
        )
    over = statistics.median(one["waits"].load.p50_ms - one["upstream"].load.p50_ms for one in turns)
    what = f"p50 of a miss over upstream at {PER_SECOND_OF_WAITS}/s"
    return [*figures, Figure(what, over, "ms", "<= 2 ms", over <= 2, str(quiet))]


def misses_and_hits(repeats: int) -> list[Figure]:
    """Misses and many more hits on one core."""
    with ExitStack() as stack:
        upstream = stack.enter_context(upstream_of(LATENCY_MS))
        replica = stack.enter_context(
            replica_of(
                upstream,
                arguments=("bench.prefilled_service",),
                PERSONALIZE_TPS=PERSONALIZE_TPS,
                CACHE_MAX_MB="512",
            )
        )
        replica.post(f"/_fill?users={MANY_USERS}")
        _missed(replica, "warm", PER_SECOND / 4, 1.0)

        def turn(number: int) -> tuple[Answers, Answers]:
            with ThreadPoolExecutor(1) as thread:
                flooding = thread.submit(
                    answers,
                    replica,
                    lambda: flood(
                        replica.url,
                        prefix=PREFIX,
                        users=MANY_USERS,
                        connections=HIT_CONNECTIONS,
                        seconds=SECONDS,
                        delay_ms=HIT_DELAY_MS,
                    ),
                )
                missing = _missed(replica, f"c{number}x", PER_SECOND, SECONDS)
                return flooding.result(), missing

        quiet: Quiet[tuple[Answers, Answers]] = Quiet([replica, upstream])
        turns = quiet.turns(repeats, turn)
    hits = statistics.median(one.load.per_second for one, _ in turns)
    # The last calls are answered after the end of the others.
    misses = statistics.median(one.load.answers / (one.load.seconds - one.load.p50_ms / 1000) for _, one in turns)
    hit_p99, miss_p99 = (statistics.median(one[place].load.p99_ms for one in turns) for place in (0, 1))
    what = f"{PER_SECOND} misses/s and {HITS_PER_SECOND:,} hits/s on one core"
    held = min(hits / HITS_PER_SECOND, misses / PER_SECOND)
    return [
        Figure(f"{what}: held", held, "", ">= 0.99", held >= 0.99, f"{hits:,.0f} and {misses:.0f}/s; {quiet}"),
        Figure(f"{what}: hits' p99", hit_p99, "ms", "<= 10 ms", hit_p99 <= 10, f"misses' p99 {miss_p99:.1f} ms"),
    ]


@contextlib.contextmanager
def upstream_of(latency_ms: float) -> Iterator[Process]:
    """A process that answers as Personalize does, after this time."""
    port = free_port()
    command = [sys.executable, "-m", "bench.upstream", str(port), str(DATA / "items.csv"), str(latency_ms)]
    with running(command, port=port, probe="/", core=LOAD_CORE) as process:
        yield process


def _missed(server: Process, prefix: str, per_second: float, seconds: float) -> Answers:
    """Calls for users that were never seen."""
    return answers(
        server,
        lambda: paced(
            server.port,
            lambda number: f"{prefix}{number}",
            per_second=per_second,
            connections=CONNECTIONS,
            seconds=seconds,
        ),
    )
