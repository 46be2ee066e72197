"""Sends as Braze makes them, against a local Personalize that throttles at the same TPS.

Every scenario says what it promises, counts transactions at Personalize's side, and shows the figures.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from redis import Redis

from tests.support.batch_output import catalogue_ids, load, write_batch
from tests.support.calls import Call, client, make_call, most_in_a_second
from tests.support.processes import RETAIL, SAMPLE, Process, configuration, local_personalize, service
from tests.support.redis import RedisCluster, RedisSentinels, RedisServer


@dataclass(slots=True)
class Send:
    """All calls of a send, and what Personalize saw of it."""

    calls: list[Call] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    stats: dict[str, Any] = field(default_factory=dict)

    def report(self, tps: float, seconds: float) -> dict[str, Any]:
        """The figures that the promises are about."""
        by_user: dict[str, set[tuple[str, ...]]] = {}
        for call in self.calls:
            by_user.setdefault(call.user, set()).add(call.ids)
        latencies = sorted(call.seconds for call in self.calls)
        transactions = len(self.arrivals)
        return {
            "calls": len(self.calls),
            "ok": sum(call.status == 200 for call in self.calls),
            "complete": sum(call.complete for call in self.calls),
            "slowest_ms": round(latencies[-1] * 1000, 1),
            "p50_ms": round(statistics.median(latencies) * 1000, 1),
            "sources": dict(Counter(call.source for call in self.calls)),
            "reasons": dict(Counter(call.reason for call in self.calls if call.reason)),
            "users_whose_parts_differ": sum(len(lists) > 1 for lists in by_user.values()),
            "transactions": transactions,
            "most_per_user": max(self.stats["by_user"].values(), default=0),
            "most_in_a_second": most_in_a_second(self.arrivals),
            "throttled": self.stats["throttled"],
            "budget_used": round(transactions / (tps * seconds), 3),
        }


async def send(
    urls: Sequence[str],
    users: Sequence[str],
    per_second: float,
    calls_each: int,
    at: Sequence[tuple[float, Callable[[], None]]] = (),
) -> list[Call]:
    """Start each user's calls at once, users evenly spread; a user's calls go round the replicas.

    Args:
        urls: One per replica.
        users: In the order of the send.
        per_second: Users per second.
        calls_each: Simultaneous calls of one user.
        at: Things to do at a second of the send.
    """
    async with client() as session:
        began = time.monotonic()
        tasks: list[asyncio.Task[Call]] = []
        pending = sorted(at, key=lambda one: one[0])
        for number, user in enumerate(users):
            while pending and pending[0][0] <= number / per_second:
                await asyncio.to_thread(pending.pop(0)[1])
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
            tasks += [
                asyncio.create_task(make_call(session, urls[(number + part) % len(urls)], user))
                for part in range(calls_each)
            ]
        return await asyncio.gather(*tasks)


def run_send(  # a send reads best in this order
    personalize: Process,
    replicas: Sequence[Process],
    users: Sequence[str],
    per_second: float,
    calls_each: int = 3,
    at: Sequence[tuple[float, Callable[[], None]]] = (),
) -> Send:
    """A whole send, with Personalize's own count of it."""
    personalize.post("/_stats/reset")
    calls = asyncio.run(send([one.url for one in replicas], users, per_second, calls_each, at))
    stats = personalize.get_json("/_stats")
    return Send(calls, stats["arrivals"], stats)


def one_replica(users: int = 300, per_second: float = 10, tps: float = 5) -> dict[str, Any]:
    """One replica at 5 TPS: twice as many users as the campaign may be asked for."""
    with (
        local_personalize(tps=tps, latency_ms=30) as personalize,
        service(personalize, PERSONALIZE_TPS=str(tps)) as replica,
    ):
        done = run_send(personalize, [replica], [f"u{n}" for n in range(users)], per_second)
    return done.report(tps, users / per_second)


def three_replicas(users: int = 900, per_second: float = 60, tps: float = 20) -> dict[str, Any]:
    """Three replicas on one Redis at 20 TPS, each user's three calls on different ones."""
    with ExitStack() as stack:
        personalize, replicas, _ = fleet(stack, tps)
        done = run_send(personalize, replicas, [f"u{n}" for n in range(users)], per_second)
    return done.report(tps, users / per_second)


def redis_killed(users: int = 900, per_second: float = 60, tps: float = 20) -> dict[str, Any]:
    """The same send; Redis is killed after 4 s and back, empty, 6 s later."""
    with ExitStack() as stack:
        personalize, replicas, redis = fleet(stack, tps)
        began = time.time()
        done = run_send(
            personalize,
            replicas,
            [f"u{n}" for n in range(users)],
            per_second,
            at=[
                (4.0, redis.kill),
                (10.0, redis.start),
            ],
        )
        report = done.report(tps, users / per_second)
        report["personalised_by_second"] = _personalised_by_second(done)
        report["transactions_by_second"] = _by_second(done.arrivals, began)
    return report


