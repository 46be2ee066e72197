"""A day of a shop in virtual time, and what is left of it.

Three sends of ten minutes, a minute of messages each hour, and what a day brings besides: a rolling restart, a Redis
that fails over, a Personalize that throttles, items that are blocked, users who buy and who are forgotten. Lists age
75 times as fast as they do by default.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from typing import Final

from tests.simulation.plan import Happening, Plan
from tests.simulation.world import World
from tests.support.calls import most_in_a_second

HOUR: Final = 3_600.0
DAY: Final = 24 * HOUR
SENDS: Final = (8.5, 12.5, 18.5)
"""At these hours."""

TROUBLES: Final = {
    9: ("block", "buy", "forget"),
    11: ("stop", "join", "stop", "join", "stop", "join"),
    13: ("reload", "unblock", "forget", "buy"),
    15: ("older",),
    17: ("throttles", "prewarm"),
    20: ("kill", "join", "cut"),
}
"""By the hour in whose minute of messages they come, ten seconds one after another."""


def plan_of_a_day(seed: int) -> Plan:
    """The same things at the same times; a seed decides who calls, and what exactly becomes of whom."""
    chance = random.Random(seed)
    found = [
        *(Happening(HOUR * hour, "burst", 60.0, chance.randrange(2**32)) for hour in range(24)),
        *(Happening(HOUR * hour, "burst", 600.0, chance.randrange(2**32)) for hour in SENDS),
        *(
            Happening(HOUR * hour + 5 + 8 * number, what, 3.0, chance.randrange(2**32))
            for hour, whats in TROUBLES.items()
            for number, what in enumerate(whats)
        ),
    ]
    return Plan(
        seed=seed,
        tps=10.0,
        replicas=3,
        users=6_000,
        messages_a_second=9.0,
        deadline_seconds=1.5,
        way_seconds=0.001,
        hurried=False,
        shop=True,
        happenings=tuple(sorted(found, key=lambda one: one.at)),
    )


@dataclass(frozen=True)
class Mark:
    """What there is while a world is at rest.

    Attributes:
        hour: Since the beginning.
        tasks: Of all replicas.
        timers: That are still to come.
        keys: In Redis.
        lasting: Those of them that never expire.
    """

    hour: float
    tasks: int
    timers: int
    keys: int
    lasting: int


class Day(World):
    """Remembers what there is whenever nothing is under way."""

    def __init__(self, plan: Plan, seconds: float) -> None:
        super().__init__(plan, seconds)
        self.marks: list[Mark] = []

    def _look_around(self, *, at_rest: bool = True) -> None:
        super()._look_around(at_rest=at_rest)
        if not at_rest:
            return
        redis = self.server.redis
        hour = (self.clock.monotonic() - self.promises.began) / HOUR
        tasks, timers = len(asyncio.all_tasks()), len(self.loop.timers)
        self.marks.append(Mark(hour, tasks, timers, len(redis.names()), len(redis.everlasting())))


def unrest(marks: list[Mark]) -> list[str]:
    """What there is more of in the last hours than in the first ones, a line each."""
    first, last = marks[:2], marks[-2:]
    found = []
    for name, more in (("tasks", 0), ("timers", 0), ("keys", 8), ("lasting", 8)):
        before, after = (max(getattr(one, name) for one in some) for some in (first, last))
        if after > before + more:
            found.append(f"{name}: {before} in the beginning, {after} in the end")
    return found


def figures(day: Day) -> list[str]:
    """What there was each hour, and in all."""
    seen, sources = day.personalize.seen, day.sources
    hours = Counter(int((one.at - day.promises.began) / HOUR) for one in seen)
    in_an_hour, in_a_second = max(hours.values()), most_in_a_second(one.at for one in seen)
    calls = sum(sources.values())
    return [
        *(
            f"hour {mark.hour:.2f}: {mark.tasks} tasks, {mark.timers} timers, {mark.keys} keys, {mark.lasting} for ever"
            for mark in day.marks
        ),
        f"{len(day.messages)} messages, {calls} calls, {len(seen)} transactions",
        f"transactions: at most {in_an_hour} in an hour and {in_a_second} in a second",
        ", ".join(f"{source} {count} ({count / calls:.1%})" for source, count in sources.most_common()),
    ]
