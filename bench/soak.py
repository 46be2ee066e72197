"""What hours bring, within minutes, to two replicas on a Redis: memory, tasks, connections and keys must come to rest.

`python -m bench.soak --seconds 600 --users-per-second 100` calls for new users all the time. The cache is small, and
lists age sixty times as fast as they do by default. Meanwhile users buy and are forgotten, an item is blocked and let
in again, and the catalogue is read anew. It prints a line for each thirtieth of the time, and at the end what did not
come to rest; then the exit status is 1.
"""

import asyncio
import json
import os
import signal
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import aiohttp
import click

from tests.support.calls import client, make_call
from tests.support.processes import SAMPLE, Process, local_personalize, service
from tests.support.redis import RedisServer

ADMIN_KEY: Final = "admin-key-of-the-soak-of-24"
EVENT_KEY: Final = "event-key-of-the-soak-of-24"

FRESH_SECONDS: Final = 15
STALE_SECONDS: Final = 90
"""So short that most lists go before the first third is over."""

MAX_GROWTH: Final = 1.1
"""The last third over the second; the cache is full by then."""

MAX_MORE: Final = 16
"""Descriptors, flights and tasks in the last third more than twice those of the second; calls come and go."""

GROWING: Final = ("resident_mib", "keys")
COMING_AND_GOING: Final = ("descriptors", "flights_open", "event_loop_tasks")


def verdict(marks: Sequence[Mapping[str, float]]) -> list[str]:
    """What did not come to rest, a line each; empty if all is well. The first third is left to warming up."""
    third = len(marks) // 3
    second, last = marks[third : 2 * third], marks[2 * third :]
    if not second:
        return ["too few marks to tell"]

    def most(some: Sequence[Mapping[str, float]], name: str) -> float:
        return max(one.get(name, 0.0) for one in some)

    found = [
        f"{name} grows: {most(second, name):g}, then {most(last, name):g}"
        for name, bound in (
            *((one, MAX_GROWTH * most(second, one)) for one in GROWING),
            *((one, 2 * most(second, one) + MAX_MORE) for one in COMING_AND_GOING),
            ("lasting_keys", most(second, "lasting_keys")),
        )
        if most(last, name) > bound
    ]
    if bad := most(last, "bad"):
        found.append(f"{bad:g} calls were not answered in full")
    return found


