"""Which replicas are alive, and which share of the budget each may spend when it loses Redis.

A replica is in one of three states. Its governor takes slots from Redis while it is in touch, and from the replica's
share otherwise::

    start, Redis answers                                                     start, Redis is silent
           |                                                                   | (one in EXPECTED_REPLICAS)
           v                                                                   v
    +------------+  no answer, or  +-----------+  horizon + 1 s after    +--------------+
    |  in touch  |  one too late   |  in doubt |  `heard_until`          | on its own   |
    |            | --------------> |           | ----------------------> | share        |
    | slots from |                 | a quarter |                         | the whole of |
    | Redis      |                 | of its    |                         | its share,   |
    |            |                 | share     |                         | once granted |
    +------------+                 +-----------+                         +--------------+
           ^                             |                                      |
           +-----------------------------+--------------------------------------+
                      a beat is answered, and Redis read it in time

Redis sees the other side. It keeps the share of a replica that may be on its own out of what it hands out to the
others. A replica that is silent for `SILENCE_SECONDS` no longer counts as alive; after `FORGET_SECONDS` its share goes
to the others. A process that only prewarms has no share, so without Redis it waits.
"""

import asyncio
import secrets
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final, Self

import structlog

from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.fleet.client import RedisClient
from service.fleet.memory_loss import MemoryLoss
from service.fleet.share import Share
from service.fleet.shared_clock import SharedClock
from service.tasks import stop_task

HEARTBEAT_SECONDS: Final = 0.5
"""Between two beats: how soon a Redis that came back is noticed, and how old the number of replicas may be."""

SILENCE_SECONDS: Final = 5.0
"""A replica silent for this long does not count as alive."""

FORGET_SECONDS: Final = 20.0
"""A replica silent for this long that did not sign off counts as dead, and its share goes to the others. One that lives
but is cut off from a Redis that the others reach spends its share all the same."""

NEWCOMER_PAUSE_SECONDS: Final = 0.1
"""Between two questions of a new process whether it is let in."""

NEWCOMER_QUESTIONS: Final = 8
"""The next one lets it in, although nobody else has beaten: the others are dead, or there are none."""

MAX_CLOCK_ERROR_SECONDS: Final = 0.05
"""Redis takes a message this long after its sender's timeout; the two clocks are known to a few milliseconds."""

_MICROSECONDS: Final = 1_000_000

_WAIT: Final = 3
_NAME_THE_OTHERS: Final = 4
"""What Redis says to a new replica that is to beat again before it is let in, and to one that it has forgotten."""

_log = structlog.stdlib.get_logger(__name__)


