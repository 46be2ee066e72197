"""100,000 events in a minute beside 2,000 hits a second: every event 202, and the hits hardly slower.

`python -m bench.events_load` runs one replica with a Redis, `--embedded` one without. It measures the hits by
themselves first. Events come from a process of its own, in bodies of 50 as Currents sends them. Exit status 1 if an
answer was not 202, or the hits' p99 is more than three times that without events.

`--turns` watches the service's event loop. It says how long a turn of it lasted, in processor time, which also a busy
machine shows. The watch itself costs some: take the p99 from a run without it.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import click

from bench.load import Load, call_each, paced
from bench.loop_turns import turns_of
from tests.support.processes import ROOT, Process, inherited, local_personalize, service
from tests.support.redis import RedisServer

KEY = "events-key-of-24-characters"
HIT_USERS = 2_000
EVENT_USERS = 20_000
BODY = 50
MAX_RATIO = 3.0
ITEMS = 60


async def send(url: str, events: int, seconds: float) -> dict[str, Any]:
    """Post events at a steady rate, whatever becomes of them; counts by status, and the slowest answer."""
    statuses: Counter[str] = Counter()
    slowest = accepted = 0.0
    timeout = aiohttp.ClientTimeout(total=30)

    async def post(session: aiohttp.ClientSession, number: int) -> None:
        nonlocal slowest, accepted
        entries = [
            {
                "userId": f"user{(number * BODY + place) % EVENT_USERS}",
                "eventList": [
                    {
                        "eventType": "Purchase" if place % 10 == 0 else "View",
                        "itemId": f"item{place % ITEMS}",
                        "eventId": f"e{number * BODY + place}",
                    }
                ],
            }
            for place in range(BODY)
        ]
        began = time.monotonic()
        try:
            async with session.post(f"{url}/events", json=entries) as answer:
                statuses[str(answer.status)] += 1
                if answer.status == 202:
                    counted = await answer.json()
                    # A duplicate was kept by a try of the service's own that Redis answered too late.
                    accepted += counted["accepted"] + counted["duplicate"]
        except (aiohttp.ClientError, TimeoutError) as error:
            statuses[type(error).__name__] += 1
        slowest = max(slowest, time.monotonic() - began)

    async with (
        aiohttp.ClientSession(headers={"X-API-Key": KEY}, timeout=timeout) as session,
        asyncio.TaskGroup() as all_,
    ):
        began = time.monotonic()
        bodies = events // BODY
        for number in range(bodies):
            await asyncio.sleep(max(0.0, began + seconds * number / bodies - time.monotonic()))
            all_.create_task(post(session, number))
    return {"statuses": dict(statuses), "accepted": int(accepted), "slowest_ms": round(slowest * 1000)}


def measure(events: int, seconds: float, hits: float, *, embedded: bool, turns: bool = False) -> dict[str, Any]:
    """The hits by themselves, then beside the events."""
    with ExitStack() as stack:
        seen = Path(stack.enter_context(TemporaryDirectory())) / "turns.json"
        personalize = stack.enter_context(local_personalize())
        redis = None if embedded else stack.enter_context(RedisServer())
        settings: dict[str, Any] = {} if redis is None else {"REDIS_URL": redis.url}
        replica = stack.enter_context(
            service(
                personalize,
                PERSONALIZE_TPS="1000",
                EVENT_KEYS=KEY,
                EXCLUDE_AFTER="Purchase:180d",
                PERSONALIZE_TRACKING_ID="local-tracker",
                AWS_ENDPOINT_URL_PERSONALIZE_EVENTS=personalize.url,
                arguments=("bench.loop_turns", str(seen)) if turns else ("service", "serve"),
                **settings,
            )
        )
        call_each(replica.port, [f"user{number}" for number in range(HIT_USERS)])
        began, cpu = time.monotonic(), replica.cpu_seconds()
        undisturbed = _hits(replica, hits, min(seconds, 15.0))
        between, cpu_between = time.monotonic(), replica.cpu_seconds()
        before = replica.resident_mib()
        sender = subprocess.Popen(
            [
                *(sys.executable, "-m", "bench.events_load", "--send", replica.url),
                *("--events", str(events), "--seconds", str(seconds)),
            ],
            env=inherited(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        beside = _hits(replica, hits, seconds)
        ended, cpu_ended = time.monotonic(), replica.cpu_seconds()
        out, _ = sender.communicate(timeout=60)
        figures = {
            "events": json.loads(out),
            "hits_undisturbed": _figures(undisturbed),
            "hits_beside_events": _figures(beside),
            "p99_ratio": round(beside.p99_ms / undisturbed.p99_ms, 2),
            "replica_mib": [round(before), round(replica.peak_mib())],
            "events_waiting": replica.metric("events_waiting"),
            "cores": [
                round((cpu_between - cpu) / (between - began), 2),
                round((cpu_ended - cpu_between) / (ended - between), 2),
            ],
        }
        if redis is not None:
            client = redis.client()
            figures["redis_mb"] = round(client.info("memory")["used_memory"] / 1e6, 1)
            client.close()
        if turns:
            replica.stop()
            figures["turns"] = [asdict(turns_of(seen, began, between)), asdict(turns_of(seen, between, ended))]
    return figures


def _hits(replica: Process, per_second: float, seconds: float) -> Load:
    return paced(
        replica.port, lambda number: f"user{number % HIT_USERS}", per_second=per_second, connections=64, seconds=seconds
    )


def _figures(load: Load) -> dict[str, float]:
    return {
        "per_second": round(load.per_second),
        "failed": load.failed,
        "p50_ms": round(load.p50_ms, 2),
        "p99_ms": round(load.p99_ms, 2),
        "slowest_ms": round(load.slowest_ms, 1),
    }


def promises(figures: dict[str, Any], events: int) -> dict[str, bool]:
    """What is promised, and whether it was kept."""
    sent = figures["events"]
    return {
        f"{sent['accepted']:,} of {events:,} events accepted, answers {sent['statuses']}": (
            sent["accepted"] == events and set(sent["statuses"]) == {"202"}
        ),
        f"hits p99 {figures['p99_ratio']} times that without events, at most {MAX_RATIO:g}": (
            figures["p99_ratio"] <= MAX_RATIO
        ),
        f"{figures['hits_beside_events']['failed']} hits failed": figures["hits_beside_events"]["failed"] == 0,
    }


@click.command()
@click.option("--events", default=100_000, show_default=True)
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--hits", default=2_000.0, show_default=True, help="A second.")
@click.option("--embedded", is_flag=True, help="Without Redis.")
@click.option("--turns", is_flag=True, help="Watch the service's event loop.")
@click.option("--out", default="build/events_load.json", show_default=True)
@click.option("--send", "url", default="", hidden=True)
def main(*, events: int, seconds: float, hits: float, embedded: bool, turns: bool, out: str, url: str) -> None:
    """Events beside hits."""
    if url:
        print(json.dumps(asyncio.run(send(url, events, seconds))))
        return
    figures = measure(events, seconds, hits, embedded=embedded, turns=turns)
    kept = promises(figures, events)
    print(json.dumps(figures, indent=1))
    for promise, is_kept in kept.items():
        print(f"{'ok  ' if is_kept else 'FAIL'} {promise}")
    Path(out).parent.mkdir(exist_ok=True)
    Path(out).write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    sys.exit(0 if all(kept.values()) else 1)


if __name__ == "__main__":
    main()
