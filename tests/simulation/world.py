"""Replicas, a Redis, a Personalize, and what becomes of them; a plan says what, and `Promises` whether all is well.

Time is virtual, so a seed that breaks a promise breaks it again. Time in which nothing is under way but signs of life
is passed by at once: what they leave in Redis is moved with the clocks.

Longer than 300 lines: a happening is a method.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from unittest.mock import patch

from service.constants import PIN_SECONDS
from service.errors import SharedStateUnavailable
from service.events.event import Event
from service.fleet.heartbeat import HEARTBEAT_SECONDS
from service.models import Answer, RecommendationQuery
from service.personalize.flight import Flight
from service.sends.ports import PrewarmTerms
from service.settings import Settings, load
from service.wiring.names import redis_prefix
from tests.simulation.links import links_left, set_apart, with_modelled_links
from tests.simulation.member import Member, open_member, with_modelled_redis
from tests.simulation.personalize import FAILURES, Personalize
from tests.simulation.plan import APART, LAG_SECONDS, OF_REDIS, OF_REPLICAS, SECONDS, Happening, Plan
from tests.simulation.promises import FRESH_SECONDS, STALE_SECONDS, Promises, Shown, Window
from tests.support.fakes import FakeCatalog
from tests.support.redis_network import RedisServerModel
from tests.support.replica import ARN, ITEMS
from tests.support.virtual_time import PROCESS, BlindLoop, VirtualClock, run_virtual

NUM_RESULTS: Final = 10
PARTS: Final = 3
QUIET_SECONDS: Final = 8.0
"""After so long without a happening, pins, flights and second deletions are over."""

WARM_SECONDS: Final = 2.0
"""So long before the next happening, time goes by as usual again."""

TAKEOVER_SECONDS: Final = 2.0
"""Until a copy of Redis answers in the place of one that died."""


@dataclass
class Message:
    """The calls for one user, at about the same time on any replicas."""

    user: str
    at: float
    answers: list[Answer] = field(default_factory=list)


class World:
    """Plays a plan; `broken` says which promises did not hold."""

    def __init__(self, plan: Plan, seconds: float) -> None:
        self.plan = plan
        self.seconds = seconds
        loop = asyncio.get_running_loop()
        assert isinstance(loop, BlindLoop)
        self.loop = loop
        self.clock = VirtualClock(self.loop)
        self.chance = random.Random(plan.seed + 1)
        self.fast_seconds = 0.0
        self.server = RedisServerModel(lambda: self.clock.time() + self.fast_seconds, way_seconds=plan.way_seconds)
        latency = (0.03, 0.15) if plan.deadline_seconds > 1 else (0.02, 0.03)  # a short one
        self.personalize = Personalize(self.clock, self.chance, latency)
        self.catalog = FakeCatalog(ITEMS)
        self.settings = _settings(plan.tps, plan.deadline_seconds, plan.replicas, shop=plan.shop)
        self.members: list[Member] = []
        self.messages: list[Message] = []
        self.sources: Counter[str] = Counter()
        self.skipped_seconds = 0.0
        self.happening = 0
        """So much happens now."""
        self.promises = Promises(plan, self.clock, self.personalize)

    @property
    def broken(self) -> list[str]:
        return self.promises.broken

    def _uncaught(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.promises.break_("no error that nobody caught", f"{context['message']}: {context.get('exception')!r}")

    async def play(self) -> None:
        self.loop.set_exception_handler(self._uncaught)
        await asyncio.gather(*(self._join() for _ in range(self.plan.replicas)))
        began = self.clock.monotonic()
        self.promises.began = began
        tasks: list[asyncio.Task[None]] = []
        for happening in self.plan.happenings:
            await self._pass(began + happening.at)
            tasks.append(asyncio.create_task(self._happen(happening)))
        await asyncio.gather(*tasks)
        await self._pass(max(began + self.seconds, self.clock.monotonic() + QUIET_SECONDS))
        self._end()
        for member in list(self.members):
            await self._leave(member, killed=False)
        if left := self.server.subscribers + links_left(self.server):
            self.promises.break_("connections are left", f"{left} of replicas that have left")
        if timers := self.loop.timers:
            self.promises.break_("timers are left", repr(timers[:3]))

    # Time

    async def _pass(self, until: float) -> None:
        """Let time go by; where nothing is under way, at once."""
        loop = self.loop
        rested = 0.0
        while until - self.clock.monotonic() > WARM_SECONDS + 1.0:
            await asyncio.sleep(1.0)
            self._look_around(at_rest=False)
            rested = rested + 1.0 if self._is_at_rest else 0.0
            skipped = until - self.clock.monotonic() - WARM_SECONDS
            if rested >= QUIET_SECONDS and skipped > 0:
                self._look_around()
                loop.pass_by(skipped)
                self.server.redis.pass_by(skipped, _beats, {one.replica for one in self.members})
                self.skipped_seconds += skipped
        await asyncio.sleep(max(0.0, until - self.clock.monotonic()))

    @property
    def _is_at_rest(self) -> bool:
        server = self.server
        return (
            not self.happening
            and server.alive
            and not server.paused
            and all(one.is_at_rest and one.client.up and one.client.link.is_at_rest for one in self.members)
        )

    def _look_around(self, *, at_rest: bool = True) -> None:
        for member in self.members:
            self.promises.look_at(member, self.server.redis, at_rest=at_rest)

    def _end(self) -> None:
        for member in self.members:
            if member.client.up and not member.is_at_rest:
                self.promises.break_("something never ends", f"{len(member.arm.campaign.refresher)} refreshes wait")
        self._look_around()
        ledgers = (b":blocked", b":forgotten", b":merged", b":removed", b":events", b":items")
        if forever := [key for key in self.server.redis.everlasting() if not key.endswith(ledgers)]:
            self.promises.break_("keys that never expire", str(forever))
        self.promises.check(self.messages)

    # Calls

    async def _burst(self, happening: Happening, chance: random.Random) -> None:
        calls: set[asyncio.Task[None]] = set()
        until = self.clock.monotonic() + happening.seconds
        while self.clock.monotonic() < until:
            message = self._asked(f"user{chance.randrange(self.plan.users)}")
            for part in range(PARTS):
                within = self.plan.deadline_seconds
                if self.plan.hurried:
                    within = chance.choice([0.2, 0.5, within])
                call = asyncio.create_task(self._call(message, part * chance.uniform(0, 0.02), within, chance))
                calls.add(call)
                call.add_done_callback(calls.discard)
            await asyncio.sleep(chance.expovariate(self.plan.messages_a_second))
        await asyncio.gather(*calls)

    async def _call(self, message: Message, after: float, within: float, chance: random.Random) -> None:
        await asyncio.sleep(after)
        if not self.members:
            return
        member = chance.choice(self.members)
        task = asyncio.current_task()
        assert task is not None
        member.tasks.add(task)
        began = self.clock.monotonic()
        before = member.catalog.snapshot
        refresh = self._refresh_elsewhere(member, message.user)
        made = self.personalize.made_at.get(message.user, float("-inf"))
        query = RecommendationQuery(user_id=message.user, num_results=NUM_RESULTS)
        try:
            began = await member.read()
            answer = await member.answer(query, within)
        except asyncio.CancelledError:
            return  # the replica was killed
        except Exception as error:  # noqa: BLE001  # a promise that did not hold, whatever it is
            self.promises.break_(f"no answer for {message.user}", repr(error), at=began)
            return
        finally:
            member.tasks.discard(task)
        within += member.stood_still(began)
        message.answers.append(answer)
        self.sources[answer.source] += 1
        is_current = member.catalog.snapshot is not before or member.can_show(answer.shown)
        if refresh is not None:
            self.promises.see_refreshed(message.user, began, made, refresh)
        self.promises.see(Shown(message.user, member, began, within, answer, is_current))

    def _refresh_elsewhere(self, member: Member, user: str) -> Flight | None:
        """The flight for nobody to a user's list that another replica leads, and this one knows nothing of."""
        key = self.promises.key_of(member, user)
        if key in member.arm.campaign.flights._open:
            return None
        found = (one.arm.campaign.flights._open.get(key) for one in self.members if one is not member)
        return next((one for one in found if one is not None and one.background and one.led), None)

    # Happenings

    async def _happen(self, happening: Happening) -> None:
        self.happening += 1
        try:
            await self._let_happen(happening, random.Random(happening.chance))
        finally:
            self.happening -= 1

    async def _let_happen(self, happening: Happening, chance: random.Random) -> None:
        what = happening.what
        if what == "burst":
            await self._burst(happening, chance)
            return
        began = self.clock.monotonic()
        window = Window(began - 0.1, float("inf"), what.removeprefix("boarded "))
        self.promises.windows.append(window)
        lasts = await self._cause(what, happening.seconds, chance)
        window.until = self.clock.monotonic() + lasts

    async def _cause(self, what: str, seconds: float, chance: random.Random) -> float:
        """Have it happen; how much longer it may be felt."""
        settled = PIN_SECONDS + 2 * self.plan.deadline_seconds
        member = next((one for one in chance.sample(self.members, len(self.members)) if not one.is_frozen), None)
        if what in OF_REDIS:
            await self._trouble_redis(what, seconds, chance, member)
            # A list that landed without Redis is in one replica's memory only, and fresh there.
            return max(seconds, TAKEOVER_SECONDS) + settled + FRESH_SECONDS
        if what == APART:
            await self._part(seconds, chance)
            return settled + FRESH_SECONDS
        if what in FAILURES:
            self.personalize.trouble = what
            self.loop.call_later(seconds, setattr, self.personalize, "trouble", "")
        elif what == "slow":
            self.personalize.slow_seconds = chance.choice([0.6, 1.4, 2.0])
            self.loop.call_later(seconds, setattr, self.personalize, "slow_seconds", 0.0)
        elif what == "lag":
            self.server.way_seconds = LAG_SECONDS
            self.loop.call_later(seconds, setattr, self.server, "way_seconds", self.plan.way_seconds)
        elif what in OF_REPLICAS:
            return settled + await self._change_fleet(what, seconds, chance, member)
        elif member is not None:
            await self._serve(what, chance, member)
            settled += FRESH_SECONDS if what == "forget" else 0.0
        return seconds + settled

    async def _change_fleet(self, what: str, seconds: float, chance: random.Random, member: Member | None) -> float:
        if what == "join" and len(self.members) <= self.plan.replicas:
            await self._join()
        elif what in ("stop", "kill") and member is not None and len(self.members) > 1:
            await self._leave(member, killed=what == "kill")
        elif what == "skew" and member is not None:
            member.clock.skew = chance.choice([-3600.0, -3.0, 3.0, 3600.0])
            return float("inf")
        elif what == "freeze" and member is not None:
            self.promises.longest_freeze = max(self.promises.longest_freeze, seconds)
            await member.freeze(seconds)
            return FRESH_SECONDS
        return seconds

    async def _part(self, seconds: float, chance: random.Random) -> None:
        """Two replicas do not reach each other."""
        if len(self.members) > 1:
            pair = frozenset(one.replica for one in chance.sample(self.members, 2))
            set_apart(self.server, pair, apart=True)
            await asyncio.sleep(seconds)
            set_apart(self.server, pair, apart=False)

    async def _trouble_redis(self, what: str, seconds: float, chance: random.Random, member: Member | None) -> None:
        loop, server = self.loop, self.server
        if what in ("down", "older"):
            # A crash of a Redis that does not append to a file loses events, and the log says so at the start.
            self.promises.bought.clear()
        if what == "clock":
            self.fast_seconds += chance.choice([-3600.0, -10.0, -0.3, 0.3, 10.0, 3600.0])
            await asyncio.sleep(2 * HEARTBEAT_SECONDS)
        elif what == "down" and server.alive:
            server.kill()
            loop.call_later(seconds, server.start)
        elif what == "older" and server.alive:
            memory = server.redis.memory()
            await asyncio.sleep(min(seconds, 1.0))
            server.kill()
            server.redis.remember(memory)
            loop.call_later(TAKEOVER_SECONDS, server.start)
        elif what == "pause" and server.alive:
            server.pause()
            loop.call_later(seconds, server.resume)
        elif what == "cut" and member is not None:
            member.client.link.cut = True
            loop.call_later(seconds, setattr, member.client.link, "cut", False)
        elif what == "full":
            server.redis.full = True
            loop.call_later(seconds, setattr, server.redis, "full", False)
        elif what == "odd message":
            odd = chance.choice([b"", b"\x00", b"\xff" * 3, b"\x0f" + chance.randbytes(40), chance.randbytes(20)])
            server.publish(f"{redis_prefix(self.settings)}:flights".encode(), odd)

    async def _serve(self, what: str, chance: random.Random, member: Member) -> None:
        """What people ask of a replica; it may say that it cannot."""
        user, item = f"user{chance.randrange(min(self.plan.users, 12))}", chance.choice(ITEMS)
        promises = self.promises
        task = asyncio.current_task()
        assert task is not None
        member.tasks.add(task)
        try:
            await member.read()
            if what == "block":
                promises.blocked.pop(item, None)
                await member.shared.blocked.block(item)
                promises.blocked[item] = self.clock.monotonic()
            elif what == "unblock" and promises.blocked:
                item = chance.choice(sorted(promises.blocked))
                del promises.blocked[item]
                await member.shared.blocked.unblock(item)
            elif what == "forget":
                promises.forgotten.pop(user, None)
                if member.events is not None:
                    # So that there are events to forget, in Redis and in memory.
                    await member.events.intake.take([self._purchase(user, item, chance)])
                    await member.events.doings.load(user, self.plan.deadline_seconds)
                promises.forget_bought(user)
                await member.stores.forgetting.forget(user)
                promises.forgotten[user] = self.clock.monotonic()
            elif what == "buy" and member.events is not None:
                promises.bought_at[user] = self.clock.monotonic()
                await member.events.intake.take([self._purchase(user, item, chance)])
                promises.bought[user, item] = self.clock.monotonic()
            elif what in ("prewarm", "boarded prewarm"):
                await self._prewarm(member, chance, boarded=what != "prewarm")
            elif what == "reload":
                await self._reload(chance)
        except (SharedStateUnavailable, asyncio.CancelledError):
            return
        finally:
            member.tasks.discard(task)

    def _purchase(self, user: str, item: str, chance: random.Random) -> Event:
        return Event("Purchase", user, "session", self.clock.time(), chance.randbytes(8).hex(), item_id=item)

    async def _prewarm(self, member: Member, chance: random.Random, *, boarded: bool) -> None:
        users = [f"user{chance.randrange(self.plan.users)}" for _ in range(20)]
        users += [f"prewarmed{chance.randrange(1000)}" for _ in range(20)]
        users = list(dict.fromkeys(users))
        began, seconds = self.clock.monotonic(), chance.choice([2.0, 5.0])
        self.promises.prewarmed.update(users)
        for user in users:
            self.promises.key_of(member, user)
        making = member.prewarmer.make(users, PrewarmTerms(spare=1.0), seconds=seconds)
        if not boarded:
            self.promises.saw_prewarm(began, await making, len(users))
            return
        await asyncio.gather(
            making,
            *(self._message(user, chance, after=chance.uniform(0.0, 3 * LAG_SECONDS)) for user in users[:20]),
        )

    async def _message(self, user: str, chance: random.Random, *, after: float) -> None:
        await asyncio.sleep(after)
        message = self._asked(user)
        within = self.plan.deadline_seconds
        calls = [self._call(message, chance.uniform(0, 0.02), within, chance) for _ in range(PARTS)]
        await asyncio.gather(*map(asyncio.create_task, calls))

    def _asked(self, user: str) -> Message:
        message = Message(user, self.clock.monotonic())
        self.messages.append(message)
        self.promises.asked_at.setdefault(user, []).append(message.at)
        return message

    async def _reload(self, chance: random.Random) -> None:
        gone = set(chance.sample(ITEMS, 15))
        catalog = FakeCatalog(one for one in ITEMS if one not in gone)
        catalog._version = self.catalog.version + 1
        self.catalog = catalog
        for member in list(self.members):
            member.catalog.snapshot = catalog
            await asyncio.sleep(0.05)

    async def _join(self) -> None:
        clock = VirtualClock(self.loop)
        PROCESS.set(clock)
        member = await open_member(self.server, self.personalize, self.catalog, self.settings, clock)
        self.members.append(member)
        self.promises.saw_join(len(self.members), up=member.client.up)

    async def _leave(self, member: Member, *, killed: bool) -> None:
        if member not in self.members:
            return
        self.members.remove(member)
        if killed:
            member.client.link.cut = True
            for task in list(member.tasks):
                task.cancel()
        others = member.tasks - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)
        await member.stack.aclose()