class Heartbeat:
    """One process among the replicas: it signs on, says every half second that it lives, and signs off.

    Each beat brings the number of replicas, this one's share, and a comparison of the clocks. While Redis is down the
    last known values stay; the first beat after its return renews them.

    Args:
        client: Open for as long as the heartbeat is.
        clock: Its monotonic time carries everything here.
        expected_replicas: A replica that starts without Redis takes one part in this many.
        group: Replicas of the same group share one budget; part of all keys.
        heartbeat_seconds: Between two beats.
        patient: Whether a new process waits for a beat of the others before it is let in. They notice when Redis's
            clock was set, or Redis has lost its memory; it could not.
        serves: Whether this process answers requests. One that only prewarms is none of the replicas: they would
            leave it a share of the budget that it never spends.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        clock: Clock,
        expected_replicas: int,
        group: str = "service",
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        serves: bool = True,
        patient: bool = True,
    ) -> None:
        self._client = client
        self._clock = clock
        self._group = group
        self._heartbeat_seconds = heartbeat_seconds
        self.serves = serves
        self.replica = secrets.token_hex(8)
        """This process's name among the replicas."""
        self.replicas = 1
        """Replicas alive by the last known number, this one included."""
        self.shared_clock = SharedClock(clock)
        self.replicas_key = self.key("replicas")
        """Sorted set of the replicas, by their last sign of life."""
        self.beats_key = self.replicas_key if serves else self.key("prewarm")
        """Where this process's own signs of life are kept."""
        self.shares_key = self.key("shares")
        """Hash of what each replica may spend on its own, and when Redis last heard of it."""
        self.share: Share | None = None
        """This replica's part of the budget while Redis is down; None for a process that has none."""
        self.heard_until = float("-inf")
        """Monotonic time after which Redis takes nothing that was sent for a sign of life."""
        self.own_share_until = float("-inf")
        """Monotonic time at which the last slot begins that the governor took of the share."""
        self.memory_loss = MemoryLoss(client.memory_loss_log)
        self._expected_share = Share(expected_replicas, int(self.replica, 16) % expected_replicas)
        self._known: list[bytes | int] = []
        self.version = b""
        """Changes with every replica that comes or goes."""
        self._beat_at: float | None = None
        self._waiting = False
        self._questions = NEWCOMER_QUESTIONS
        self._seen = b"" if patient else b"-"
        self._following = asyncio.Lock()
        self._script = client.script(Path(__file__).with_name("heartbeat.lua"), (int, bytes))
        self._rebase = client.script(Path(__file__).with_name("rebase.lua"), int)
        self._stack = AsyncExitStack()

    @property
    def registered(self) -> bool:
        """Whether Redis must know this replica from a recent beat, unless it has lost its memory."""
        return self._beat_at is not None and self._clock.monotonic() - self._beat_at < SILENCE_SECONDS / 2

    def key(self, name: str) -> str:
        """The Redis key of something that the replicas of this group share.

        All groups share a hash tag: in a cluster, one node answers for whether Redis is up.
        """
        return f"pc:{{fleet}}:{self._group}:{name}"

    def stamp(self) -> int:
        """The point on Redis's clock, in microseconds, after which Redis is to ignore what is sent now.

        What bears a stamp is a sign of life, so stamp only what is sent while Redis is up or about to be.
        """
        patience = self.patience_seconds
        clock_error = min(self.shared_clock.error_seconds, self._client.timeout_seconds)
        self.heard_until = max(self.heard_until, self._clock.monotonic() + patience + clock_error)
        return round((self.shared_clock.time() + patience) * _MICROSECONDS)

    @property
    def patience_seconds(self) -> float:
        """How long Redis may take a message for a sign of life, from when it was sent."""
        return self._client.timeout_seconds + MAX_CLOCK_ERROR_SECONDS

    def compare(self, redis_time: int, sent_at: float) -> None:
        """Learn from an answer of Redis what its clock says, in microseconds; `sent_at` is when the question left."""
        self.shared_clock.compare(redis_time / _MICROSECONDS, sent_at=sent_at)

    async def follow_clock(self) -> None:
        """Move every time that Redis keeps when its clock was set, unless another replica has done so.

        Raises:
            SharedStateUnavailable: Redis did not answer; the next answer of Redis leads here again.
        """
        if self.shared_clock.step is not None:
            async with self._following:
                await self._move_times()

    async def _move_times(self) -> None:
        step = self.shared_clock.step
        if step is None:
            return
        within = self._clock.monotonic() - step.after + self._client.timeout_seconds
        async with self._client.attempt():
            moved = await self._rebase(
                keys=[self.key("budget"), self.replicas_key, self.key("prewarm"), self.shares_key],
                args=[round(step.seconds * _MICROSECONDS), round(within * _MICROSECONDS)],
            )
        self.shared_clock.step = None
        if moved:
            _log.info("redis_times_moved", seconds=round(step.seconds, 3))

    def came_late(self, redis_time: int) -> SharedStateUnavailable:
        """Mark Redis down: it ignored a message for its stamp, although its answer came in time.

        So the clocks are not what they were; the next beat compares them anew.
        """
        self.shared_clock.distrust()
        error = SharedStateUnavailable(f"Redis's clock, at {redis_time}, is not what it was")
        self._client.mark_down(error)
        return error

    async def __aenter__(self) -> Self:
        """Sign on and start to beat; succeeds without Redis too, `client.up` is then False."""
        await self.beat()
        while self._waiting:
            await asyncio.sleep(NEWCOMER_PAUSE_SECONDS)
            await self.beat()
        if not self._client.up and self.serves:
            self.share = self._expected_share
        self._stack.push_async_callback(self._sign_off)
        task = asyncio.create_task(self._keep_beating(), name="redis-heartbeat")
        self._stack.push_async_callback(stop_task, task)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop to beat and sign off; fine when Redis is down."""
        await self._stack.aclose()

    async def beat(self) -> None:
        """Say that this process lives, and hear who else does; fine when Redis is down."""
        waiting, self._waiting = self._waiting, False
        with suppress(SharedStateUnavailable):
            if not self._client.up and not waiting:
                await self._client.find()
            if not (self._client.up and self.shared_clock.is_known):
                async with self._client.attempt():
                    # Only looks. Redis may read a sign of life after this replica has gone on to its own share.
                    await self._say(not_after=0)
            await self.follow_clock()
            reply = await self._live()
            if self.shared_clock.step is not None:
                await self.follow_clock()
                reply = await self._live()
            if int(reply[0]) == _NAME_THE_OTHERS:
                reply = await self._live(naming=True)
            if int(reply[0]) < 0:
                self.came_late(int(reply[1]))
                return
            if int(reply[0]) == _WAIT:
                self._wait(seen=reply[2])
                return
            self._heard(reply)
            self._client.mark_up()

    def _wait(self, seen: bytes) -> None:
        self._questions -= 1
        self._seen = seen if self._questions > 0 else b"-"
        self._waiting = True

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            await self.beat()

    async def _live(self, *, naming: bool = False) -> list[Any]:
        async with self._client.attempt():
            return await self._say(not_after=self.stamp(), naming=naming)

    async def _say(self, not_after: int, *, naming: bool = False) -> list[Any]:
        sent_at = self._clock.monotonic()
        held = self.share.replicas if self.share is not None and self.share.whole else 0
        reply: list[Any] = await self._script(
            keys=[self.beats_key, self.replicas_key, self.shares_key, self.key("budget"), self.key("version")],
            args=[
                self.replica,
                not_after,
                round(self.patience_seconds * _MICROSECONDS),
                round(max(0.0, self.own_share_until - sent_at) * _MICROSECONDS),
                held,
                # A replica that started without Redis knows no other, and may be the first one back.
                int(self.share is self._expected_share),
                int(self._beat_at is not None),
                self._seen,
                int(FORGET_SECONDS * _MICROSECONDS),
                int(SILENCE_SECONDS * _MICROSECONDS),
                self.version,
                int(naming),
                *(self._known if naming else ()),
            ],
        )
        self.compare(int(reply[1]), sent_at)
        return reply

    def _heard(self, reply: list[Any]) -> None:
        state, _, alive, *changed = reply
        if state and self.registered:
            self.memory_loss.found(self._clock.monotonic())
        self._beat_at = self._clock.monotonic()
        self._seen = b"-"
        self.replicas = max(1, int(alive))
        if not changed:
            return
        share, position, count, self.version, *self._known = changed
        if self.serves:
            self.share = Share(share, position % share) if share else Share(count, position, whole=False)

    async def _sign_off(self) -> None:
        with suppress(SharedStateUnavailable):
            async with self._client.use() as client:
                await client.zrem(self.beats_key, self.replica)
                await client.hdel(self.shares_key, self.replica)