class Soak:
    """Two replicas, their Redis, and what comes of the calls.

    Args:
        replicas: Called in turn.
        redis: Theirs.
        wanted: Items in each answer.
    """

    def __init__(self, replicas: Sequence[Process], redis: RedisServer, wanted: int) -> None:
        self.marks: list[dict[str, float]] = []
        self._replicas = replicas
        self._redis = redis
        self._wanted = wanted
        self._answers: Counter[str] = Counter()
        self._slowest = 0.0
        self._pending: set[asyncio.Task[None]] = set()

    async def play(self, seconds: float, per_second: float) -> None:
        """Call for a new user each time, and do what people do."""
        began = time.monotonic()
        count = int(seconds * per_second)
        async with client() as session, aiohttp.ClientSession() as staff:
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
                self._begin(self._call(session, number))
                if number % max(1, int(per_second)) == 0:
                    self._begin(self._do(staff, number))
                if number % max(1, count // 30) == 0:
                    self.marks.append({"second": round(time.monotonic() - began, 1), **await self._mark()})
                    print(json.dumps(self.marks[-1]), flush=True)
            await asyncio.gather(*self._pending)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _call(self, session: aiohttp.ClientSession, number: int) -> None:
        call = await make_call(session, self._url(number), f"soak{number}", self._wanted)
        self._note(call.status, is_good=call.status == 200 and call.complete)
        self._answers[call.source] += 1
        self._slowest = max(self._slowest, call.seconds)

    def _note(self, status: int, *, is_good: bool) -> None:
        self._answers["complete" if is_good else "bad"] += 1
        if not is_good:
            # 0: not in the time that Braze has.
            self._answers[f"bad_{status}"] += 1

    async def _do(self, staff: aiohttp.ClientSession, number: int) -> None:
        """Somebody buys, somebody is forgotten, an item is blocked or let in, and a new catalogue is looked for."""
        user, url = f"soak{number // 2}", self._url(number)
        item = f"item{number % 7:03}"
        bought = {"userId": user, "eventList": [{"eventType": "Purchase", "itemId": item, "eventId": f"e{number}"}]}
        turn = len(self.marks) % 2
        key = {"X-API-Key": ADMIN_KEY}
        for asked in (
            staff.post(f"{url}/events", json=[bought], headers={"X-API-Key": EVENT_KEY}),
            staff.delete(f"{url}/users/soak{number // 3}", headers=key),
            staff.request("PUT" if turn else "DELETE", f"{url}/items/item001/block", headers=key),
        ):
            status = 0
            with suppress(aiohttp.ClientError, TimeoutError):
                async with asked as answer:
                    status = answer.status
            self._note(status, is_good=status in {200, 202})
        if not number % 15:
            self._replicas[turn].popen.send_signal(signal.SIGHUP)

    def _url(self, number: int) -> str:
        return self._replicas[number % len(self._replicas)].url

    async def _mark(self) -> dict[str, float]:
        """The larger one of the replicas' figures, and those of Redis."""
        shown = [await asyncio.to_thread(_figures, one) for one in self._replicas]
        return {
            **{name: max(one[name] for one in shown) for name in shown[0]},
            **await asyncio.to_thread(_kept_in, self._redis),
            "slowest_ms": round(self._slowest * 1000, 1),
            **self._answers,
        }


def _figures(replica: Process) -> dict[str, float]:
    wanted = ("flights_open", "event_loop_tasks", "refresh_queue", "cache_entries", "cache_bytes")
    with urllib.request.urlopen(replica.url + "/metrics", timeout=10) as answer:  # noqa: S310  # loopback only
        lines = answer.read().decode().splitlines()
    descriptors = len(os.listdir(f"/proc/{replica.popen.pid}/fd"))  # noqa: PTH208  # only their number
    return {
        "resident_mib": round(replica.resident_mib(), 1),
        "descriptors": descriptors,
        **{line.split()[0]: float(line.split()[1]) for line in lines if line.startswith(wanted)},
    }


def _kept_in(redis: RedisServer) -> dict[str, float]:
    """How many keys there are, and how many of them never expire."""
    with redis.client() as library:
        space = library.info("keyspace").get("db0", {"keys": 0, "expires": 0})
        used = library.info("memory")["used_memory"]
    return {
        "keys": space["keys"],
        "lasting_keys": space["keys"] - space["expires"],
        "redis_mib": round(used / 2**20, 1),
    }


@click.command()
@click.option("--seconds", default=600.0, show_default=True)
@click.option("--users-per-second", default=100.0, show_default=True)
@click.option("--tps", default=50.0, show_default=True)
@click.option("--cache-max-mb", default=1.0, show_default=True, help="Small enough to be full in the first third.")
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
    """Two replicas with a small cache, and ever new users."""
    with ExitStack() as stack:
        personalize = stack.enter_context(local_personalize(Path(data), tps=tps, latency_ms=30))
        redis = stack.enter_context(RedisServer())
        replicas = [
            stack.enter_context(
                service(
                    personalize,
                    catalog=Path(data, "items.csv"),
                    PERSONALIZE_TPS=str(tps),
                    CACHE_MAX_MB=str(cache_max_mb),
                    CACHE_FRESH_SECONDS=str(FRESH_SECONDS),
                    CACHE_STALE_SECONDS=str(STALE_SECONDS),
                    REDIS_URL=redis.url,
                    EXPECTED_REPLICAS="2",
                    ADMIN_KEYS=ADMIN_KEY,
                    EVENT_KEYS=EVENT_KEY,
                    EXCLUDE_AFTER="Purchase:1d",
                )
            )
            for _ in range(2)
        ]
        soak = Soak(replicas, redis, num_results)
        asyncio.run(soak.play(seconds, users_per_second))
    Path(out).parent.mkdir(exist_ok=True)
    Path(out).write_text(json.dumps({"marks": soak.marks}, indent=1), "utf-8")
    problems = verdict(soak.marks)
    print(*(problems or ["all came to rest"]), sep="\n")
    sys.exit(int(bool(problems)))


if __name__ == "__main__":
    main()