@cache
def _settings(tps: float, deadline_seconds: float, replicas: int, *, shop: bool) -> Settings:
    """To read them takes as long as some seconds of a world."""
    return load(
        Settings,
        None,
        personalize_campaign_arn=ARN,
        personalize_tps=tps,
        redis_url="redis://model",
        catalog_url="file:///none.csv",
        allow_anonymous=True,
        cache_fresh_seconds=FRESH_SECONDS,
        cache_stale_seconds=STALE_SECONDS,
        request_deadline_seconds=deadline_seconds,
        expected_replicas=replicas + 1,
        **({"event_keys": "events-key-of-24-characters", "exclude_after": "Purchase:1d"} if shop else {}),
    )


def _beats(key: bytes) -> bool:
    return b"{fleet}" in key and key.endswith((b":replicas", b":shares", b":prewarm"))


def play(plan: Plan, seconds: float = SECONDS, world_of: Callable[[Plan, float], World] = World) -> World:
    """What comes of a plan, the same each time."""
    names = random.Random(plan.seed)

    async def run() -> World:
        world = world_of(plan, seconds)
        await world.play()
        return world

    def token(count: Any = None) -> str:  # noqa: ANN401  # as the library's
        return names.randbytes(count or 8).hex()

    with with_modelled_redis(), with_modelled_links(), patch("secrets.token_hex", token):
        return run_virtual(run(), blind=True)