def redis_full(users: int = 600, per_second: float = 60, tps: float = 20) -> dict[str, Any]:
    """The same send; Redis has no room for a write from the third to the sixth second."""

    def fill(server: RedisServer) -> None:
        with Redis(port=server.port) as one:
            one.config_set("maxmemory-policy", "noeviction")
            one.config_set("maxmemory", 1)

    def give_room(server: RedisServer) -> None:
        with Redis(port=server.port) as one:
            one.config_set("maxmemory", 0)

    return _beside_redis(users, per_second, tps, fill, give_room)


def redis_silent(users: int = 600, per_second: float = 60, tps: float = 20) -> dict[str, Any]:
    """The same send; Redis takes commands and answers none from the third to the sixth second."""
    return _beside_redis(users, per_second, tps, RedisServer.freeze, RedisServer.thaw)


def cluster(users: int = 900, per_second: float = 60, tps: float = 20) -> dict[str, Any]:
    """The same send on a Redis Cluster of three masters."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisCluster(3))
        personalize, replicas = _fleet_at(stack, tps, redis.url)
        done = run_send(personalize, replicas, [f"u{n}" for n in range(users)], per_second)
    return done.report(tps, users / per_second)


def redis_node_killed(users: int = 900, per_second: float = 60, tps: float = 20) -> dict[str, Any]:
    """The same send on a cluster of three masters with a replica each; the budget's master is killed after 4 s."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisCluster(3, replicas=1))
        master = redis.master_of("pc:{fleet}")
        return _during(stack, redis.url, [(4.0, master.kill)], users, per_second, tps)


def redis_failover(users: int = 900, per_second: float = 60, tps: float = 20) -> dict[str, Any]:
    """The same send behind three sentinels; the master is killed after 4 s, and its replica takes over."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisSentinels())
        return _during(stack, redis.url, [(4.0, redis.master.kill)], users, per_second, tps)


def redis_switchover(users: int = 900, per_second: float = 60, tps: float = 20) -> dict[str, Any]:
    """The same; the sentinels let the replica take over from a master that runs on."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisSentinels())
        return _during(stack, redis.url, [(4.0, redis.fail_over)], users, per_second, tps)


def _during(
    stack: ExitStack,
    url: str,
    at: Sequence[tuple[float, Callable[[], None]]],
    users: int,
    per_second: float,
    tps: float,
) -> dict[str, Any]:
    personalize, replicas = _fleet_at(stack, tps, url)
    began = time.time()
    done = run_send(personalize, replicas, [f"u{n}" for n in range(users)], per_second, at=at)
    report = done.report(tps, users / per_second)
    report["personalised_by_second"] = _personalised_by_second(done)
    report["transactions_by_second"] = _by_second(done.arrivals, began)
    report["redis_up"] = sum(replica.metric("redis_up") for replica in replicas)
    return report


def _by_second(arrivals: Sequence[float], began: float) -> list[int]:
    return [count for _, count in sorted(Counter(int(one - began) for one in arrivals).items())]


def _beside_redis(
    users: int,
    per_second: float,
    tps: float,
    begin: Callable[[RedisServer], None],
    end: Callable[[RedisServer], None],
) -> dict[str, Any]:
    with ExitStack() as stack:
        personalize, replicas, redis = fleet(stack, tps)
        at = [(3.0, partial(begin, redis)), (6.0, partial(end, redis))]
        done = run_send(personalize, replicas, [f"u{n}" for n in range(users)], per_second, at=at)
    report = done.report(tps, users / per_second)
    report["personalised_by_second"] = _personalised_by_second(done)
    return report


def faults(seconds: float = 6.0, tps: float = 10, per_second: float = 20) -> dict[str, Any]:
    """Each fault of Personalize for 6 s in the middle of a send."""
    reports: dict[str, Any] = {}
    for mode in ("hang", "reset", "error500", "throttle", "garbage", "empty"):
        with (
            local_personalize(tps=tps, latency_ms=30) as personalize,
            service(personalize, PERSONALIZE_TPS=str(tps)) as replica,
        ):
            users = [f"{mode}{n}" for n in range(int((4 + seconds + 8) * per_second))]
            began = time.monotonic()
            ended: list[float] = []

            def begin(personalize: Process = personalize, mode: str = mode) -> None:
                personalize.post("/_faults", {"mode": mode})

            def end(personalize: Process = personalize, ended: list[float] = ended) -> None:
                personalize.post("/_faults", {"mode": "none"})
                ended.append(time.monotonic())

            done = run_send(personalize, [replica], users, per_second, 2, at=[(4.0, begin), (4.0 + seconds, end)])
            report = done.report(tps, len(users) / per_second)
            again = [c.began + c.seconds for c in done.calls if c.source == "personalize" and c.began > ended[0]]
            report["personalised_again_after_s"] = round(min(again) - ended[0], 2) if again else None
            report["seconds"] = round(time.monotonic() - began, 1)
            reports[mode] = report
    return reports


