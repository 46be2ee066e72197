"""The channel on which replicas hear how a flight ended and which user to forget."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Final, Self

import structlog
from redis.asyncio.client import PubSub

from service.errors import SharedStateUnavailable
from service.fleet.causes import FAILURES, cause_of
from service.fleet.client import RedisClient
from service.lists.adapters.outcome_codec import unpack_outcome
from service.lists.keys import USER_PREFIX_BYTES, UserPrefix
from service.lists.ports import ABANDONED, Landing, ListsRecorder, Outcome
from service.tasks import stop_task

RESUBSCRIBE_SECONDS: Final = 0.25
"""Between two attempts to listen again."""

SILENCE_SECONDS: Final = 2.0
"""A channel silent for this long is asked for a sign of life, and given up after as long again."""

_logger = structlog.stdlib.get_logger(__name__)


class FlightChannel:
    """A subscription of this replica, renewed when it is lost, and the followers who wait for a message.

    A message is the key's length in one byte, the key, and a packed outcome. Without an outcome the key is a user
    prefix, and means: forget this user. Anything else on the channel is counted, and passed over.

    Followers get `SharedStateUnavailable` as soon as Redis is known to be down. When only the subscription was lost
    they get `ABANDONED` once it is back, since the end of their flight may have been missed.

    Args:
        client: Open for as long as the channel is.
        name: Replicas that differ in it do not hear each other.
        recorder: Counts lost subscriptions and messages of another version.
        on_forget: Called with the user prefix when a user is forgotten; must not raise.
    """

    def __init__(
        self, client: RedisClient, name: str, *, recorder: ListsRecorder, on_forget: Callable[[UserPrefix], None]
    ) -> None:
        self._client = client
        self.name = name
        self._recorder = recorder
        self._on_forget = on_forget
        self._followers: defaultdict[bytes, set[asyncio.Future[Outcome]]] = defaultdict(set)
        self._stack = AsyncExitStack()
        self._lost = False
        self.listening = asyncio.Event()
        """Set while the channel is subscribed."""
        client.on_change(self._on_change)

    async def __aenter__(self) -> Self:
        """Start to listen; succeeds without Redis too."""
        task = asyncio.create_task(self._keep_listening(), name="redis-flights")
        self._stack.push_async_callback(stop_task, task)
        with suppress(TimeoutError):
            async with asyncio.timeout(RESUBSCRIBE_SECONDS):
                await self.listening.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop to listen; before the client is closed."""
        await self._stack.aclose()

    @staticmethod
    def message(key: bytes, packed: bytes = b"") -> bytes:
        """What to publish at the end of a flight, with its packed outcome; without one, to have a user forgotten."""
        return bytes([len(key)]) + key + packed

    async def listeners(self) -> int:
        """How many replicas are subscribed, by Redis's count: each server knows those that are connected to it.

        Raises:
            SharedStateUnavailable: Redis did not say.
        """
        listeners = 0
        async with aclosing(self._client.masters()) as masters:
            async for master in masters:
                async with self._client.use(spread=True):
                    [(_, count)] = await master.pubsub_numsub(self.name)
                listeners += int(count)
        return listeners

    @asynccontextmanager
    async def follow(self, key: bytes) -> AsyncIterator[Landing]:
        """See `SharedLists.follow`; any number may follow one flight.

        Raises:
            SharedStateUnavailable: Redis is down.
        """
        if not self._client.up:
            raise SharedStateUnavailable("Redis is down")
        async with self.waiting(key) as landing:
            yield landing

    @asynccontextmanager
    async def waiting(self, key: bytes, *, when_lost: Outcome | None = None) -> AsyncIterator[Landing]:
        """The same, also while Redis is down: `end` may be called for another reason.

        Args:
            key: Of the flight.
            when_lost: What followers get when Redis is lost meanwhile, instead of the error.
        """
        ending: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._followers[key].add(ending)
        try:
            yield _ChannelLanding(ending, when_lost)
        finally:
            followers = self._followers.get(key, set())
            followers.discard(ending)
            if not followers:
                self._followers.pop(key, None)

    async def _keep_listening(self) -> None:
        while True:
            if self._client.up:
                try:
                    async with self._client.subscription() as subscription:
                        await self._listen(subscription)
                except (SharedStateUnavailable, *FAILURES) as error:
                    self._lose(error)
                if self.listening.is_set():
                    self.listening.clear()
                    self._lost = True
                    self._recorder.lists_event("resubscribed")
            await asyncio.sleep(RESUBSCRIBE_SECONDS)

    def _lose(self, error: BaseException) -> None:
        cause = cause_of(error, tls=self._client.address.tls is not None)
        _logger.info("flights_channel_lost", cause=cause.words)
        if cause.lasting:
            # Without the channel one user could cost a transaction on every replica.
            self._client.mark_down(error)

    async def _listen(self, subscription: PubSub) -> None:
        async with asyncio.timeout(SILENCE_SECONDS):
            await subscription.subscribe(self.name)
        asked = False
        while True:
            message = await subscription.get_message(timeout=SILENCE_SECONDS)
            if message is None:
                if asked:
                    return
                async with asyncio.timeout(SILENCE_SECONDS):
                    await subscription.ping()
                asked = True
                continue
            asked = False
            if message["type"] == "subscribe":
                self.listening.set()
                if self._lost:
                    self._lost = False
                    self.abandon_all()
            elif message["type"] == "message":
                self._heard(message["data"])

    def _heard(self, message: bytes) -> None:
        length = message[0] if message else 0
        key, packed = message[1 : 1 + length], message[1 + length :]
        if len(key) != length or length < USER_PREFIX_BYTES:
            self._recorder.lists_event("unreadable")
            return
        if not packed:
            self._on_forget(UserPrefix(key))
            return
        outcome = unpack_outcome(packed)
        if outcome is None:
            self._recorder.lists_event("unreadable")
            return
        self.end(key, outcome)

    def end(self, key: bytes, outcome: Outcome) -> None:
        """Let the followers of a flight know its end."""
        _end(self._followers.get(key, ()), outcome)

    def abandon_all(self) -> None:
        """Let all followers board again: the end of their flight may have been missed."""
        self._end_all(ABANDONED)

    def _on_change(self, up: bool) -> None:  # noqa: FBT001 - the listener's signature
        if not up:
            self._end_all(None)

    def _end_all(self, outcome: Outcome | None) -> None:
        for followers in self._followers.values():
            _end(followers, outcome)


class _ChannelLanding:
    def __init__(self, ending: asyncio.Future[Outcome], when_lost: Outcome | None) -> None:
        self._ending = ending
        self._when_lost = when_lost

    async def wait(self, timeout_seconds: float) -> Outcome | None:
        """See `Landing.wait`."""
        done, _ = await asyncio.wait([self._ending], timeout=timeout_seconds)
        if done and self._when_lost is not None and self._ending.exception() is not None:
            return self._when_lost
        return self._ending.result() if done else None


def _end(followers: Iterable[asyncio.Future[Outcome]], outcome: Outcome | None) -> None:
    for ending in followers:
        if not ending.done():
            if outcome is None:
                ending.set_exception(SharedStateUnavailable("Redis is down"))
                # A follower that stops waiting in this moment never looks; asyncio is not to complain of it.
                ending.exception()
            else:
                ending.set_result(outcome)
