"""Replicas that want more of the budget than there is, and what becomes of them, of Redis, its clock and the network.

The replicas are the service's own heartbeats, governors and queues in virtual time; Redis is a model that runs the
service's Lua.
"""

import asyncio
import math
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from service.budget.adapters.redis import RedisGovernor
from service.budget.ports import Lane
from service.budget.slot_queue import SlotQueue
from service.constants import SPENT_SHARE
from service.errors import BudgetExhausted
from service.fleet.heartbeat import FORGET_SECONDS, HEARTBEAT_SECONDS, Heartbeat
from tests.support.calls import most_in_a_second
from tests.support.redis_network import ModelClient, RedisServerModel
from tests.support.virtual_time import VirtualClock, run_virtual

HORIZON: Final = 1.5
PATIENCE: Final = 1.3
PAUSE: Final = 0.1
EXPECTED_REPLICAS: Final = 4

REACHED: Final = ("clock", "join", "stop", "kill")
"""What may happen while all replicas reach Redis."""

MISSED: Final = (*REACHED, "down", "older", "pause", "cut")
"""What may happen besides."""

_AFTER: Final = (0.0, 0.01, 0.3, 1.0, 2.6)
_SECONDS: Final = (0.05, 0.2, 0.4, 1.0, 3.0, 10.0)
_STEPS: Final = (-3600.0, -21.0, -10.0, -1.0, -0.3, -0.02, 0.02, 0.3, 1.0, 10.0, 21.0, 3600.0)


@dataclass(frozen=True)
class Event:
    after: float
    what: str
    seconds: float = 0.0
    replica: int = 0


@dataclass(frozen=True)
class Schedule:
    tps: float
    replicas: int
    events: Sequence[Event]

    @classmethod
    def of(cls, seed: int, kinds: Sequence[str]) -> "Schedule":
        """The same one for a seed, always."""
        chance = random.Random(seed)
        events = []
        for _ in range(chance.randint(1, 6)):
            after = chance.choice((*_AFTER, chance.uniform(0, 4)))
            what = chance.choice(kinds)
            seconds = (
                chance.choice(_STEPS)
                if what == "clock"
                else chance.choice((*_SECONDS, chance.uniform(0.01, FORGET_SECONDS - 1)))
            )
            events.append(Event(after, what, seconds, chance.randint(0, 3)))
        return cls(chance.choice((0.5, 2.0, 5.0, 20.0)), chance.randint(1, EXPECTED_REPLICAS), events)


@dataclass
class Replica:
    client: ModelClient
    heartbeat: Heartbeat
    queue: SlotQueue
    stack: AsyncExitStack
    callers: list[asyncio.Task[None]] = field(default_factory=list)


class Spenders:
    """Replicas under more load than the budget holds, and their Redis."""

    def __init__(self, tps: float) -> None:
        self.tps = tps
        self.clock = VirtualClock(asyncio.get_running_loop())
        self.redis_fast_seconds = 0.0
        self._clock_set_at = float("-inf")
        self.server = RedisServerModel(lambda: self.clock.time() + self.redis_fast_seconds)
        self.replicas: list[Replica] = []
        self.most_replicas = 0
        self.started_without_redis = 0
        self.begun: list[float] = []

    @property
    def most(self) -> int:
        """Transactions that began within any second."""
        return most_in_a_second(self.begun)

    @property
    def promised(self) -> float:
        """`BUDGET_PROMISE` while some miss Redis; those that it does not know started without it."""
        return 1.25 * self.tps + 1 + self.most_replicas + self.started_without_redis * self.tps / EXPECTED_REPLICAS

    async def add(self) -> None:
        """One replica starts."""
        stack = AsyncExitStack()
        client = await stack.enter_async_context(ModelClient(self.server))
        heartbeat = await stack.enter_async_context(
            Heartbeat(client, clock=self.clock, expected_replicas=EXPECTED_REPLICAS)
        )
        governor = RedisGovernor(
            self.tps * SPENT_SHARE, client=client, heartbeat=heartbeat, clock=self.clock, horizon_seconds=HORIZON
        )
        self.started_without_redis += not client.up
        replica = Replica(client, heartbeat, SlotQueue(governor, self.clock), stack)
        lanes = [Lane.NO_LIST] * (2 + math.ceil(PATIENCE * self.tps / 2)) + [Lane.STALE, Lane.PREWARM]
        replica.callers = [asyncio.create_task(self._call(replica.queue, lane)) for lane in lanes]
        self.replicas.append(replica)
        self.most_replicas = max(self.most_replicas, len(self.replicas))

    async def remove(self, replica: Replica, *, killed: bool) -> None:
        """One replica ends; a killed one does not say so."""
        self.replicas.remove(replica)
        for caller in replica.callers:
            caller.cancel()
        await asyncio.gather(*replica.callers, return_exceptions=True)
        replica.queue.close()
        if killed:
            replica.client.link.cut = True
        await replica.stack.aclose()

    async def run(self, replicas: int, events: Sequence[Event], seconds_after: float = 3.0) -> None:
        for _ in range(replicas):
            await self.add()
        await asyncio.sleep(1.5)
        for event in events:
            await asyncio.sleep(event.after)
            await self._happen(event)
        await asyncio.sleep(seconds_after)
        for replica in list(self.replicas):
            replica.client.link.cut = False
            await self.remove(replica, killed=False)
        # Timers of this run end with it.
        await asyncio.sleep(FORGET_SECONDS)

    async def _call(self, queue: SlotQueue, lane: Lane) -> None:
        while True:
            try:
                await queue.acquire(lane, self.clock.monotonic() + PATIENCE)
            except BudgetExhausted:
                await asyncio.sleep(PAUSE)
            else:
                self.begun.append(self.clock.monotonic())

    async def _happen(self, event: Event) -> None:
        """What an event does; what lasts ends by itself."""
        loop, server = asyncio.get_running_loop(), self.server
        replica = self.replicas[event.replica % len(self.replicas)] if self.replicas else None
        if event.what == "clock":
            # Nobody sets a clock twice before every replica has noticed the first time.
            await asyncio.sleep(max(0.0, self._clock_set_at + 2 * HEARTBEAT_SECONDS - self.clock.monotonic()))
            self._clock_set_at = self.clock.monotonic()
            self.redis_fast_seconds += event.seconds
        elif event.what == "join" and len(self.replicas) < EXPECTED_REPLICAS:
            await self.add()
        elif event.what in ("stop", "kill") and replica is not None:
            await self.remove(replica, killed=event.what == "kill")
        elif event.what == "down" and server.alive:
            server.kill()
            loop.call_later(event.seconds, server.start)
        elif event.what == "older" and server.alive:
            # A copy takes over that had not heard of the last moments. In these no replica came or went.
            await asyncio.sleep(3 * HEARTBEAT_SECONDS)
            memory = server.redis.memory()
            await asyncio.sleep(min(event.seconds, 1.0))
            server.kill()
            server.redis.remember(memory)
            loop.call_later(HORIZON, server.start)
        elif event.what == "pause" and server.alive:
            server.pause()
            loop.call_later(event.seconds, server.resume)
        elif event.what == "cut" and replica is not None:
            replica.client.link.cut = True
            loop.call_later(event.seconds, setattr, replica.client.link, "cut", False)


def spend(schedule: Schedule, seconds_after: float = 3.0) -> Spenders:
    """What comes of a schedule."""

    async def run() -> Spenders:
        spenders = Spenders(schedule.tps)
        await spenders.run(schedule.replicas, schedule.events, seconds_after)
        return spenders

    return run_virtual(run())
