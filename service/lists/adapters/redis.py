"""Lists, pins and flights shared by all replicas through Redis.

Longer than 300 lines: what boards, lands, offers and forgets lists shares the layout of their keys.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from copy import copy
from pathlib import Path
from typing import Any, Final, Self

from redis.asyncio import Redis

from service.clock import Clock
from service.constants import MAX_LISTS_WITH_VALUES, PIN_SECONDS
from service.errors import SharedStateFull, SharedStateUnavailable
from service.fleet.client import RedisClient
from service.fleet.heartbeat import Heartbeat
from service.lists.adapters.channel import FlightChannel
from service.lists.adapters.outcome_codec import OUTCOME_VERSION, pack_outcome, unpack_outcome
from service.lists.adapters.put_back import PutBack
from service.lists.envelope import HEADER_BYTES, VERSION, Envelope, created_at, readable
from service.lists.freshness import Freshness
from service.lists.keys import UserKey, UserPrefix, prefix_of
from service.lists.ports import ABANDONED, Boarding, Landed, Landing, ListsRecorder, Outcome
from service.spans import span

_HERE: Final = Path(__file__).parent

_PIN_MS: Final = round(PIN_SECONDS * 1000)
_BACKGROUND: Final = "~"
"""What the token of a flight begun for nobody begins with."""

SCAN_COUNT: Final = 1_000
"""Keys that Redis looks at in one step while a user is forgotten; well below a millisecond."""


class RedisLists:
    """A `SharedLists` in Redis; one round trip to board, one to land.

    When Redis is down, `board`, `land`, `follow` and `forget_user` raise `SharedStateUnavailable` at once. When it is
    full, lists are not kept but flights and their ends go on. A value of another version counts as missing.

    Keys are `prefix:{hex}:list`, `:pin` and `:flight`; callers pass hashes only. Of the lists that `prefix_of_values`
    names a user of, the latest `MAX_LISTS_WITH_VALUES` are kept; the sorted set `prefix:{user prefix}:lists` holds
    which.

    A process that prewarms and answers nobody need not open them: it follows no flight, and must not count as a
    replica that hears which user to forget.

    Args:
        client: Open for as long as these lists are.
        heartbeat: Knows how many replicas have to hear of a user to forget.
        clock: Unix time decides what is fresh.
        freshness: Fresh lists need no transaction, so no lead is given for them; a list is kept until it is past stale.
        recorder: Counts what Redis refuses.
        prefix: Replicas that differ in it share nothing.
        prefix_of_values: The user prefix of a key with filter values; None for any other key.
        put_back: Offers lists to a Redis that came back without them; None: nobody does.
        on_forget: Called with the user prefix when a user is forgotten, on every replica; must not raise.
    """

    def __init__(
        self,
        client: RedisClient,
        heartbeat: Heartbeat,
        *,
        clock: Clock,
        freshness: Freshness,
        recorder: ListsRecorder,
        prefix: str = "pc",
        put_back: PutBack | None = None,
        on_forget: Callable[[UserPrefix], None] = lambda _: None,
        prefix_of_values: Callable[[bytes], bytes | None] = lambda _: None,
    ) -> None:
        self._client = client
        self._heartbeat = heartbeat
        self._clock = clock
        self._be_of_age(freshness)
        self._recorder = recorder
        self._prefix = prefix
        self._prefix_of_values = prefix_of_values
        self._put_back = put_back
        self._board = client.script(_HERE / "board.lua", (object, object, int, int))
        self._land = client.script(_HERE / "land.lua", (int, object, int, object))
        self._offer = client.script(_HERE / "offer.lua", bytes | None)
        self._tokens: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self.channel = FlightChannel(client, f"{prefix}:flights", recorder=recorder, on_forget=on_forget)

    def of_age(self, freshness: Freshness) -> Self:
        """The same lists and channel, for a placement whose lists are fresh and kept for other times."""
        other = copy(self)
        other._be_of_age(freshness)  # noqa: SLF001  # our own copy
        return other

    def _be_of_age(self, freshness: Freshness) -> None:
        self._freshness = freshness
        self._stale_ms = max(1, round(freshness.stale_seconds * 1000))

    async def __aenter__(self) -> Self:
        """Start to listen; succeeds without Redis too."""
        await self.channel.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop to listen; before the client is closed."""
        await self.channel.__aexit__()

    async def board(
        self, key: UserKey, *, lease_seconds: float, background: bool = False, renew: bool = False
    ) -> Boarding:
        """See `SharedLists.board`; nobody leads for a user who has a fresh list or a pin."""
        with span("redis board"):
            return await self._found_or_lead(key, lease_seconds, background=background, renew=renew)

    async def _found_or_lead(self, key: UserKey, lease_seconds: float, *, background: bool, renew: bool) -> Boarding:
        boarding, unreadable = await self._board_once(key, lease_seconds, background=background, renew=renew)
        if unreadable and not boarding.leader and not boarding.lease_seconds:
            # The script took it for a pin or a fresh list, and gave no lead.
            async with self._client.use(unreadable[0]) as redis:
                await redis.delete(*unreadable)
            boarding, _ = await self._board_once(key, lease_seconds, background=background, renew=renew)
        return boarding

    async def _board_once(
        self, key: UserKey, lease_seconds: float, *, background: bool, renew: bool
    ) -> tuple[Boarding, list[str]]:
        """What there is, and which of it this version cannot read."""
        token = (_BACKGROUND if background else "") + secrets.token_hex(8)
        lease_ms = max(1, round(lease_seconds * 1000))
        now = self._clock.time()
        earliest, latest = self._freshness.earliest(now, key), self._freshness.latest(now)
        if renew:
            # No list is made after the latest moment, so none stands in the way.
            earliest = latest + 1.0
        names, pin_version = self._keys(key), 0 if background else OUTCOME_VERSION
        async with self._client.use(*names[:1]):
            reply: Any = await self._board(
                keys=names, args=[repr(earliest), repr(latest), VERSION, token, lease_ms, pin_version, _PIN_MS]
            )
        kept, pin, leads, lasts_ms, leader = reply
        envelope = readable(kept)
        pinned = unpack_outcome(pin) if pin is not None else None
        unreadable = []
        if kept is not None and envelope is None:
            unreadable.append(names[0])
        if pin is not None and pinned is None:
            unreadable.append(names[1])
        for _ in unreadable:
            self._recorder.lists_event("unreadable")
        if leads:
            self._remember_token(key, token, lease_seconds)
        boarding = Boarding(
            leader=bool(leads),
            envelope=envelope,
            pinned=pinned,
            pinned_seconds=0.0 if pinned is None else lasts_ms / 1000,
            lease_seconds=0.0 if leader is None else lasts_ms / 1000,
            background=leader is not None and leader.startswith(_BACKGROUND.encode()),
        )
        return boarding, unreadable

    async def land(self, key: UserKey, outcome: Outcome, *, led: bool) -> Landed:
        """See `SharedLists.land`; live lists are kept, anything less is pinned for `PIN_SECONDS`."""
        token = self._tokens.get(key, ("", 0.0))[0] if led else ""
        packed = pack_outcome(outcome)
        kind, value, ttl_ms = "pin", packed, _PIN_MS
        if outcome.source == "personalize" and outcome.envelope is not None:
            kind, value, ttl_ms = "list", outcome.envelope, self._stale_ms
        elif not outcome.degraded_reason:
            # A list that others have already, or a leader that left without an answer: nothing to repeat.
            kind = "none"
        try:
            with span("redis land"):
                full, pin, lasts_ms, kept = await self._land_once(key, [kind, value, ttl_ms, token], packed)
        finally:
            # Not before: an owner that asks meanwhile must hear of the flight.
            if led and self._tokens.get(key, ("", 0.0))[0] == token:
                self._tokens.pop(key, None)
        if full:
            self._recorder.lists_event("full")
        elif kind == "list":
            await self._bound(key)
        pinned = None if pin is None else unpack_outcome(pin)
        if pinned is not None:
            return Landed(pinned, lasts_ms / 1000)
        if pin is not None:
            self._recorder.lists_event("unreadable")
        envelope = readable(kept)
        if envelope is None:
            return Landed(outcome)
        if self._freshness.fresh(created_at(envelope), self._clock.time(), key):
            return Landed(Outcome(envelope, "cache"))
        return Landed(Outcome(envelope, "stale", outcome.degraded_reason))

    async def _land_once(self, key: UserKey, what: list[str | bytes | int], packed: bytes) -> Any:  # noqa: ANN401  # what a script returns
        now, channel = self._clock.time(), self.channel
        # A list as young as a pin lasts is what another part of the message may have shown, fresh or not.
        earliest = min(self._freshness.earliest(now, key), now - PIN_SECONDS)
        messages: list[str | bytes | int] = [
            channel.name,
            channel.message(key, packed),
            channel.message(key, pack_outcome(ABANDONED)),
        ]
        ages: list[str | bytes | int] = [repr(earliest), repr(self._freshness.latest(now))]
        names = self._keys(key)
        async with self._client.use(*names[:1]):
            return await self._land(keys=names, args=[*what, *messages, *ages, VERSION, OUTCOME_VERSION, _PIN_MS])

    def follow(self, key: UserKey) -> AbstractAsyncContextManager[Landing]:
        """See `SharedLists.follow`; any number may follow one flight."""
        return self.channel.follow(key)

    async def look(self, key: UserKey) -> Envelope | None:
        """See `SharedLists.look`; one round trip."""
        name = self._keys(key)[0]
        async with self._client.use(name) as redis:
            kept: Any = await redis.get(name)
        return readable(kept)

    def note(self, key: UserKey, *, shared: bool) -> None:
        """See `SharedLists.note`."""
        if self._put_back is not None:
            self._put_back.note(key, self, shared=shared)

    async def offer(self, key: UserKey, envelope: Envelope) -> Envelope:
        """See `OfferedTo.offer`; a list that is no longer fresh stays with who has it."""
        now, made_at, name = self._clock.time(), created_at(envelope), self._keys(key)[0]
        if not self._freshness.fresh(made_at, now, key):
            return envelope
        ages = [repr(self._freshness.earliest(now, key)), repr(self._freshness.latest(now))]
        ttl_ms = max(1, self._stale_ms - round(1000 * max(0.0, now - made_at)))
        async with self._client.use(name):
            there: Any = await self._offer(keys=[name], args=[envelope, ttl_ms, *ages, VERSION])
        await self._bound(key)
        return readable(there) or envelope

    async def take_out(self, key: UserKey) -> None:
        """See `OfferedTo.take_out`."""
        name = self._keys(key)[0]
        async with self._client.use(name) as redis:
            await redis.unlink(name)
        # Another replica may have read it in between.
        async with self._client.use() as redis:
            await redis.publish(self.channel.name, self.channel.message(prefix_of(key)))

    @property
    def freshness(self) -> Freshness:
        """The ages of these lists."""
        return self._freshness

    def leads(self) -> list[tuple[UserKey, float]]:
        """The flights that this replica leads, and the seconds for which it may."""
        now = self._clock.monotonic()
        return [(UserKey(key), ends - now) for key, (_, ends) in self._tokens.items() if ends > now]

    async def made_at(self, keys: Sequence[UserKey]) -> list[float | None]:
        """When the list kept under each key was made, Unix seconds; one round trip for all of them.

        Raises:
            SharedStateUnavailable: Redis did not answer in time for this many.
        """
        if not keys:
            return []
        names = [self._keys(key)[0] for key in keys]
        async with self._client.use(*names) as redis, redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.getrange(name, 0, HEADER_BYTES - 1)
            heads = await pipe.execute()
        return [None if readable(head) is None else created_at(head) for head in heads]

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """Delete what is kept under every key that begins so, and have every replica do so.

        Raises:
            SharedStateUnavailable: Not everything is known to be deleted, or not every replica listens; try again.
        """
        async with self._client.use() as redis:
            await redis.publish(self.channel.name, self.channel.message(user_prefix))
        async with aclosing(self._client.masters()) as masters:
            async for master in masters:
                await self._delete(master, user_prefix)
        # A replica may have come since the last beat.
        await self._heartbeat.beat()
        listening = await self.channel.listeners()
        if listening < self._heartbeat.replicas:
            raise SharedStateUnavailable(f"{listening} of {self._heartbeat.replicas} replicas listen")

    async def _delete(self, master: Redis, user_prefix: UserPrefix) -> None:
        """Delete what one server keeps of a user; each step has a deadline."""
        cursor: int | str = "0"
        while cursor:
            async with self._client.use(spread=True):
                cursor, found = await master.scan(int(cursor), f"{self._prefix}:{{{user_prefix.hex()}*", SCAN_COUNT)
                # A flight is a lead of some seconds, not an answer; without it two replicas could ask at a time.
                kept = [key for key in found if key[-7:] != b":flight"]
                # One by one: in a cluster each belongs to a slot of its own.
                for key in kept:
                    await master.unlink(key)

    async def _bound(self, key: bytes) -> None:
        """Let the list's user keep the latest lists with values, no more than allowed."""
        user_prefix = self._prefix_of_values(key)
        if user_prefix is None:
            return
        index = f"{self._prefix}:{{{user_prefix.hex()}}}:lists"
        # The list has landed, whatever becomes of this.
        with suppress(SharedStateUnavailable):
            try:
                oldest = await self._index(index, self._keys(key)[0])
            except SharedStateFull:
                self._recorder.lists_event("full")
                return
            if oldest:
                names = [index, *(name.decode() for name in oldest)]
                async with self._client.use(*names) as redis, redis.pipeline(transaction=False) as pipe:
                    for name in names[1:]:
                        pipe.unlink(name)
                    pipe.zrem(index, *names[1:])
                    await pipe.execute()

    async def _index(self, index: str, name: str) -> list[bytes]:
        """Note a list as its user's latest; returns the names of those beyond the bound."""
        async with self._client.use(index) as redis, redis.pipeline(transaction=False) as pipe:
            pipe.zadd(index, {name: self._clock.time()})
            pipe.pexpire(index, self._stale_ms)
            pipe.zrange(index, 0, -MAX_LISTS_WITH_VALUES - 1)
            *_, oldest = await pipe.execute()
        names: list[bytes] = oldest
        return names

    def _keys(self, key: bytes) -> list[str]:
        name = f"{self._prefix}:{{{key.hex()}}}"
        return [f"{name}:list", f"{name}:pin", f"{name}:flight"]

    def _remember_token(self, key: bytes, token: str, lease_seconds: float) -> None:
        now = self._clock.monotonic()
        # Leads that nobody landed: leases are about equally long, so the oldest lapse first.
        while self._tokens and next(iter(self._tokens.values()))[1] < now:
            self._tokens.popitem(last=False)
        self._tokens[key] = (token, now + lease_seconds)
        self._tokens.move_to_end(key)
