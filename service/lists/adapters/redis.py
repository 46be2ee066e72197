"""Lists, pins and flights shared by all replicas through Redis."""

import asyncio
import secrets
import struct
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, Self

import structlog
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from service.clock import Clock
from service.constants import MAX_LISTS_WITH_VALUES, PIN_SECONDS
from service.errors import SharedStateUnavailable
from service.fleet.client import RedisConnection, stop_task
from service.lists.envelope import HEADER_BYTES, VERSION, created_at, readable
from service.lists.ports import ABANDONED, Boarding, Landing, Outcome

_HERE: Final = Path(__file__).parent

OUTCOME_VERSION: Final = 0x10 + VERSION
"""First byte of a pin or message; changes with the envelope's, which both carry. A reader that does not know
it treats the value as missing."""

RESUBSCRIBE_SECONDS: Final = 0.25
"""Between two attempts to listen again."""

SCANNED_AT_ONCE: Final = 1_000
"""Keys that Redis looks at in one step while a user is forgotten; well below a millisecond."""

SILENCE_SECONDS: Final = 2.0
"""A channel silent for so long is asked for a sign of life, and given up after as long again."""

ListsEvent = Literal["full", "unreadable", "resubscribed"]
"""What is worth counting: Redis had no room for a list; a value of another version; the channel was lost."""

_OUTCOME = struct.Struct(">BBBB")

_logger = structlog.stdlib.get_logger(__name__)


class OutcomeError(ValueError):
    """Not an outcome that this version can read."""


