"""What misses cost Redis: `python -m bench redis_load`.

Replicas in one process, each with its own connections, heartbeat, budget and lists as the service builds them. Every
miss boards, reserves a slot and lands a list of 25. Redis's processor time is the kernel's.
"""

import asyncio
import hashlib
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
import uvloop

from bench.speed import Figure
from service.budget.adapters.redis import RedisGovernor
from service.budget.ports import Lane
from service.clock import SystemClock
from service.errors import SharedStateUnavailable
from service.fleet.client import RedisClient
from service.fleet.heartbeat import Heartbeat
from service.lists.adapters.redis import RedisLists
from service.lists.envelope import seal
from service.lists.freshness import Freshness
from service.lists.keys import UserKey
from service.lists.ports import ListsEvent, Outcome
from service.models import ItemList
from tests.support.redis import RedisServer

TPS = 2_000
HORIZON_SECONDS = 1.5
TRANSACTION_SECONDS = 0.04
TIMEOUT_SECONDS = 5.0
"""All replicas share one core here, so an answer waits for its reader."""

IDLE_SECONDS = 3.0
SECONDS = 6.0
LOADS = ((30, 500, 0.125), (100, 300, 0.12))
"""Replicas, misses a second of all of them, and the promised share of a core."""


class _Unheard:
    def lists_event(self, event: ListsEvent) -> None:
        """Not of interest."""


@dataclass(frozen=True, slots=True)
class _Replica:
    lists: RedisLists
    governor: RedisGovernor

    async def miss(self, key: UserKey, outcome: Outcome) -> None:
        async with self.lists.follow(key):
            boarding = await self.lists.board(key, lease_seconds=2)
        assert boarding.leader
        await self.governor.reserve(Lane.NO_LIST, HORIZON_SECONDS)
        await asyncio.sleep(TRANSACTION_SECONDS)
        await self.lists.land(key, outcome, led=True)


@asynccontextmanager
async def _replica(url: str) -> AsyncIterator[_Replica]:
    clock = SystemClock()
    async with (
        RedisClient(url, timeout_seconds=TIMEOUT_SECONDS) as client,
        Heartbeat(client, clock=clock, expected_replicas=4, patient=False) as heartbeat,
        RedisLists(
            client, heartbeat, clock=clock, freshness=Freshness(900.0, 7 * 86_400), recorder=_Unheard()
        ) as lists,
    ):
        governor = RedisGovernor(TPS, client=client, heartbeat=heartbeat, clock=clock, horizon_seconds=HORIZON_SECONDS)
        yield _Replica(lists, governor)


@dataclass(frozen=True, slots=True)
class _Share:
    """Of a core, used by Redis."""

    beats: float
    misses: float
    reached: float
    """Misses a second; the share is that of the wanted rate."""

    @property
    def total(self) -> float:
        return self.beats + self.misses


async def _loaded(server: RedisServer, replicas: int, per_second: int) -> _Share:
    loop = asyncio.get_running_loop()
    ids = tuple(str(uuid.uuid4()) for _ in range(25))
    outcome = Outcome(seal(ItemList(ids, "RID-1", SystemClock().time())), "personalize")
    async with AsyncExitStack() as stack:
        fleet = [await stack.enter_async_context(_replica(server.url)) for _ in range(replicas)]
        await asyncio.sleep(1.0)
        before, began = server.cpu_seconds(), loop.time()
        await asyncio.sleep(IDLE_SECONDS)
        beats = (server.cpu_seconds() - before) / (loop.time() - began)
        misses: set[asyncio.Task[None]] = set()
        done = failed = 0

        def landed(task: "asyncio.Task[None]") -> None:
            nonlocal done, failed
            misses.discard(task)
            failed += isinstance(task.exception(), SharedStateUnavailable)
            done += task.exception() is None

        before, began = server.cpu_seconds(), loop.time()
        for number in range(int(per_second * SECONDS)):
            await asyncio.sleep(max(0.0, began + number / per_second - loop.time()))
            key = UserKey(hashlib.blake2b(b"%d" % number, digest_size=16).digest())
            task = asyncio.create_task(fleet[number % replicas].miss(key, outcome))
            misses.add(task)
            task.add_done_callback(landed)
        while misses:
            await asyncio.wait(misses)
        took, used = loop.time() - began, server.cpu_seconds() - before
        if failed:
            raise RuntimeError(f"{failed} misses failed")
        # A busy machine reaches fewer misses, and beats go on meanwhile: they are no cost of those misses.
        return _Share(beats, (used - beats * took) / done * per_second, done / took)


def redis_load(repeats: int) -> list[Figure]:
    """Redis's share of a core under the misses of many replicas."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    figures = []
    for replicas, per_second, promised in LOADS:
        shares = []
        for _ in range(repeats):
            with RedisServer() as server:
                shares.append(uvloop.run(_loaded(server, replicas, per_second)))
        share = sorted(shares, key=lambda one: one.total)[len(shares) // 2]
        figures.append(
            Figure(
                f"Redis under {per_second} misses/s of {replicas} replicas",
                share.total,
                "cores",
                f"<= {promised}",
                share.total <= promised,
                f"{share.beats:.3f} of it for signs of life; {share.reached:.0f} misses/s reached",
            )
        )
    return figures
