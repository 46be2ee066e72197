"""Offers lists to a Redis that came back without them, so that they cost no second transaction.

A list that lands while Redis is away stays in one replica, and one that landed just before a failover may be gone with
the old master. When Redis is back, each replica offers the lists of that time. Of two replicas that have one of the
same user, the first to offer it prevails, and the other takes it over: all parts of a message show the same again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol, Self

import structlog
from cachetools import TTLCache

from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.fleet.client import RedisClient
from service.lists.adapters.forgotten import RedisForgotten
from service.lists.envelope import Envelope
from service.lists.keys import UserKey, UserPrefix
from service.lists.ports import LocalLists
from service.tasks import for_each, stop_task

LOST_SECONDS: Final = 10.0
"""Lists that landed so long before Redis went away may be lost: a master's replica lags less, and a master that was cut
off is noticed sooner."""

MAX_NOTED: Final = 20_000
"""Lists that are offered at most, the latest ones; their keys take about 3 MB. At 100 TPS they are those of 200 s."""

AT_ONCE: Final = 16
"""Lists that are offered at a time."""

OFFERED_SECONDS: Final = 3600.0
"""A list that was offered is taken out again when its user turns out to be forgotten within so long."""

AGAIN_SECONDS: Final = 1.0
"""Between two offers to a node that is away."""

_KEYS_AT_ONCE: Final = 5_000
"""Keys looked through before the event loop has its turn; about a millisecond."""

_log = structlog.stdlib.get_logger(__name__)


class OfferedTo(Protocol):
    """Where a list is offered; `RedisLists` of one placement."""

    async def offer(self, key: UserKey, envelope: Envelope) -> Envelope:
        """The list that all replicas keep from now on: a fresh one that is there already, or else this one.

        Raises:
            SharedStateUnavailable: Redis did not answer.
        """

    async def take_out(self, key: UserKey) -> None:
        """Delete the list that was offered, and have every replica forget its user.

        Raises:
            SharedStateUnavailable: Redis did not answer.
        """


@dataclass(frozen=True, slots=True)
class _Noted:
    lists: OfferedTo
    at: float
    """When it was noted, monotonic."""

    shared: bool


class PutBack:
    """The lists of late of one replica; a context manager, and it works within.

    Args:
        client: Open for as long as this is.
        memory: Has the lists.
        forgotten: Knows whose lists must not come back.
        clock: Its monotonic time says when a list landed.
    """

    def __init__(self, client: RedisClient, *, memory: LocalLists, forgotten: RedisForgotten, clock: Clock) -> None:
        self._client = client
        self._memory = memory
        self._forgotten = forgotten
        self._clock = clock
        self._noted: OrderedDict[UserKey, _Noted] = OrderedDict()
        self._offered: TTLCache[UserKey, OfferedTo] = TTLCache(MAX_NOTED, OFFERED_SECONDS, timer=clock.monotonic)
        self._taken_out: dict[UserKey, OfferedTo] = {}
        self._offering = False
        self._back = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        client.on_change(self._changed)

    def __len__(self) -> int:
        """Lists that would be offered now."""
        return len(self._noted)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="lists-put-back")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop to offer; before the client is closed."""
        if self._task is not None:
            await stop_task(self._task)

    def note(self, key: UserKey, lists: OfferedTo, *, shared: bool) -> None:
        """A live list of this key is in memory; one that is not shared is offered as soon as Redis is there."""
        now = self._clock.monotonic()
        self._noted[key] = _Noted(lists, now, shared)
        self._noted.move_to_end(key)
        if self._client.up and not shared:
            # Redis came back while the list was on its way.
            self._back.set()
        elif self._client.up and not self._offering and not self._back.is_set():
            self._forget_before(now - LOST_SECONDS)
        while len(self._noted) > MAX_NOTED:
            self._noted.popitem(last=False)

    def latest(self, most: int) -> list[UserKey]:
        """The keys of the lists that landed last, the newest first."""
        return list(islice(reversed(self._noted), most))

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`."""

        def look(key: UserKey) -> None:
            if key.startswith(user_prefix):
                self._noted.pop(key, None)
                if (lists := self._offered.pop(key, None)) is not None:
                    self._taken_out[key] = lists
                    self._back.set()

        await for_each([*self._noted, *self._offered], look, at_once=_KEYS_AT_ONCE)

    def kept_keys(self) -> Iterable[bytes]:
        """See `Searchable`: what was offered may have left the memory since."""
        return [*self._offered]

    def clear(self) -> None:
        """See `Searchable`."""
        self._noted.clear()
        self._taken_out |= dict(self._offered.items())
        self._offered.clear()
        self._back.set()

    def _forget_before(self, moment: float) -> None:
        """What landed long before is safe, unless Redis never had it."""
        while self._noted:
            oldest = next(iter(self._noted.values()))
            if oldest.at >= moment or not oldest.shared:
                return
            self._noted.popitem(last=False)

    def _changed(self, up: bool) -> None:  # noqa: FBT001  # the listener's signature
        if up:
            self._back.set()
        else:
            self._forget_before(self._clock.monotonic() - LOST_SECONDS)

    async def _run(self) -> None:
        while True:
            await self._back.wait()
            # Not after the offers: Redis may go and come back while they are made.
            self._back.clear()
            self._offering = True
            try:
                await self._take_out_all()
                await self._offer_all()
            except SharedStateUnavailable:
                # What is left is offered when Redis is back. Of a node of a cluster nobody hears that.
                if self._client.up:
                    await asyncio.sleep(AGAIN_SECONDS)
                    self._back.set()
            finally:
                self._offering = False

    async def _take_out_all(self) -> None:
        while self._taken_out:
            key, lists = next(iter(self._taken_out.items()))
            await lists.take_out(key)
            self._taken_out.pop(key, None)

    async def _offer_all(self) -> None:
        # First whose lists must not come back: it may have been said while this replica was cut off.
        await self._forgotten.look()
        is_forgotten = self._forgotten.test()
        taken = offered = 0
        while self._noted:
            some = [self._noted.popitem() for _ in range(min(AT_ONCE, len(self._noted)))]
            kept = [(key, noted) for key, noted in some if not is_forgotten(key)]
            results = await asyncio.gather(*(self._offer(key, one.lists) for key, one in kept), return_exceptions=True)
            for (key, noted), result in zip(kept, results, strict=True):
                if isinstance(result, SharedStateUnavailable):
                    # Unless its user was forgotten meanwhile.
                    if self._memory.get(key) is not None:
                        self._noted.setdefault(key, noted)
                elif isinstance(result, BaseException):
                    raise result
                else:
                    offered += 1
                    taken += result
            if any(isinstance(one, SharedStateUnavailable) for one in results):
                raise SharedStateUnavailable("Redis went away while lists were put back")
        if offered:
            _log.info("lists_put_back", offered=offered, taken_over=taken)

    async def _offer(self, key: UserKey, lists: OfferedTo) -> bool:
        """Whether another replica's list takes the place of ours."""
        ours = self._memory.get(key)
        if ours is None:
            return False
        self._offered[key] = lists
        theirs = await lists.offer(key, ours)
        # It may have been replaced, or forgotten, meanwhile.
        if theirs == ours or self._memory.get(key) != ours:
            return False
        self._memory.put(key, theirs)
        return True
