"""The events that all replicas share, in Redis: a stream, the ids of two days, and what is known of each user.

All keys of a deployment share one hash tag, since one script keeps an event and what follows from it. A replica follows
the stream, so that it knows within a second what was accepted on another one, also after it was cut off.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import orjson
import structlog
from redis.exceptions import RedisError, ResponseError

from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.events.adapters.sqlite import CLAIM_SECONDS, SEEN_SECONDS
from service.events.event import Event, EventProblem
from service.events.known import MAX_OF_A_TYPE
from service.events.ports import Backlog, KnownEvent, Waiting
from service.fleet.client import RedisClient
from service.lists.keys import UserPrefix
from service.tasks import stop_task

_HERE: Final = Path(__file__).parent

GROUP: Final = "personalize"
FOLLOW_SECONDS: Final = 0.25
"""Between two looks at the stream; how long another replica's event stays unknown here."""

FOLLOWED_AT_ONCE: Final = 1_000
KEEP_SECONDS: Final = 90 * 86_400
"""How long what is known of a user without events is kept, unless EXCLUDE_AFTER wants it longer."""

MAX_STREAM: Final = 2_000_000
"""Entries of the stream; beyond it the oldest go, sent on or not."""

_log = structlog.stdlib.get_logger(__name__)


class RedisEventStore:
    """An `EventStore` in Redis.

    Args:
        client: Open for as long as the store is.
        prefix: Replicas that differ in it share nothing; it holds a hash tag.
        replica: This process's name among the consumers.
        clock: Its Unix time dates claims.
        sends_on: Whether accepted events wait to be sent on.
        keep_seconds: How long what is known of a user is kept.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        prefix: str,
        replica: str,
        clock: Clock,
        sends_on: bool,
        keep_seconds: float,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._stream = f"{prefix}:events"
        self._aside = f"{prefix}:events:aside"
        self._replica = replica
        self._clock = clock
        self._sends_on = sends_on
        self._keep_seconds = max(KEEP_SECONDS, int(keep_seconds))
        self._on_events: Callable[[UserPrefix, Iterable[KnownEvent]], None] = lambda _, __: None
        self._on_gap: Callable[[], None] = lambda: None
        self._accept = client.script(_HERE / "accept.lua")
        self._last = "$"
        self._follower: asyncio.Task[None] | None = None
        self._grouped = False

    def listen(self, on_events: Callable[[UserPrefix, Iterable[KnownEvent]], None], on_gap: Callable[[], None]) -> None:
        """Call these with what any replica accepted, and when something may have been missed."""
        self._on_events, self._on_gap = on_events, on_gap

    async def __aenter__(self) -> Self:
        """Begin to follow the stream; succeeds without Redis too."""
        with suppress(SharedStateUnavailable):
            self._last = await self._newest()
        self._follower = asyncio.create_task(self._follow(), name="events-follower")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop to follow; before the client is closed."""
        if self._follower is not None:
            await stop_task(self._follower)

    async def accept(self, events: Sequence[tuple[UserPrefix, Event]]) -> list[bool]:
        """See `EventStore.accept`; one round trip for each user."""
        new = [False] * len(events)
        by_user: dict[UserPrefix, list[int]] = {}
        for place, (user_prefix, _) in enumerate(events):
            by_user.setdefault(user_prefix, []).append(place)
        for user_prefix, places in by_user.items():
            args: list[Any] = [
                f"{self._prefix}:seen:",
                int(SEEN_SECONDS),
                self._keep_seconds,
                MAX_OF_A_TYPE,
                user_prefix,
                int(self._sends_on),
            ]
            for place in places:
                event = events[place][1]
                args += [event.event_id, event.event_type, event.item_id, repr(event.sent_at), int(event.lifts)]
                args.append(event.packed())
            async with self._client.use(self._stream):
                reply: Any = await self._accept(keys=[self._stream, self._known_key(user_prefix)], args=args)
            for place, one in zip(places, reply, strict=True):
                new[place] = bool(one)
        return new

    async def known(self, user_prefix: UserPrefix) -> list[KnownEvent]:
        """See `EventStore.known`; one round trip."""
        async with self._client.use(self._stream) as redis:
            packed: Any = await redis.get(self._known_key(user_prefix))
        if packed is None:
            return []
        by_type: dict[str, list[tuple[str, float]]] = orjson.loads(packed)
        found = [KnownEvent(kind, item, float(at)) for kind, listed in by_type.items() for item, at in listed]
        return sorted(found, key=lambda one: one.at)

    async def claim(self, most: int) -> list[Waiting]:
        """See `EventStore.claim`; what a dead replica had claimed comes first."""
        await self._make_group()
        async with self._client.use(self._stream) as redis:
            _, taken, *_ = await redis.xautoclaim(
                self._stream, GROUP, self._replica, min_idle_time=int(CLAIM_SECONDS * 1000), count=most
            )
            if not taken:
                reply: Any = await redis.xreadgroup(GROUP, self._replica, {self._stream: ">"}, count=most)
                taken = reply[0][1] if reply else []
                tries = {}
            else:
                listed: Any = await redis.xpending_range(
                    self._stream, GROUP, taken[0][0], taken[-1][0], len(taken), consumername=self._replica
                )
                tries = {one["message_id"]: int(one["times_delivered"]) - 1 for one in listed}
        waiting, of_no_use = [], []
        for number, fields in taken:
            event = _event(fields)
            if event is None:
                of_no_use.append(number.decode())
            else:
                waiting.append(Waiting(number.decode(), event, tries.get(number, 0)))
        if of_no_use:
            await self.done(of_no_use)
        return waiting

    async def done(self, numbers: Sequence[str]) -> None:
        """See `EventStore.done`."""
        if numbers:
            async with self._client.use(self._stream) as redis:
                await redis.xack(self._stream, GROUP, *numbers)

    async def again(self, numbers: Sequence[str], after_seconds: float) -> None:
        """See `EventStore.again`; they are claimed anew when their claim lapses."""
        # Their idle time is set so that the claim lapses after the backoff.
        idle_ms = max(0, int((CLAIM_SECONDS - after_seconds) * 1000))
        async with self._client.use(self._stream) as redis:
            await redis.xclaim(
                self._stream,
                GROUP,
                self._replica,
                min_idle_time=0,
                message_ids=list(numbers),
                idle=idle_ms,
                justid=True,
            )

    async def aside(self, number: str, problem: str) -> None:
        """See `EventStore.aside`."""
        async with self._client.use(self._stream) as redis:
            found: Any = await redis.xrange(self._stream, number, number)
            if found:
                await redis.xadd(self._aside, {**found[0][1], "problem": problem}, maxlen=100_000)
            await redis.xack(self._stream, GROUP, number)

    async def backlog(self) -> Backlog:
        """See `EventStore.backlog`."""
        await self._make_group()
        async with self._client.use(self._stream) as redis:
            groups: Any = await redis.xinfo_groups(self._stream)
            pending: Any = await redis.xpending(self._stream, GROUP)
            aside: Any = await redis.xlen(self._aside)
        [group] = [one for one in groups if one["name"] in (GROUP, GROUP.encode())]
        waiting = int(pending["pending"]) + int(group.get("lag") or 0)
        oldest = pending["min"]
        return Backlog(waiting, _seconds_of(oldest) if oldest else None, int(aside))

    async def retry(self) -> int:
        """See `EventStore.retry`."""
        count = 0
        async with self._client.use(self._stream) as redis:
            found: Any = await redis.xrange(self._aside, count=1_000)
        for number, fields in found:
            fields.pop(b"problem", None)
            async with self._client.use(self._stream) as redis:
                await redis.xadd(self._stream, fields)
                await redis.xdel(self._aside, number)
            count += 1
        return count

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`: what is known, and what waits."""
        async with self._client.use(self._stream) as redis:
            await redis.delete(self._known_key(user_prefix))
        last = "-"
        while True:
            async with self._client.use(self._stream) as redis:
                page: Any = await redis.xrange(self._stream, last, count=FOLLOWED_AT_ONCE)
                mine = [number for number, fields in page if fields.get(b"user") == user_prefix]
                if mine:
                    await redis.xack(self._stream, GROUP, *mine)
                    await redis.xdel(self._stream, *mine)
            if len(page) < FOLLOWED_AT_ONCE:
                return
            last = f"({page[-1][0].decode()}"

    def _known_key(self, user_prefix: UserPrefix) -> str:
        return f"{self._prefix}:known:{user_prefix.hex()}"

    async def _make_group(self) -> None:
        if self._grouped:
            return
        async with self._client.use(self._stream) as redis:
            try:
                await redis.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
        self._grouped = True

    async def _newest(self) -> str:
        async with self._client.use(self._stream) as redis:
            newest: Any = await redis.xrevrange(self._stream, count=1)
        return str(newest[0][0].decode()) if newest else "0-0"

    async def _follow(self) -> None:
        trimmed_at = self._clock.monotonic()
        while True:
            try:
                page = await self._page()
                if self._clock.monotonic() - trimmed_at > CLAIM_SECONDS:
                    trimmed_at = self._clock.monotonic()
                    async with self._client.use(self._stream) as redis:
                        await redis.xtrim(self._stream, maxlen=MAX_STREAM, approximate=True)
            except (SharedStateUnavailable, RedisError, OSError):
                self._grouped = False
                page = []
            if len(page) < FOLLOWED_AT_ONCE:
                await asyncio.sleep(FOLLOW_SECONDS)

    async def _page(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        if self._last == "$":
            self._last = await self._newest()
            self._on_gap()
        async with self._client.use(self._stream) as redis:
            page: Any = await redis.xrange(self._stream, f"({self._last}", count=FOLLOWED_AT_ONCE)
        for number, fields in page:
            self._last = number.decode()
            with suppress(KeyError, ValueError):
                known = KnownEvent(
                    fields[b"type"].decode(), fields[b"item"].decode(), float(fields[b"at"]), fields[b"lifts"] == b"1"
                )
                self._on_events(UserPrefix(fields[b"user"]), [known])
        if not page and await self._went_back():
            # Redis came back empty, or from an older copy.
            self._last = "$"
        return list(page)

    async def _went_back(self) -> bool:
        newest = await self._newest()
        return _order(newest) < _order(self._last)


def _event(fields: dict[bytes, bytes] | None) -> Event | None:
    """The event of an entry that is to be sent on; None for any other."""
    if not fields or fields.get(b"send") != b"1":
        return None
    try:
        return Event.unpacked(fields.get(b"event", b""))
    except EventProblem:
        _log.warning("event_unreadable")
        return None


def _order(number: str) -> tuple[int, int]:
    at, _, sequence = number.partition("-")
    return int(at), int(sequence or 0)


def _seconds_of(number: bytes | str) -> float:
    text = number.decode() if isinstance(number, bytes) else number
    return int(text.partition("-")[0]) / 1000
