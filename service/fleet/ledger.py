"""What every replica must know, and no Redis may lose: kept in Redis, and a copy in each replica.

A Redis that comes back empty, or fails over to a replica of it that lagged, has forgotten some of it. Each of our
replicas looks at it more often than twice a second, and puts back what it knows and Redis does not. A change has a
stamp, and of two changes of one name the later stamp counts. So a removal is remembered too, or the copy of a replica
that has not heard of it would bring the name back.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

import structlog

from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.fleet.client import RedisClient
from service.tasks import stop_task

LOOK_SECONDS: Final = 0.4
"""Between two looks: a change is everywhere within a second, without a channel whose loss nobody would notice."""

ASKING_SECONDS: Final = 1.0
"""A new replica believes what Redis says only after this: each other replica has had a beat and a look, and has put
back what Redis had lost."""

AT_ONCE: Final = 500
"""Changes of one message and names of one answer; about a millisecond of Redis."""

_logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Keeping:
    """How much a ledger keeps.

    Attributes:
        entry_seconds: How long; None for ever.
        removal_seconds: How long it is known that a name was removed.
        most: Of either; the oldest go.
    """

    entry_seconds: float | None
    removal_seconds: float
    most: int


@dataclass(frozen=True, slots=True)
class _Answer:
    now: int
    merged: bytes | None
    entries: int
    removals: int
    oldest: int
    new_entries: list[tuple[bytes, int]]
    new_removals: list[tuple[bytes, int]]

    @property
    def is_full_page(self) -> bool:
        return max(len(self.new_entries), len(self.new_removals)) >= AT_ONCE

    @property
    def read_up_to(self) -> int:
        """All changes up to this stamp are in the answer."""
        full = [page[-1][1] for page in (self.new_entries, self.new_removals) if len(page) >= AT_ONCE]
        last = [page[-1][1] for page in (self.new_entries, self.new_removals) if page]
        return min(full) if full else max(last, default=0)


class Ledger:
    """Names that all replicas know.

    Args:
        client: Open for as long as the ledger is.
        key: What its keys in Redis begin with; with a hash tag, so that they share a slot.
        clock: Its monotonic time says when a new replica has asked for long enough.
        keeping: Bounds.
        others: How many other replicas are alive, which a new one waits for; None if it need not wait, since it has
            nothing yet to which the names matter.
        on_change: Called after names came or went; must not raise.
        on_gap: Called when changes may have been missed for good; must not raise.
    """

    def __init__(
        self,
        client: RedisClient,
        key: str,
        *,
        clock: Clock,
        keeping: Keeping,
        others: Callable[[], int] | None = None,
        on_change: Callable[[], None],
        on_gap: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._keys = [key, f"{key}:removed", f"{key}:merged"]
        self._clock = clock
        self._keeping = keeping
        self._others = others
        self._on_change = on_change
        self._on_gap = on_gap
        self.entries: dict[bytes, int] = {}
        """Names, with the stamps at which they came."""
        self._removals: dict[bytes, int] = {}
        self._cursor = 0
        self._newest = 0
        self._merged: bytes | None = None
        self._first_look_at: float | None = None
        self._looking = asyncio.Lock()
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._script = client.script(
            Path(__file__).with_name("ledger.lua"), (bytes, object, int, int, bytes, list, list)
        )
        client.on_change(self._on_redis_change)

    async def __aenter__(self) -> Self:
        """Learn what there is, and ask the others before it is believed; succeeds without Redis too."""
        with suppress(SharedStateUnavailable):
            await self.look()
            while self._asks_others():
                await asyncio.sleep(LOOK_SECONDS / 4)
                await self.look()
        self._task = asyncio.create_task(self._keep_looking(), name="redis-ledger")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop to look; before the client is closed."""
        if self._task is not None:
            await stop_task(self._task)

    async def add(self, name: bytes) -> None:
        """Let every replica know a name.

        Raises:
            SharedStateUnavailable: Redis did not take it.
        """
        await self._change("+", name)

    async def remove(self, name: bytes) -> None:
        """Let every replica forget a name.

        Raises:
            SharedStateUnavailable: Redis did not take it.
        """
        await self._change("-", name)

    async def look(self) -> None:
        """Learn what is new, and put back what Redis has lost.

        Raises:
            SharedStateUnavailable: Redis did not answer.
        """
        async with self._looking:
            answer = await self._read()
            if self._first_look_at is None:
                self._first_look_at = self._clock.monotonic()
            lost = answer.merged is None or (answer.entries, answer.removals) != (
                len(self.entries),
                len(self._removals),
            )
            if lost and not self._is_new:
                await self._put_back()

    @property
    def _is_new(self) -> bool:
        """Whether others may know what Redis has lost, and have not had the time to put it back."""
        return self._first_look_at is None or self._clock.monotonic() - self._first_look_at < ASKING_SECONDS

    def _asks_others(self) -> bool:
        # The only replica, and in a Redis that has lost nothing: there is nobody to ask.
        if self._others is None:
            return False
        return self._is_new and (self._merged is None or self._others() > 0)

    async def _change(self, kind: str, name: bytes) -> None:
        async with self._looking:
            await self._tell([kind, name, ""])
            await self._read()

    async def _read(self) -> _Answer:
        """All that is new."""
        answer = await self._tell([])
        if answer.merged != self._merged:
            # Something old was put back, or lost.
            behind = self._cursor
            self._cursor = 0
            if answer.entries >= self._keeping.most and 0 < behind < answer.oldest:
                self._on_gap()
            answer = await self._tell([])
        changed = self._learn(answer)
        while answer.is_full_page:
            answer = await self._tell([])
            changed |= self._learn(answer)
        changed |= self._expire(answer.now)
        if changed:
            self._on_change()
        return answer

    def _learn(self, answer: _Answer) -> bool:
        self._merged = answer.merged
        if 0 < self._cursor < answer.oldest and answer.entries >= self._keeping.most:
            self._on_gap()
        changed = False
        for names, others, page in (
            (self.entries, self._removals, answer.new_entries),
            (self._removals, self.entries, answer.new_removals),
        ):
            for name, stamp in page:
                self._newest = max(self._newest, stamp)
                if stamp > max(names.get(name, 0), others.get(name, 0)):
                    names[name] = stamp
                    others.pop(name, None)
                    changed = True
        self._cursor = max(self._cursor, answer.read_up_to)
        return changed

    def _expire(self, now: int) -> bool:
        changed = False
        keeping = self._keeping
        for names, seconds in ((self.entries, keeping.entry_seconds), (self._removals, keeping.removal_seconds)):
            oldest = 0 if seconds is None else now - _microseconds(seconds)
            gone = [name for name, stamp in names.items() if stamp < oldest]
            over = len(names) - len(gone) - keeping.most
            if over > 0:
                left = sorted((stamp, name) for name, stamp in names.items() if stamp >= oldest)
                gone += [name for _, name in left[:over]]
            for name in gone:
                del names[name]
            changed |= bool(gone)
        return changed

    async def _put_back(self) -> None:
        changes = [("+", name, stamp) for name, stamp in self.entries.items()]
        changes += [("-", name, stamp) for name, stamp in self._removals.items()]
        for some in _portions(changes):
            await self._tell([part for change in some for part in change], merging=True)
        if self.entries:
            _logger.warning("ledger_put_back", ledger=self._keys[0].rpartition(":")[2], names=len(self.entries))
        await self._read()

    async def _tell(self, changes: Sequence[object], *, merging: bool = False) -> _Answer:
        keeping = self._keeping
        async with self._client.use(self._keys[0]):
            reply: Any = await self._script(
                keys=self._keys,
                args=[
                    0 if keeping.entry_seconds is None else _microseconds(keeping.entry_seconds),
                    _microseconds(keeping.removal_seconds),
                    keeping.most,
                    self._newest,
                    self._cursor,
                    AT_ONCE,
                    int(merging),
                    *changes,
                ],
            )
        now, merged, entries, removals, oldest, new_entries, new_removals = reply
        return _Answer(
            int(now), merged, int(entries), int(removals), int(float(oldest)), _pairs(new_entries), _pairs(new_removals)
        )

    async def _keep_looking(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._due.wait()
            self._due.clear()
            with suppress(SharedStateUnavailable):
                await self.look()

    def _on_redis_change(self, up: bool) -> None:  # noqa: FBT001 - the listener's signature
        if up:
            self._due.set()


def _pairs(flat: list[bytes]) -> list[tuple[bytes, int]]:
    return [(name, int(float(stamp))) for name, stamp in zip(flat[::2], flat[1::2], strict=True)]


def _portions(changes: list[tuple[str, bytes, int]]) -> Iterator[list[tuple[str, bytes, int]]]:
    """At least one portion, if need be an empty one: Redis is to know that it was looked after."""
    rest = iter(changes)
    some = list(islice(rest, AT_ONCE))
    yield some
    while some := list(islice(rest, AT_ONCE)):
        yield some


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
