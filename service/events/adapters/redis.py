"""The events that all replicas share, in Redis: a stream, the ids of two days, and what is known of each user.

All keys of a deployment share one hash tag, since one script keeps an event and what follows from it. A replica follows
the stream, so that it knows within a second what was accepted on another one, also after it was cut off.

An entry leaves the stream when it was sent on and every follower has had `KEPT_SECONDS` to read it. What waits is never
trimmed: once `MAX_WAITING` entries are there, nothing more is accepted.

Longer than 300 lines: what accepts, claims and forgets events shares the layout of their keys.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Self

import structlog
from redis.exceptions import ResponseError

from service.clock import Clock
from service.errors import ConfigurationError, SharedStateFull, SharedStateUnavailable, SharedStateUnsafe
from service.events.adapters.known_codec import digest_of, digest_of_kind, unpacked
from service.events.event import Event, EventProblem
from service.events.known import MAX_OF_A_TYPE
from service.events.ports import CLAIM_SECONDS, MAX_WAITING, SEEN_SECONDS, Backlog, KnownEvent, Waiting
from service.events.traits import USER_TRAITS
from service.fleet.causes import FAILURES
from service.fleet.client import RedisClient
from service.fleet.keeping import Keeping, look_at_keeping
from service.lists.keys import UserPrefix
from service.tasks import stop_task

_HERE: Final = Path(__file__).parent

GROUP: Final = "personalize"
FOLLOW_SECONDS: Final = 0.25
"""Between two looks at the stream; how long another replica's event stays unknown here."""

FOLLOWED_AT_ONCE: Final = 100
"""Entries of one look; other work gets its turn between two of them."""

SEARCHED_AT_ONCE: Final = 1_000
"""Entries that are looked through at a time for those of a user who is forgotten."""

CLAIMED_AT_ONCE: Final = 100
KEEP_SECONDS: Final = 90 * 86_400
"""How long what is known of a user without events is kept, unless EXCLUDE_AFTER wants it longer."""

KEPT_SECONDS: Final = 60.0
"""An entry that was sent on stays so long for the followers. One that was cut off for longer loads everybody anew."""

TRIM_SECONDS: Final = 5.0
"""Between two looks for entries that can go."""

ACCEPTED_AT_ONCE: Final = 50
"""Events of one run of the script, which holds up Redis and this process for about a millisecond each."""

MAX_TYPES: Final = 50
"""Types of events that are known of a user. Personalize knows 10 of a dataset group."""

MAX_NAMES: Final = 200_000
"""Items whose names a process keeps to read what is known of users; about 30 MB."""

_TRAITS: Final = USER_TRAITS.encode()
_DAY_SECONDS: Final = 86_400
_SEEN_SHARD_BYTES: Final = 2
_SEEN_DIGEST_BYTES: Final = 10
"""Two of 100 million events share theirs with a chance of 1 in 200 million."""

MAX_SEEN_OF_A_SET: Final = 500
"""Ids of one of a day's 65,536 sets; Redis packs up to 512 (`set-max-intset-entries`). So 32 million ids of a day are
remembered, of more a part, and a day's ids never take more than 300 MB."""