class RedisLists:
    """A `SharedLists` in Redis; one round trip to board, one to land.

    When Redis is down, `board`, `land`, `follow` and `forget` raise `SharedStateUnavailable` at once. When it
    is full, lists are not kept but flights and their ends go on. Followers are sent away as soon as Redis is
    known to be down; when only the channel on which flights end was lost, they board again once it is back.

    Keys are `prefix:{hex}:list`, `:pin` and `:flight`; what is passed in must already be a hash. Of the lists that
    `prefix_of_values` names a user of, the latest `MAX_LISTS_WITH_VALUES` are kept; `prefix:{stem}:lists` holds which.

    Who makes lists and answers nobody need not open them: it follows no flight, and is not to be taken for a
    replica that hears whom to forget.

    Args:
        connection: Open for as long as these lists are.
        clock: Unix time decides what is fresh.
        fresh_seconds: Younger lists need no transaction, so no lead is given for them.
        stale_seconds: How long a list is kept.
        prefix: Replicas that differ in it share nothing.
        on_event: Called with each event worth counting; must not raise.
        prefix_of_values: How all keys of a user begin, for a key with filter values; None for any other.
        on_forget: Called with the beginning of the keys when a user is forgotten, on every replica; must not raise.
    """

    def __init__(
        self,
        connection: RedisConnection,
        *,
        clock: Clock,
        fresh_seconds: float,
        stale_seconds: float,
        prefix: str = "pc",
        on_event: Callable[[ListsEvent], None] = lambda _: None,
        on_forget: Callable[[bytes], None] = lambda _: None,
        prefix_of_values: Callable[[bytes], bytes | None] = lambda _: None,
    ) -> None:
        self._connection = connection
        self._prefix_of_values = prefix_of_values
        self._clock = clock
        self._fresh_seconds = fresh_seconds
        self._stale_ms = max(1, round(stale_seconds * 1000))
        self._prefix = prefix
        self._channel = f"{prefix}:flights"
        self._on_event = on_event
        self._on_forget = on_forget
        self._board = connection.script(_HERE / "board.lua")
        self._land = connection.script(_HERE / "land.lua")
        self._tokens: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._followers: defaultdict[bytes, set[asyncio.Future[Outcome]]] = defaultdict(set)
        self._stack = AsyncExitStack()
        self._channel_lost = False
        connection.on_change(self._on_change)
        self.listening = asyncio.Event()
        """Set while the channel is subscribed."""

    async def open(self) -> Self:
        """Start listening; succeeds without Redis too."""
        task = asyncio.create_task(self._keep_listening(), name="redis-flights")
        self._stack.push_async_callback(stop_task, task)
        with suppress(TimeoutError):
            async with asyncio.timeout(RESUBSCRIBE_SECONDS):
                await self.listening.wait()
        return self

    async def close(self) -> None:
        """Stop listening; before the connection is closed."""
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def board(self, key: bytes, *, lease_seconds: float) -> Boarding:
        """See `SharedLists.board`; nobody leads for a user who has a fresh list or a pin."""
        boarding, pin_unreadable = await self._board_once(key, lease_seconds)
        if pin_unreadable:
            # The script took it for a pin and gave no lead.
            async with self._connection.use() as client:
                await client.delete(self._keys(key)[1])
            boarding, _ = await self._board_once(key, lease_seconds)
        return boarding

    async def _board_once(self, key: bytes, lease_seconds: float) -> tuple[Boarding, bool]:
        token = secrets.token_hex(8)
        lease_ms = max(1, round(lease_seconds * 1000))
        cutoff = self._clock.time() - self._fresh_seconds
        async with self._connection.use():
            reply: Any = await self._board(
                keys=self._keys(key), args=[repr(cutoff), VERSION, token, lease_ms, OUTCOME_VERSION]
            )
        kept, pin, leads, held_ms = reply
        envelope = readable(kept)
        if kept is not None and envelope is None:
            self._on_event("unreadable")
        pinned = self._unpinned(pin)
        if leads:
            self._remember_token(key, token, lease_seconds)
        pin_unreadable = pin is not None and pinned is None and not leads and not held_ms
        return Boarding(bool(leads), envelope, pinned, held_ms / 1000), pin_unreadable

    async def land(self, key: bytes, outcome: Outcome, *, led: bool) -> None:
        """See `SharedLists.land`; live lists are kept, anything less is pinned for `PIN_SECONDS`."""
        token = self._tokens.pop(key, ("", 0.0))[0] if led else ""
        packed = pack_outcome(outcome)
        kind, value, ttl_ms = "pin", packed, round(PIN_SECONDS * 1000)
        if outcome.source == "personalize" and outcome.envelope is not None:
            kind, value, ttl_ms = "list", outcome.envelope, self._stale_ms
        elif not outcome.degraded_reason:
            # A list that others have already, or a leader that left without an answer: nothing to repeat.
            kind = "none"
        async with self._connection.use():
            full = await self._land(
                keys=self._keys(key),
                args=[kind, value, ttl_ms, token, self._channel, _message(key, packed)],
            )
        if full:
            self._on_event("full")
        elif kind == "list":
            await self._bound(key)

    @asynccontextmanager
    async def follow(self, key: bytes) -> AsyncIterator[Landing]:
        """See `SharedLists.follow`; any number may follow one flight."""
        if not self._connection.up:
            raise SharedStateUnavailable("Redis is down")
        ending: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._followers[key].add(ending)
        try:
            yield _Landing(ending)
        finally:
            ending.cancel()
            followers = self._followers.get(key, set())
            followers.discard(ending)
            if not followers:
                self._followers.pop(key, None)

    async def kept_since(self, keys: Sequence[bytes], since: float) -> list[bool]:
        """Whether the list kept under each key was made since then, Unix seconds; one round trip for all of them.

        Raises:
            SharedStateUnavailable: Redis did not answer in time for so many.
        """
        async with self._connection.use() as client, client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.getrange(self._keys(key)[0], 0, HEADER_BYTES - 1)
            heads = await pipe.execute()
        return [readable(head) is not None and created_at(head) >= since for head in heads]

    async def forget(self, user_prefix: bytes) -> None:
        """Delete what is kept under every key that begins so, and tell every replica to do so.

        Raises:
            SharedStateUnavailable: Not everything is known to be deleted, or not everybody listens; try again.
        """
        async with self._connection.use() as client:
            await client.publish(self._channel, _message(user_prefix, b""))
        cursor: int | str = "0"
        while cursor:
            async with self._connection.use() as client:
                cursor, found = await client.scan(
                    int(cursor), f"{self._prefix}:{{{user_prefix.hex()}*", SCANNED_AT_ONCE
                )
                # A flight is a lead of some seconds, not an answer; without it two replicas could ask at a time.
                kept = [key for key in found if key[-7:] != b":flight"]
                if kept:
                    await client.unlink(*kept)
        # A replica may have come since we last heard who is there.
        await self._connection.beat()
        async with self._connection.use() as client:
            _, listening = (await client.pubsub_numsub(self._channel))[0]
        if listening < self._connection.replicas:
            raise SharedStateUnavailable(f"{listening} of {self._connection.replicas} replicas listen")

    async def _bound(self, key: bytes) -> None:
        """Let the list's user keep no more lists with values than allowed: the latest."""
        user_prefix = self._prefix_of_values(key)
        if user_prefix is None:
            return
        index = f"{self._prefix}:{{{user_prefix.hex()}}}:lists"
        # The list has landed, whatever becomes of this.
        with suppress(SharedStateUnavailable):
            async with self._connection.use() as client, client.pipeline(transaction=False) as pipe:
                pipe.zadd(index, {self._keys(key)[0]: self._clock.time()})
                pipe.pexpire(index, self._stale_ms)
                pipe.zrange(index, 0, -MAX_LISTS_WITH_VALUES - 1)
                *_, oldest = await pipe.execute()
            if oldest:
                async with self._connection.use() as client, client.pipeline(transaction=False) as pipe:
                    for name in oldest:
                        pipe.unlink(name)
                    pipe.zrem(index, *oldest)
                    await pipe.execute()

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

    def _unpinned(self, pin: bytes | None) -> Outcome | None:
        if pin is None:
            return None
        try:
            return unpack_outcome(pin)
        except OutcomeError:
            self._on_event("unreadable")
            return None

    async def _keep_listening(self) -> None:
        while True:
            if self._connection.up:
                try:
                    async with self._connection.client.pubsub() as channel:
                        await self._listen(channel)
                except (RedisError, OSError, TimeoutError) as error:
                    _logger.info("flights_channel_lost", error=type(error).__name__)
                if self.listening.is_set():
                    self.listening.clear()
                    self._channel_lost = True
                    self._on_event("resubscribed")
            await asyncio.sleep(RESUBSCRIBE_SECONDS)

    async def _listen(self, channel: PubSub) -> None:
        await channel.subscribe(self._channel)
        asked = False
        while True:
            message = await channel.get_message(timeout=SILENCE_SECONDS)
            if message is None:
                if asked:
                    return
                await channel.ping()
                asked = True
                continue
            asked = False
            if message["type"] == "subscribe":
                self.listening.set()
                if self._channel_lost:
                    # An end told meanwhile was not heard here.
                    self._channel_lost = False
                    self._end_all(ABANDONED)
            elif message["type"] == "message":
                self._heard(message["data"])

    def _heard(self, message: bytes) -> None:
        key, packed = message[1 : 1 + message[0]], message[1 + message[0] :]
        if not packed:
            self._on_forget(key)
            return
        followers = self._followers.get(key, ())
        if not followers:
            return
        try:
            outcome = unpack_outcome(packed)
        except OutcomeError:
            self._on_event("unreadable")
            return
        _end(followers, outcome)

    def _on_change(self, up: bool) -> None:  # noqa: FBT001 - the listener's signature
        if not up:
            self._end_all(None)

    def _end_all(self, outcome: Outcome | None) -> None:
        for followers in self._followers.values():
            _end(followers, outcome)


