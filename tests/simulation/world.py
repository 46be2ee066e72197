"""Replicas with everything that decides, a Redis, a Personalize, and what becomes of them; a seed says what.

The replicas are what the wiring builds: answers, flights, lists, pins, refresher, slot queue, governor, heartbeat. They
share lists through `RedisLists` and the budget through `RedisGovernor`; Redis is a model that runs their Lua. Time is
virtual, so a seed that breaks a promise breaks it again.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final
from unittest.mock import patch

from service.budget.adapters.redis import RedisGovernor
from service.constants import PIN_SECONDS, SPENT_SHARE
from service.errors import RecommenderError, RecommenderThrottled
from service.fleet.heartbeat import HEARTBEAT_SECONDS, Heartbeat
from service.lists.adapters.redis import RedisLists
from service.lists.freshness import Freshness
from service.lists.ports import ListsEvent
from service.models import Answer, ItemList, ListRequest
from tests.support.calls import most_in_a_second
from tests.support.fakes import HANG, Failure, FakePersonalize
from tests.support.redis_network import ModelClient, RedisServerModel
from tests.support.replica import DEADLINE_SECONDS, Replica, items_for, open_replica
from tests.support.virtual_time import VirtualClock, run_virtual

FRESH_SECONDS: Final = 12.0
STALE_SECONDS: Final = 600.0
MAX_REPLICAS: Final = 4
SECONDS: Final = 40.0
ITEMS: Final = 10
PARTS: Final = 3

SETTLED_SECONDS: Final = PIN_SECONDS + 2 * DEADLINE_SECONDS
"""So long after a trouble what it left behind may still be shown."""

TAKEOVER_SECONDS: Final = 2.0
"""Until a copy of Redis answers in the place of one that died."""

OF_PERSONALIZE: Final = ("slow", "fails", "throttles", "hangs")
OF_REPLICAS: Final = ("join", "stop", "kill")
OF_REDIS: Final = ("down", "older", "pause", "cut", "clock")


@dataclass(frozen=True)
class Trouble:
    at: float
    what: str
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What a seed says."""

    seed: int
    tps: float
    replicas: int
    users: int
    messages_a_second: float
    hurried: bool
    """Some calls have little time."""
    troubles: Sequence[Trouble]

    @classmethod
    def of(cls, seed: int) -> "Plan":
        chance = random.Random(seed)
        kinds: tuple[str, ...] = chance.choice(
            [(), OF_PERSONALIZE, OF_REPLICAS, OF_REDIS, (*OF_PERSONALIZE, *OF_REPLICAS, *OF_REDIS)]
        )
        troubles = [
            Trouble(chance.uniform(2, SECONDS - 12), chance.choice(kinds), chance.choice([0.2, 1.0, 3.0, 8.0]))
            for _ in range(chance.randint(1, 4) if kinds else 0)
        ]
        tps = chance.choice([1.0, 4.0, 10.0])
        return cls(
            seed=seed,
            tps=tps,
            replicas=chance.randint(1, 3),
            users=chance.choice([20, 60, 1000]),
            messages_a_second=tps * chance.choice([0.3, 1.0, 3.0]),
            hurried=chance.random() < 0.3,
            troubles=sorted(troubles, key=lambda one: one.at),
        )


@dataclass
class Member:
    """A replica, and what it stands on."""

    replica: Replica
    client: ModelClient
    stack: AsyncExitStack
    calls: set[asyncio.Task[None]] = field(default_factory=set)


@dataclass
class Message:
    """The calls for one user, at about the same time on any replicas."""

    user: str
    at: float
    answers: list[Answer] = field(default_factory=list)


@dataclass(frozen=True)
class Transaction:
    user: str
    at: float
    had_list: bool
    together: int
    """Of the same user under way, this one included."""


class _Recorder:
    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def lists_event(self, event: ListsEvent) -> None:
        self.counted[event] += 1