SEEN_SPARE_SECONDS: Final = 3_600
"""By so much may the clocks of replicas differ."""

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
        max_waiting: Entries of the stream at most.
        claim_seconds: A claim lapses after this time.
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
        max_waiting: int = MAX_WAITING,
        claim_seconds: float = CLAIM_SECONDS,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._stream = f"{prefix}:events"
        self._names_key = f"{prefix}:items"
        self._aside = f"{prefix}:events:aside"
        self._notes = f"{prefix}:events:files"
        self._replica = replica
        self._clock = clock
        self._sends_on = sends_on
        self._keep_seconds = max(KEEP_SECONDS, int(keep_seconds))
        self._max_waiting = max_waiting
        self._claim_seconds = claim_seconds
        self._names: dict[bytes, str] = {}
        self._on_events: Callable[[UserPrefix, Iterable[KnownEvent]], None] = lambda _, __: None
        self._on_gap: Callable[[], None] = lambda: None
        self._accept = client.script(_HERE / "accept.lua", list)
        self._last = "$"
        self._follower: asyncio.Task[None] | None = None
        self._grouped = False
        self._keeping: Keeping | None = None
        client.on_change(self._changed)

    def listen(self, on_events: Callable[[UserPrefix, Iterable[KnownEvent]], None], on_gap: Callable[[], None]) -> None:
        """Call these with what any replica accepted, and when something may have been missed."""
        self._on_events, self._on_gap = on_events, on_gap

    async def __aenter__(self) -> Self:
        """Begin to follow the stream; succeeds without Redis too.

        Raises:
            ConfigurationError: Redis may drop accepted events without a word.
        """
        with suppress(SharedStateUnavailable):
            self._last = await self._newest()
            if problem := (await self._look_at_keeping()).loses_silently:
                raise ConfigurationError(f"REDIS_URL: {problem}")
        self._follower = asyncio.create_task(self._follow(), name="events-follower")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop to follow; before the client is closed."""
        if self._follower is not None:
            await stop_task(self._follower)

    async def accept(self, events: Sequence[tuple[UserPrefix, Event]]) -> list[bool]:
        """See `EventStore.accept`; one round trip for `ACCEPTED_AT_ONCE` events."""
        if self._keeping is None:
            await self._look_at_keeping()
        if self._keeping is not None and self._keeping.loses_silently:
            raise SharedStateUnsafe(self._keeping.loses_silently)
        new: list[bool] = []
        for first in range(0, len(events), ACCEPTED_AT_ONCE):
            async with self._client.use(self._stream):
                # Within, so that nothing is packed for a Redis that is away.
                keys, args = self._asked(events[first : first + ACCEPTED_AT_ONCE])
                reply: list[int] = await self._accept(keys=keys, args=args)
            if reply == [-1]:
                raise SharedStateFull(f"{self._max_waiting:,} events wait")
            new += map(bool, reply)
        return new

    def _asked(self, portion: Sequence[tuple[UserPrefix, Event]]) -> tuple[list[str | bytes], list[Any]]:
        """Keys and arguments of `accept.lua`."""
        users = {user_prefix: number for number, user_prefix in enumerate(dict(portion), 1)}
        args: list[Any] = [
            f"{self._prefix}:seen:",
            int(self._clock.time() // _DAY_SECONDS),
            int(SEEN_SECONDS) + SEEN_SPARE_SECONDS,
            self._keep_seconds,
            MAX_OF_A_TYPE,
            MAX_TYPES,
            self._max_waiting,
            MAX_SEEN_OF_A_SET,
        ]
        for user_prefix, event in portion:
            args += [users[user_prefix], _seen(event.event_id), event.event_type]
            args += [
                digest_of_kind(event.event_type),
                event.item_id,
                digest_of(event.item_id),
                repr(event.sent_at),
                int(event.lifts),
            ]
            args += [int(self._sends_on and not event.lifts and not event.known_only), event.packed()]
        return [self._stream, self._names_key, *map(self._known_key, users)], args

    async def known(self, user_prefix: UserPrefix) -> list[KnownEvent]:
        """See `EventStore.known`; one round trip, and one more for items of which this process never heard."""
        async with self._client.use(self._stream) as redis:
            packed: Any = await redis.get(self._known_key(user_prefix))
        found = unpacked(packed or b"")
        digests = {digest for kind, item, _ in found for digest in (kind, item)}
        # Of its own, since the names of all may have to go meanwhile.
        names = {digest: self._names[digest] for digest in digests if digest in self._names}
        strange = list(digests - names.keys())
        if strange:
            async with self._client.use(self._stream) as redis:
                answers: Any = await redis.hmget(self._names_key, strange)
            if len(self._names) > MAX_NAMES:
                self._names.clear()
            new = {digest: name.decode() for digest, name in zip(strange, answers, strict=True) if name is not None}
            self._names |= new
            names |= new
        known = [
            KnownEvent(names[kind], names[item], at) for kind, item, at in found if kind in names and item in names
        ]
        return sorted(known, key=lambda one: one.at)

    async def claim(self, most: int) -> list[Waiting]:
        """See `EventStore.claim`; what a dead replica had claimed comes first."""
        await self._make_group()
        async with self._client.use(self._stream) as redis:
            _, taken, *_ = await redis.xautoclaim(
                self._stream, GROUP, self._replica, min_idle_time=int(self._claim_seconds * 1000), count=most
            )
        waiting = await self._readable(taken)
        count = len(taken)
        while count < most:
            wanted = min(most - count, CLAIMED_AT_ONCE)
            try:
                async with self._client.use(self._stream) as redis:
                    reply: Any = await redis.xreadgroup(GROUP, self._replica, {self._stream: ">"}, count=wanted)
            except SharedStateUnavailable:
                if waiting:
                    break
                raise
            taken = reply[0][1] if reply else []
            waiting += await self._readable(taken)
            count += len(taken)
            if len(taken) < wanted:
                break
        return waiting

    async def _readable(self, taken: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> list[Waiting]:
        """Those that are to be sent on; the others are seen to."""
        waiting, of_no_use = [], []
        for number, fields in taken:
            if not fields or fields.get(b"send") != b"1":
                of_no_use.append(number.decode())
                continue
            try:
                waiting.append(Waiting(number.decode(), Event.unpacked(fields.get(b"event", b""))))
            except EventProblem:
                _log.warning("event_unreadable")
                await self.aside(number.decode(), "unreadable")
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
        idle_ms = max(0, int((self._claim_seconds - after_seconds) * 1000))
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
                await redis.xadd(self._aside, {**found[0][1], "problem": problem}, maxlen=self._max_waiting)
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
        async with self._client.use(self._aside) as redis:
            newest: Any = await redis.xrevrange(self._aside, count=1)
        count = 0
        # Up to those that were there: one that Personalize refuses again must not come round for ever.
        while newest:
            async with self._client.use(self._aside) as redis:
                found: Any = await redis.xrange(self._aside, max=newest[0][0], count=SEARCHED_AT_ONCE)
            for number, fields in found:
                fields.pop(b"problem", None)
                async with self._client.use(self._stream) as redis, redis.pipeline(transaction=True) as pipe:
                    pipe.xadd(self._stream, fields)
                    pipe.xdel(self._aside, number)
                    await pipe.execute()
                count += 1
            if len(found) < SEARCHED_AT_ONCE:
                break
        return count

    async def noted(self, url: str) -> bytes | None:
        """See `LoadNotes.noted`."""
        async with self._client.use(self._notes) as redis:
            note: Any = await redis.hget(self._notes, url)
        return None if note is None else bytes(note)

    async def note(self, url: str, note: bytes) -> None:
        """See `LoadNotes.note`."""
        async with self._client.use(self._notes) as redis:
            await redis.hset(self._notes, url, note)

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`: what is known, what waits, and what was put aside."""
        async with self._client.use(self._stream) as redis:
            await redis.delete(self._known_key(user_prefix))
        for stream in (self._stream, self._aside):
            await self._forget_in(stream, user_prefix)

    async def _forget_in(self, stream: str, user_prefix: UserPrefix) -> None:
        last = "-"
        while True:
            async with self._client.use(stream) as redis:
                page: Any = await redis.xrange(stream, last, count=SEARCHED_AT_ONCE)
                mine = [number for number, fields in page if fields.get(b"user") == user_prefix]
                if mine:
                    await redis.xack(stream, GROUP, *mine)
                    await redis.xdel(stream, *mine)
            if len(page) < SEARCHED_AT_ONCE:
                return
            last = f"({page[-1][0].decode()}"

    def _known_key(self, user_prefix: UserPrefix) -> bytes:
        # Short, since there is one for each user.
        return f"{self._prefix}:k:".encode() + user_prefix

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

    def _changed(self, up: bool) -> None:  # noqa: FBT001  # the client's own signature
        del up
        # It may be another Redis that comes back, or one that has lost the stream with its readers.
        self._keeping = None
        self._grouped = False

    async def _look_at_keeping(self) -> Keeping:
        """How Redis keeps what it takes; logged once for each Redis that is found.

        Raises:
            SharedStateUnavailable: It does not answer.
        """
        async with self._client.use(self._stream) as redis:
            keeping = self._keeping = await look_at_keeping(redis)
        if keeping.loses_silently:
            _log.error("events_not_safe", problem=keeping.loses_silently)
        elif keeping.loses_in_a_crash:
            _log.warning("events_not_persisted", problem=keeping.loses_in_a_crash)
        return keeping

    async def _follow(self) -> None:
        now = self._clock.monotonic
        trimmed_at = read_at = now()
        while True:
            try:
                if now() - read_at > KEPT_SECONDS / 2:
                    # What was accepted meanwhile may have left the stream.
                    self._last = "$"
                page = await self._page()
                read_at = now()
                if now() - trimmed_at > TRIM_SECONDS:
                    trimmed_at = now()
                    await self.trim(KEPT_SECONDS)
            except (SharedStateUnavailable, *FAILURES):
                self._grouped = False
                page = []
            if len(page) < FOLLOWED_AT_ONCE:
                await asyncio.sleep(FOLLOW_SECONDS)

    async def trim(self, kept_seconds: float) -> None:
        """Let go of the entries that nobody needs any more: older than this, and sent on."""
        async with self._client.use(self._stream) as redis:
            seconds, microseconds = await redis.time()
        needed = [f"{max(0, int((seconds + microseconds / 1e6 - kept_seconds) * 1000))}-0"]
        if self._sends_on:
            await self._make_group()
            async with self._client.use(self._stream) as redis:
                # In this order: what another replica claims meanwhile is newer than what was claimed last.
                groups: Any = await redis.xinfo_groups(self._stream)
                pending: Any = await redis.xpending(self._stream, GROUP)
            needed += [_text(one["last-delivered-id"]) for one in groups]
            if pending["min"]:
                needed.append(_text(pending["min"]))
        async with self._client.use(self._stream) as redis:
            await redis.xtrim(self._stream, minid=min(needed, key=_order), approximate=True)

    async def _page(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        if self._last == "$":
            self._last = await self._newest()
            self._on_gap()
        async with self._client.use(self._stream) as redis:
            page: Any = await redis.xrange(self._stream, f"({self._last}", count=FOLLOWED_AT_ONCE)
        for number, fields in page:
            self._last = number.decode()
            if fields.get(b"type") == _TRAITS:
                continue
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


def _seen(event_id: str) -> str:
    """What `accept.lua` remembers of an id."""
    digest = blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=_SEEN_DIGEST_BYTES).digest()
    return digest[:_SEEN_SHARD_BYTES].hex() + str(int.from_bytes(digest[_SEEN_SHARD_BYTES:], signed=True))


def _order(number: str) -> tuple[int, int]:
    at, _, sequence = number.partition("-")
    return int(at), int(sequence or 0)


def _seconds_of(number: bytes | str) -> float:
    return int(_text(number).partition("-")[0]) / 1000


def _text(number: bytes | str) -> str:
    return number.decode() if isinstance(number, bytes) else number