class _Landing:
    def __init__(self, ending: asyncio.Future[Outcome]) -> None:
        self._ending = ending

    async def wait(self, timeout_seconds: float) -> Outcome | None:
        """See `Landing.wait`."""
        done, _ = await asyncio.wait([self._ending], timeout=max(0.0, timeout_seconds))
        return self._ending.result() if done else None


def _end(followers: Iterable[asyncio.Future[Outcome]], outcome: Outcome | None) -> None:
    for ending in followers:
        if not ending.done():
            if outcome is None:
                ending.set_exception(SharedStateUnavailable("Redis is down"))
                # Who stopped waiting in this very moment does not look any more, and nothing is to be said about it.
                ending.exception()
            else:
                ending.set_result(outcome)


def pack_outcome(outcome: Outcome) -> bytes:
    """An outcome as bytes: version, lengths of source and reason, whether there is an envelope; the three."""
    source, reason = outcome.source.encode(), outcome.degraded_reason.encode()
    head = _OUTCOME.pack(OUTCOME_VERSION, len(source), len(reason), outcome.envelope is not None)
    return head + source + reason + (outcome.envelope or b"")


def unpack_outcome(packed: bytes) -> Outcome:
    """An outcome from its bytes.

    Raises:
        OutcomeError: The bytes are of another version, cut short, or carry an envelope of another version.
    """
    if len(packed) < _OUTCOME.size or packed[0] != OUTCOME_VERSION:
        raise OutcomeError("not an outcome of this version")
    _, source_length, reason_length, has_envelope = _OUTCOME.unpack_from(packed)
    reason_at = _OUTCOME.size + source_length
    envelope_at = reason_at + reason_length
    envelope = readable(packed[envelope_at:])
    if len(packed) < envelope_at or (has_envelope and envelope is None):
        raise OutcomeError("cut short, or an envelope of another version")
    try:
        source = packed[_OUTCOME.size : reason_at].decode()
        reason = packed[reason_at:envelope_at].decode()
    except UnicodeDecodeError as error:
        raise OutcomeError("not text") from error
    return Outcome(envelope if has_envelope else None, source, reason)


def _message(key: bytes, packed: bytes) -> bytes:
    return bytes([len(key)]) + key + packed