class WatchedPersonalize(FakePersonalize):
    """Remembers of each transaction what the promises speak of."""

    def __init__(self, clock: VirtualClock, chance: random.Random) -> None:
        super().__init__(clock)
        self._chance = chance
        self._now = clock.monotonic
        self.slow_seconds = 0.0
        self.made_at: dict[str, float] = {}
        self.seen: list[Transaction] = []

    async def recommend(self, request: ListRequest, *, timeout_seconds: float) -> ItemList:
        user = request.user_id
        made_at = self.made_at.get(user, float("-inf"))
        self.latency_seconds = self.slow_seconds or self._chance.uniform(0.03, 0.15)
        self.seen.append(
            Transaction(user, self._now(), self._now() - made_at < STALE_SECONDS, 1 + self._in_flight[user])
        )
        made = await super().recommend(request, timeout_seconds=timeout_seconds)
        self.made_at[user] = self._now()
        return made


class World:
    """Plays a plan; `broken` says which promises did not hold."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.clock = VirtualClock(asyncio.get_running_loop())
        self.chance = random.Random(plan.seed + 1)
        self.fast_seconds = 0.0
        self.server = RedisServerModel(lambda: self.clock.time() + self.fast_seconds, way_seconds=0.001)
        self.personalize = WatchedPersonalize(self.clock, self.chance)
        self.personalize.default_items = items_for
        self.members: list[Member] = []
        self.most_members = self.strangers = 0
        self.messages: list[Message] = []
        self.troubled: list[tuple[float, float]] = []
        """When something was wrong, from and to, with what it left behind."""
        self.degraded_at: dict[str, list[float]] = {}
        """When an answer was given that may be repeated, by user."""
        self.broken: list[str] = []
        self.sources: Counter[str] = Counter()

    async def play(self) -> None:
        for _ in range(self.plan.replicas):
            await self._join()
        self.began = self.clock.monotonic()
        troubles = asyncio.create_task(self._make_trouble())
        calls: set[asyncio.Task[None]] = set()
        while (now := self.clock.monotonic() - self.began) < SECONDS:
            message = Message(f"user{self.chance.randrange(self.plan.users)}", self.clock.monotonic())
            self.messages.append(message)
            for part in range(PARTS):
                within = self.chance.choice([0.2, 0.5, DEADLINE_SECONDS]) if self.plan.hurried else DEADLINE_SECONDS
                call = asyncio.create_task(self._call(message, part * self.chance.uniform(0, 0.02), within))
                calls.add(call)
                call.add_done_callback(calls.discard)
            await asyncio.sleep(self.chance.expovariate(self.plan.messages_a_second))
            del now
        await asyncio.gather(*calls, troubles)
        await asyncio.sleep(SETTLED_SECONDS)
        if self.server.redis.everlasting():
            self.broken.append(f"keys that never expire: {self.server.redis.everlasting()}")
        for member in list(self.members):
            if not await self._ends(member.replica):
                self.broken.append("a flight that never ends")
            await self._leave(member, killed=False)
        self._check()

    async def _call(self, message: Message, after: float, within: float) -> None:
        await asyncio.sleep(after)
        if not self.members:
            return
        member = self.chance.choice(self.members)
        task = asyncio.current_task()
        assert task is not None
        member.calls.add(task)
        began = self.clock.monotonic()
        try:
            answer = await member.replica.ask(message.user, within=within)
        except asyncio.CancelledError:
            return  # the replica was killed
        except Exception as error:  # noqa: BLE001  # a promise that did not hold, whatever it is
            self.broken.append(f"{began - self.began:.3f}: no answer for {message.user}: {error!r}")
            return
        finally:
            member.calls.discard(task)
        took = self.clock.monotonic() - began
        message.answers.append(answer)
        if answer.degraded_reason:
            self.degraded_at.setdefault(message.user, []).append(self.clock.monotonic())
        self.sources[answer.source] += 1
        shown = [item["id"] for item in json.loads(answer.body)]
        if took > within + 1e-6:
            self.broken.append(f"{began - self.began:.3f}: an answer after {took:.3f} of {within} s")
        if len(set(shown)) != ITEMS:
            self.broken.append(f"{began - self.began:.3f}: {len(set(shown))} items for {message.user}")
        if answer.source == "cache" and (answer.age_seconds or 0) > FRESH_SECONDS:
            self.broken.append(f"{began - self.began:.3f}: a list of {answer.age_seconds} s is served as fresh")

    # Troubles

    async def _make_trouble(self) -> None:
        for trouble in self.plan.troubles:
            await asyncio.sleep(max(0.0, self.began + trouble.at - self.clock.monotonic()))
            began = self.clock.monotonic()
            await self._happen(trouble)
            # A list that landed without Redis is in one replica's memory only, and fresh there.
            left = FRESH_SECONDS if trouble.what in OF_REDIS else 0.0
            lasts = max(trouble.seconds, TAKEOVER_SECONDS) + SETTLED_SECONDS + left
            self.troubled.append((began - 0.1, self.clock.monotonic() + lasts))

    async def _happen(self, trouble: Trouble) -> None:
        loop, server, seconds = asyncio.get_running_loop(), self.server, trouble.seconds
        member = self.chance.choice(self.members) if self.members else None
        if trouble.what == "join" and len(self.members) < MAX_REPLICAS:
            await self._join()
        elif trouble.what in ("stop", "kill") and member is not None and len(self.members) > 1:
            await self._leave(member, killed=trouble.what == "kill")
        elif trouble.what == "clock":
            self.fast_seconds += self.chance.choice([-3600.0, -10.0, -0.3, 0.3, 10.0, 3600.0])
            await asyncio.sleep(2 * HEARTBEAT_SECONDS)
        elif trouble.what == "down" and server.alive:
            server.kill()
            loop.call_later(seconds, server.start)
        elif trouble.what == "older" and server.alive:
            memory = server.redis.memory()
            await asyncio.sleep(min(seconds, 1.0))
            server.kill()
            server.redis.remember(memory)
            loop.call_later(TAKEOVER_SECONDS, server.start)
        elif trouble.what == "pause" and server.alive:
            server.pause()
            loop.call_later(seconds, server.resume)
        elif trouble.what == "cut" and member is not None:
            member.client.link.cut = True
            loop.call_later(seconds, setattr, member.client.link, "cut", False)
        elif trouble.what == "slow":
            self.personalize.slow_seconds = self.chance.choice([0.6, 1.4, 2.0])
            loop.call_later(seconds, setattr, self.personalize, "slow_seconds", 0.0)
        elif trouble.what in ("fails", "throttles", "hangs"):
            failures: dict[str, Failure] = {"fails": RecommenderError, "throttles": RecommenderThrottled, "hangs": HANG}
            self.personalize.failure = failures[trouble.what]
            loop.call_later(seconds, setattr, self.personalize, "failure", None)

    async def _join(self) -> None:
        stack = AsyncExitStack()
        client = await stack.enter_async_context(ModelClient(self.server))
        heartbeat = await stack.enter_async_context(Heartbeat(client, clock=self.clock, expected_replicas=MAX_REPLICAS))
        self.strangers += not client.up
        lists = await stack.enter_async_context(
            RedisLists(
                client,
                heartbeat,
                clock=self.clock,
                freshness=Freshness(FRESH_SECONDS, STALE_SECONDS),
                recorder=_Recorder(),
            )
        )
        governor = RedisGovernor(
            self.plan.tps * SPENT_SHARE,
            client=client,
            heartbeat=heartbeat,
            clock=self.clock,
            horizon_seconds=DEADLINE_SECONDS,
        )
        replica = await stack.enter_async_context(
            open_replica(
                personalize=self.personalize,
                shared=lists,
                governor=governor,
                fresh_seconds=FRESH_SECONDS,
                stale_seconds=STALE_SECONDS,
            )
        )
        self.members.append(Member(replica, client, stack))
        self.most_members = max(self.most_members, len(self.members))

    async def _leave(self, member: Member, *, killed: bool) -> None:
        self.members.remove(member)
        if killed:
            member.client.link.cut = True
            for call in list(member.calls):
                call.cancel()
        if member.calls:
            await asyncio.wait(set(member.calls))
        await member.stack.aclose()

    async def _ends(self, replica: Replica) -> bool:
        """Whether the replica comes to rest; lists that wait for a refresh take their time."""
        until = self.clock.monotonic() + self.plan.users / self.plan.tps * 20 + 60
        while self.clock.monotonic() < until:
            if not len(replica.flights) and not len(replica.refresher):
                return True
            await asyncio.sleep(0.1)
        return False

    # Promises

    def _check(self) -> None:
        self.broken += [*self._spent_too_much(), *self._disagreements(), *self._spent_twice(), *self._lanes()]

    def _is_calm(self, begin: float, end: float) -> bool:
        return not any(begin <= to and since <= end for since, to in self.troubled)

    def _spent_too_much(self) -> Iterator[str]:
        plan, most = self.plan, most_in_a_second(one.at for one in self.personalize.seen)
        promised = plan.tps + 1
        if any(trouble.what in OF_REDIS and trouble.what != "clock" for trouble in plan.troubles):
            promised = 1.25 * plan.tps + 1 + self.most_members + self.strangers * plan.tps / MAX_REPLICAS
        if most > promised:
            yield f"{most} transactions in a second, {promised:g} promised"

    def _disagreements(self) -> Iterator[str]:
        for message in self.messages:
            end = message.at + DEADLINE_SECONDS
            bodies = {one.body for one in message.answers}
            if len(bodies) > 1 and self._is_calm(message.at, end) and not self._pin_ends(message.user, message.at, end):
                shown = [(one.source, one.degraded_reason) for one in message.answers]
                yield f"{message.at - self.began:.3f}: the parts for {message.user} differ: {shown}"

    def _pin_ends(self, user: str, begin: float, end: float) -> bool:
        """Whether what an earlier message of the user was shown is repeated to some parts of this one only."""
        return any(begin <= at + PIN_SECONDS <= end for at in self.degraded_at.get(user, ()))

    def _spent_twice(self) -> Iterator[str]:
        last: dict[str, float] = {}
        for one in self.personalize.seen:
            if not self._is_calm(one.at - FRESH_SECONDS, one.at):
                continue
            if one.together > 1:
                yield f"{one.at - self.began:.3f}: {one.together} transactions at a time for {one.user}"
            elif one.at - last.get(one.user, float("-inf")) < FRESH_SECONDS:
                yield f"{one.at - self.began:.3f}: a second transaction for {one.user}, whose list is fresh"
            last[one.user] = one.at

    def _lanes(self) -> Iterator[str]:
        """A caller without a list was refused, so all slots within its time are of callers without a list."""
        if self.plan.hurried:
            return
        refused = [
            message.at
            for message in self.messages
            if any((one.source, one.degraded_reason) == ("popular", "budget") for one in message.answers)
            # What repeats an earlier answer says nothing of this moment.
            and not any(0 < message.at - at < PIN_SECONDS + 0.1 for at in self.degraded_at[message.user])
        ]
        lower = [one for one in self.personalize.seen if one.had_list]
        for at in refused:
            for one in lower:
                if at + 0.2 < one.at < at + 1.0 and self._is_calm(at - FRESH_SECONDS, one.at):
                    yield f"{one.at - self.began:.3f}: {one.user} has a list, and got a slot before one who has none"
                    return


def play(seed: int) -> World:
    """What comes of a seed, the same each time."""
    names = random.Random(seed)

    async def run() -> World:
        world = World(Plan.of(seed))
        await world.play()
        return world

    with patch("secrets.token_hex", lambda count: names.randbytes(count).hex()):
        return run_virtual(run())