def all_in_batch(users: int = 3_000, per_second: float = 100, tps: float = 5) -> dict[str, Any]:
    """A send twenty times as large as the TPS allows, to users who all have a list of a batch."""
    names = [f"u{n}" for n in range(users)]
    catalog = (RETAIL if RETAIL.exists() else SAMPLE) / "items.csv"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = write_batch(folder / "users.json.out", names, catalogue_ids(catalog))
        data_dir = str(folder / "data")
        personalize = stack.enter_context(local_personalize(catalog.parent, tps=tps, latency_ms=30))
        loaded = load(path, configuration(personalize, catalog=catalog, DATA_DIR=data_dir))
        assert loaded.status == 0, loaded.words
        replica = stack.enter_context(
            service(personalize, catalog=catalog, PERSONALIZE_TPS=str(tps), DATA_DIR=data_dir)
        )
        done = run_send(personalize, [replica], names, per_second)
    return done.report(tps, users / per_second)


def fleet(stack: ExitStack, tps: float, replicas: int = 3) -> tuple[Process, list[Process], RedisServer]:
    """A local Personalize, replicas of the service on one Redis, and that Redis."""
    redis = stack.enter_context(RedisServer())
    personalize, group = _fleet_at(stack, tps, redis.url, replicas)
    return personalize, group, redis


def _fleet_at(stack: ExitStack, tps: float, url: str, replicas: int = 3) -> tuple[Process, list[Process]]:
    personalize = stack.enter_context(local_personalize(tps=tps, latency_ms=30))
    group = [
        stack.enter_context(service(personalize, PERSONALIZE_TPS=str(tps), REDIS_URL=url)) for _ in range(replicas)
    ]
    return personalize, group


def _personalised_by_second(done: Send) -> list[int]:
    first = min(call.began for call in done.calls)
    count = Counter(int(call.began - first) for call in done.calls if call.source in ("personalize", "cache"))
    return [count[second] for second in range(max(count, default=0) + 1)]


def scenarios() -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Name and run of each."""
    yield "one_replica", one_replica
    yield "three_replicas", three_replicas
    yield "redis_killed", redis_killed
    yield "redis_full", redis_full
    yield "redis_silent", redis_silent
    yield "cluster", cluster
    yield "redis_node_killed", redis_node_killed
    yield "redis_failover", redis_failover
    yield "redis_switchover", redis_switchover
    yield "all_in_batch", all_in_batch
    yield "faults", faults


def promises(name: str, report: dict[str, Any]) -> dict[str, bool]:
    """What a scenario promises, and whether its report keeps it."""
    if name == "faults":
        return {f"{mode}: {text}": ok for mode, one in report.items() for text, ok in _fault_promises(one).items()}
    tps = 5 if name in ("one_replica", "all_in_batch") else 20
    if name == "all_in_batch":
        return {**_always(report), **_budget(report, tps), **_personalised(report)}
    return {
        **_always(report),
        **(_while_redis_is_gone(report, tps) if name.startswith("redis_") else _budget(report, tps)),
    }


def _always(report: dict[str, Any]) -> dict[str, bool]:
    return {
        f"{report['ok']} of {report['calls']} answers 200": report["ok"] == report["calls"],
        f"{report['complete']} of {report['calls']} complete": report["complete"] == report["calls"],
        f"slowest {report['slowest_ms']:.0f} ms, under 1600": report["slowest_ms"] < 1600,
    }


def _budget(report: dict[str, Any], tps: int) -> dict[str, bool]:
    return {
        f"{report['transactions']} transactions, at most one per user": report["most_per_user"] <= 1,
        f"at most {report['most_in_a_second']} in any second, TPS + 1 is {tps + 1}": report["most_in_a_second"]
        <= tps + 1,
        f"{report['throttled']} throttled": report["throttled"] == 0,
        f"{report['budget_used']:.1%} of the budget used, at least 95 %": report["budget_used"] >= 0.95,
        f"{report['users_whose_parts_differ']} users with different parts": report["users_whose_parts_differ"] == 0,
    }


def _personalised(report: dict[str, Any]) -> dict[str, bool]:
    sources = report["sources"]
    said = ", ".join(f"{count} {source}" for source, count in sorted(sources.items()))
    return {f"{said}: all personalised": set(sources) <= {"personalize", "cache", "batch"}}


def _while_redis_is_gone(report: dict[str, Any], tps: int) -> dict[str, bool]:
    most = 1.3 * tps + 1
    least = min(report["personalised_by_second"][:-1], default=0)
    return {
        f"at most {report['most_in_a_second']} in any second, 1.3 TPS + 1 is {most:g}": report["most_in_a_second"]
        <= most,
        f"{least} personalised answers in the poorest second": least > 0,
    }


def _fault_promises(report: dict[str, Any]) -> dict[str, bool]:
    after = report["personalised_again_after_s"]
    return {**_always(report), f"personalised again after {after} s, within 6": after is not None and after <= 6}


if __name__ == "__main__":
    import sys

    wanted = sys.argv[1:]
    for name, run in scenarios():
        if not wanted or name in wanted:
            print(json.dumps({name: run()}, indent=1))
