"""A rolling restart under load: every replica is replaced by a new one, and no call may notice."""

import asyncio
import os
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.support.balancer import Balancer, balancing
from tests.support.calls import BRAZE_SECONDS, Call, client, make_call
from tests.support.processes import Process, local_personalize, service
from tests.support.redis import RedisServer


@dataclass(slots=True)
class Restart:
    """All calls of a rolling restart."""

    calls: list[Call] = field(default_factory=list)
    seconds: float = 0.0
    exits: list[int] = field(default_factory=list)
    """Status of each replaced process."""

    draining_seconds: list[float] = field(default_factory=list)
    """From SIGTERM to the end of each."""

    carried: dict[int, int] = field(default_factory=dict)
    most_transactions: int = 0
    """Of a user, from Personalize's own count."""

    @property
    def lost(self) -> list[Call]:
        """Calls without a full answer in time."""
        return [call for call in self.calls if call.status != 200 or not call.complete or call.seconds >= BRAZE_SECONDS]


async def restart_under_load(
    replicas: int = 3,
    *,
    per_second: float = 300,
    users: int = 900,
    before_seconds: float = 2,
    drain_seconds: float = 2,
) -> Restart:
    """Replace each of some replicas on one Redis in turn, new one first, with calls going on all the time."""
    done = Restart()
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        personalize = stack.enter_context(local_personalize(latency_ms=30))

        def new_replica() -> Process:
            return stack.enter_context(
                service(
                    personalize,
                    PERSONALIZE_TPS="100",
                    REDIS_URL=redis.url,
                    DRAIN_SECONDS=str(drain_seconds),
                )
            )

        group = [new_replica() for _ in range(replicas)]
        async with balancing() as balancer:
            for replica in group:
                await balancer.add(replica.port)
            over = asyncio.Event()
            began = time.monotonic()
            pouring = asyncio.create_task(_pour(done, balancer, per_second, users, over))
            await asyncio.sleep(before_seconds)
            for old in group:
                new = await asyncio.to_thread(new_replica)
                await balancer.add(new.port)
                await _replace(done, balancer, old)
            await asyncio.sleep(before_seconds)
            over.set()
            done.seconds = time.monotonic() - began
            await pouring
            done.carried = balancer.carried
        done.most_transactions = max(personalize.get_json("/_stats")["by_user"].values())
    return done


async def _replace(done: Restart, balancer: Balancer, old: Process) -> None:
    signalled = time.monotonic()
    done.exits.append(await asyncio.to_thread(old.stop))
    done.draining_seconds.append(time.monotonic() - signalled)
    balancer.remove(old.port)


async def _pour(done: Restart, balancer: Balancer, per_second: float, users: int, over: asyncio.Event) -> None:
    """Calls at a steady rate, whatever becomes of them; users come round, so that hits and misses mix."""
    tasks: list[asyncio.Task[Call]] = []
    async with client() as session:
        # A client that quietly asks again would hide what the restart loses.
        session._retry_connection = False  # noqa: SLF001  # aiohttp has no public way
        began = time.monotonic()
        number = 0
        while not over.is_set():
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
            url = f"http://127.0.0.1:{balancer.port}"
            tasks.append(asyncio.create_task(make_call(session, url, f"user{number % users}")))
            number += 1
        done.calls = await asyncio.gather(*tasks)


def rolling_restart() -> dict[str, Any]:
    """Three replicas under 300 calls/s, each in turn replaced."""
    if hasattr(os, "sched_setaffinity"):
        # The other benchmarks keep to one core and leave the other to the server that they measure.
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    done = asyncio.run(restart_under_load())
    latencies = sorted(call.seconds for call in done.calls)
    return {
        "calls": len(done.calls),
        "per_second": round(len(done.calls) / done.seconds, 1),
        "lost": len(done.lost),
        "p50_ms": round(latencies[len(latencies) // 2] * 1000, 1),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 1),
        "slowest_ms": round(latencies[-1] * 1000, 1),
        "sources": dict(Counter(call.source for call in done.calls)),
        "reasons": dict(Counter(call.reason for call in done.calls if call.reason)),
        "lost_as": dict(Counter(f"{call.status} after {call.seconds:.1f} s" for call in done.lost)),
        "exits": done.exits,
        "seconds_from_sigterm_to_exit": [round(one, 2) for one in done.draining_seconds],
        "connections_of_each": list(done.carried.values()),
        "most_per_user": done.most_transactions,
    }


def promises(report: dict[str, Any]) -> dict[str, bool]:
    """What a rolling restart promises, and whether the report keeps it."""
    return {
        f"{report['lost']} of {report['calls']} calls lost": report["lost"] == 0,
        f"{report['per_second']} calls/s, at least 285": report["per_second"] >= 285,
        f"exit statuses {report['exits']}": set(report["exits"]) == {0},
        f"at most {report['most_per_user']} transactions of a user": report["most_per_user"] <= 1,
    }
