"""Every accepted event reaches Personalize, whatever is killed and whatever fails: accepted against arrived and used.

An event whose call was under way when its replica was killed is sent again: nobody can know whether it arrived. Both
have one `eventId`, of which Personalize uses the first.

`python -m bench.events_kill` sends 10,000 events to three replicas on one Redis. Meanwhile it kills replicas at 50
random moments with SIGKILL, and Personalize's events endpoint throttles, fails, resets, hangs and answers garbage in
turn. `--embedded` does the same to one replica that keeps its events in a file. Exit status 1 if an event is missing.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import click

from tests.support.processes import Process, local_personalize, service
from tests.support.redis import RedisServer
from tests.support.waiting import until

KEY = "events-key-of-24-characters"
FAULTS = ("throttle", "error500", "reset", "garbage", "hang")
GOOD_SECONDS = 5.0
"""Between two faults."""

GIVE_UP_SECONDS = 180.0
"""For what waits to arrive after the last kill: claims of the dead lapse, pauses end, the budget is spent."""


@dataclass(slots=True)
class Course:
    """What was done, and what came of it."""

    accepted: set[str] = field(default_factory=set)
    """Ids of events of which the sender got 202."""

    arrived: Counter[str] = field(default_factory=Counter)
    """How often each id came to Personalize."""

    used: Counter[str] = field(default_factory=Counter)
    """How often Personalize used each id: it uses the first event of each."""

    kills: int = 0
    unanswered: int = 0
    """Calls of the sender that got no 202, and were sent again."""

    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def missing(self) -> set[str]:
        """Accepted, and never arrived."""
        return self.accepted - self.arrived.keys()

    @property
    def repeated(self) -> list[str]:
        """Ids that came more than once: of calls that were in flight at a kill, or whose answer was lost."""
        return [one for one, count in self.arrived.items() if count > 1]

    def promises(self) -> dict[str, bool]:
        """What is promised, and whether it was kept."""
        return {
            f"{len(self.accepted):,} accepted, {len(self.missing):,} of them missing": not self.missing,
            f"{len(self.arrived.keys() - self.accepted):,} arrived that were not accepted": (
                self.arrived.keys() <= self.accepted
            ),
            f"{self.used.total():,} used by Personalize, each once, and all that were accepted": (
                self.used == Counter(self.accepted)
            ),
            f"the sender got {dict(self.statuses)}: no 429, 502, 503 or 504": (
                not self.statuses.keys() & {408, 429, 502, 503, 504, 529}
            ),
        }


class Replicas:
    """Replicas of which any can be killed; each is started anew with the settings that it had."""

    def __init__(self, stack: ExitStack, settings: list[dict[str, Any]], personalize: Process) -> None:
        self._stack = stack
        self._settings = settings
        self._personalize = personalize
        self.running: dict[int, Process] = {}

    def start(self, number: int) -> None:
        """Start one, and return once it is ready."""
        self.running[number] = self._stack.enter_context(service(self._personalize, **self._settings[number]))

    def kill(self, number: int) -> None:
        """End one at once."""
        self.running.pop(number).kill()


@contextmanager
def replicas(count: int, *, embedded: bool, latency_ms: float, tps: float) -> Iterator[tuple[Replicas, Process]]:
    """Replicas that send events on to a local Personalize."""
    with ExitStack() as stack:
        personalize = stack.enter_context(local_personalize(latency_ms=latency_ms))
        shared: dict[str, Any] = {
            "EVENT_KEYS": KEY,
            "PERSONALIZE_TRACKING_ID": "local-tracker",
            "PERSONALIZE_EVENTS_TPS": str(tps),
            "AWS_ENDPOINT_URL_PERSONALIZE_EVENTS": personalize.url,
        }
        if embedded:
            settings = [
                {**shared, "DATA_DIR": stack.enter_context(tempfile.TemporaryDirectory())} for _ in range(count)
            ]
        else:
            shared["REDIS_URL"] = stack.enter_context(RedisServer()).url
            settings = [shared] * count
        group = Replicas(stack, settings, personalize)
        for number in range(count):
            group.start(number)
        yield group, personalize


async def kill_at_random(
    events: int,
    kills: int,
    *,
    count: int = 3,
    embedded: bool = False,
    fault_seconds: float = 6.0,
    pause_seconds: float = 1.0,
    latency_ms: float = 5.0,
    tps: float = 500.0,
    seed: int = 17,
) -> Course:
    """Send events, kill replicas, let Personalize fail; the course once nothing waits any more."""
    course, chance = Course(), random.Random(seed)
    began = time.monotonic()
    with replicas(1 if embedded else count, embedded=embedded, latency_ms=latency_ms, tps=tps) as (group, personalize):
        over = asyncio.Event()
        sending = asyncio.create_task(_send(course, group, events, chance, over, per_kill=events // max(1, kills)))
        failing = asyncio.create_task(_fail(course, personalize, fault_seconds, over))
        for _ in range(kills):
            # The sender goes on, so that a kill meets calls of every kind.
            await asyncio.sleep(chance.uniform(0.05, pause_seconds))
            number = chance.choice(list(group.running))
            group.kill(number)
            course.kills += 1
            await asyncio.to_thread(group.start, number)
        over.set()
        await sending
        await failing
        await asyncio.to_thread(personalize.post, "/_faults", {"mode": "none", "of": "events"})
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < give_up_at:
            listed = await asyncio.to_thread(personalize.get_json, "/_events")
            course.arrived = Counter(event["eventId"] for event in listed)
            used = await asyncio.to_thread(personalize.get_json, "/_events/used")
            course.used = Counter(event["eventId"] for event in used)
            if not course.missing:
                break
            await asyncio.sleep(0.25)
    course.seconds = time.monotonic() - began
    return course


async def _send(
    course: Course, group: Replicas, events: int, chance: random.Random, over: asyncio.Event, per_kill: int
) -> None:
    """Send events in bodies of 1 to 20, each again until it is answered 202; spread over the time of all kills."""
    sent = 0
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(headers={"X-API-Key": KEY}, timeout=timeout) as session:
        while sent < events:
            size = min(chance.randint(1, 20), events - sent)
            ids = [f"e{number}" for number in range(sent, sent + size)]
            user = f"user{chance.randint(1, 50)}"
            listed = [{"eventType": "View", "itemId": f"item{one}", "eventId": one} for one in ids]
            body = {"userId": user, "eventList": listed}
            await until(partial(_taken, course, session, group, body, chance), seconds=GIVE_UP_SECONDS)
            course.accepted.update(ids)
            sent += size
            # Not all at once: kills are to meet events that come, wait and leave.
            is_due = partial(_is_due, course, over, sent / per_kill)
            await until(is_due, seconds=GIVE_UP_SECONDS)


def _is_due(course: Course, over: asyncio.Event, kills: float) -> bool:
    return over.is_set() or kills <= course.kills + 1


async def _taken(
    course: Course, session: aiohttp.ClientSession, group: Replicas, body: dict[str, Any], chance: random.Random
) -> bool:
    if not group.running:
        return False
    replica = group.running[chance.choice(list(group.running))]
    with suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with session.post(f"{replica.url}/events", json=body) as answer:
            course.statuses[answer.status] += 1
            if answer.status == 202:
                counted = await answer.json()
                return bool(counted["accepted"] + counted["duplicate"] == len(body["eventList"]))
    course.unanswered += 1
    return False


async def _fail(course: Course, personalize: Process, seconds: float, over: asyncio.Event) -> None:
    """One fault after another, with as much good time between them."""
    while True:
        for mode in FAULTS:
            for one, lasts in ((mode, seconds), ("none", min(seconds, GOOD_SECONDS))):
                await asyncio.to_thread(personalize.post, "/_faults", {"mode": one, "of": "events"})
                with suppress(TimeoutError):
                    async with asyncio.timeout(lasts):
                        await over.wait()
                if over.is_set() and len(course.faults) >= len(FAULTS):
                    return
            course.faults.append(mode)
        if over.is_set():
            return


@click.command()
@click.option("--events", default=10_000, show_default=True)
@click.option("--kills", default=50, show_default=True)
@click.option("--replicas", "count", default=3, show_default=True)
@click.option("--fault-seconds", default=30.0, show_default=True, help="How long each fault lasts.")
@click.option("--pause-seconds", default=4.0, show_default=True, help="Longest time between two kills.")
@click.option("--seed", default=17, show_default=True)
@click.option("--embedded", is_flag=True, help="One replica that keeps its events in a file.")
@click.option("--out", default="build/events_kill.json", show_default=True)
def main(
    *,
    events: int,
    kills: int,
    count: int,
    fault_seconds: float,
    pause_seconds: float,
    seed: int,
    embedded: bool,
    out: str,
) -> None:
    """Kill replicas while events come, wait and leave."""
    course = asyncio.run(
        kill_at_random(
            events,
            kills,
            count=count,
            embedded=embedded,
            fault_seconds=fault_seconds,
            pause_seconds=pause_seconds,
            seed=seed,
        )
    )
    promises = course.promises()
    for promise, kept in promises.items():
        print(f"{'ok  ' if kept else 'FAIL'} {promise}")
    print(f"     {len(course.repeated):,} came more than once, each with the same eventId")
    print(f"{course.kills} kills, faults {course.faults}, {course.unanswered} calls sent again, {course.seconds:.0f} s")
    Path(out).parent.mkdir(exist_ok=True)
    figures = {
        "accepted": len(course.accepted),
        "arrived": len(course.arrived),
        "missing": sorted(course.missing),
        "repeated": sorted(course.repeated),
        "kills": course.kills,
        "faults": course.faults,
        "statuses": dict(course.statuses),
        "seconds": round(course.seconds, 1),
    }
    Path(out).write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    sys.exit(0 if all(promises.values()) else 1)


if __name__ == "__main__":
    main()
