"""How replicas agree on flights, pins and lists among themselves while Redis is away.

Each key has an owner among the replicas that are linked. Who would ask Redis asks the owner::

    Redis answers ──► a command failed, here or elsewhere ──► owners decide ──► Redis has answered for 3 s ──► ...
                        every owner first asks all                │
                        what they lead of its keys                └ Redis, if it is back, is asked as well

A replica that cannot reach the owner decides for itself, as it does where replicas have no links.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Self

from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.fleet.client import RedisClient
from service.fleet.link import Message
from service.fleet.links import Links
from service.lists.adapters import owner_words
from service.lists.adapters.outcome_codec import pack_outcome, unpack_outcome
from service.lists.adapters.owned import MAX_FLIGHTS, Ages, Ended, OwnedKeys
from service.lists.envelope import readable
from service.lists.keys import UserKey
from service.lists.ports import ABANDONED, Boarding, LocalLists, Outcome
from service.tasks import stop_task

AFTERWARDS_SECONDS: Final = 3.0
"""Owners decide for so long after Redis has come back: until then every replica has noticed, has put its lists back,
and has landed what it led through an owner."""

HEARD_SECONDS: Final = 1.0
"""A replica that has been in touch with Redis for so long knows which users were forgotten while it was not. From then
on it takes nothing from a replica that is cut off, which may not know."""

MAX_LATEST: Final = 1_000
"""Lists of late that a replica tells the owners of, the latest ones."""

_GROUPED_SECONDS: Final = 0.5

_BOARD, _LAND, _ENDED, _NAME = b"board", b"land", b"ended", b"name"


class Owners:
    """One replica among those that decide; a context manager.

    Args:
        links: To the others; open for as long as this is.
        owned: What this replica decides about.
        client: Says whether Redis answers.
        clock: Its monotonic time.
        memory: The lists of this replica.
        leads: The flights that it leads through Redis, with the seconds left.
        latest: The keys of the lists that landed here last, so many at most.
        end: Lets followers here know the end of a flight.
        abandon_all: Lets all followers here board again.
    """

    def __init__(
        self,
        links: Links,
        owned: OwnedKeys,
        *,
        client: RedisClient,
        clock: Clock,
        memory: LocalLists,
        leads: Callable[[], Iterable[tuple[UserKey, float]]],
        latest: Callable[[int], Iterable[UserKey]],
        end: Callable[[UserKey, Outcome], None],
        abandon_all: Callable[[], None],
    ) -> None:
        self._links = links
        self._owned = owned
        self._client = client
        self._clock = clock
        self._memory = memory
        self._leads = leads
        self._latest = latest
        self._end = end
        self._until = float("-inf")
        self._naming: asyncio.Task[None] | None = None
        self._mine: dict[bytes, list[bytes]] = {}
        self._lists_of_mine: dict[bytes, list[bytes]] = {}
        self._grouped_at = float("-inf")
        self._led: dict[UserKey, float] = {}
        self._up_since = clock.monotonic() if client.up else float("inf")
        self._abandon_all = abandon_all
        links.answer_with(self._answer, on_lost=self._on_lost)
        client.on_change(self._on_change)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Decide nothing more."""
        if self._naming is not None:
            await stop_task(self._naming)

    def decide(self) -> bool:
        """Whether owners are asked now."""
        if self._naming is None:
            return False
        if self._client.up and self._clock.monotonic() >= self._until:
            self._naming = None
            return False
        return True

    def concerns(self, key: UserKey) -> bool:
        """Whether the owner of a key is asked now, or waits for the end of a flight."""
        return self.decide() or key in self._led

    def begin(self) -> None:
        """Redis has failed somewhere: let owners decide until it has answered for a while."""
        self._begin(AFTERWARDS_SECONDS)

    def _begin(self, duration: float) -> None:
        decided = self.decide()
        self._until = max(self._until, self._clock.monotonic() + duration)
        if not decided:
            self._naming = asyncio.create_task(self._have_all_named(), name="replica-flights")

    def _go_on_with(self, left: float) -> None:
        # Less the time that a question may take: two replicas that ask each other would go on for ever.
        left = min(left, AFTERWARDS_SECONDS) - self._links.timeout_seconds
        if left > 0:
            self._begin(left)

    @property
    def _left(self) -> bytes:
        """How long owners decide from now on, as far as this replica knows."""
        left = self._until - self._clock.monotonic() if self._client.up else AFTERWARDS_SECONDS
        return owner_words.seconds(max(0.0, left))

    async def board(self, key: UserKey, ages: Ages, *, lease_seconds: float, renew: bool) -> Boarding:
        """See `SharedLists.board`.

        Raises:
            SharedStateUnavailable: The owner cannot be asked, or there are no other replicas.
        """
        owner = self._owner_of(key)
        if owner == self._links.replica:
            await self._named()
            boarding = self._owned.board(key, ages, lease_seconds=lease_seconds, renew=renew, who=owner)
        else:
            words = (
                self._left,
                self._knowing,
                *owner_words.written_ages(ages),
                owner_words.seconds(lease_seconds),
                owner_words.flag(renew),
            )
            boarding = owner_words.read_boarding(await self._links.ask(owner, _BOARD, key, *words))
        if boarding.leader:
            self._note_lead(key, lease_seconds)
        return boarding

    async def land(self, key: UserKey, outcome: Outcome, ages: Ages, *, led: bool) -> Ended:
        """See `SharedLists.land`; the followers of a flight hear of it.

        Raises:
            SharedStateUnavailable: The owner cannot be asked, or there are no other replicas.
        """
        owner = self._owner_of(key)
        if led:
            self._led.pop(key, None)
        if owner == self._links.replica:
            return self._land(key, outcome, ages, led=led, who=owner)
        words = self._knowing, *owner_words.written_ages(ages), pack_outcome(outcome), owner_words.flag(led)
        return owner_words.read_ended(await self._links.ask(owner, _LAND, key, *words))

    def knows_who_was_forgotten(self) -> bool:
        """Whether it has been in touch for so long, so that it takes nothing from a replica that is cut off."""
        return self._client.up and self._clock.monotonic() - self._up_since >= HEARD_SECONDS

    @property
    def _knowing(self) -> bytes:
        return owner_words.flag(self.knows_who_was_forgotten())

    def _may_give(self, knowing: bytes) -> bool:
        """Whether a replica that knows so much may take something of this one."""
        return self._client.up or not knowing

    def _owner_of(self, key: UserKey) -> bytes:
        if not self._links.linked:
            raise SharedStateUnavailable("Redis is down, and there is no link to another replica")
        return self._links.owner_of(key)

    def _note_lead(self, key: UserKey, lease_seconds: float) -> None:
        now = self._clock.monotonic()
        self._led[key] = now + lease_seconds
        while self._led and (len(self._led) > MAX_FLIGHTS or self._led[next(iter(self._led))] <= now):
            del self._led[next(iter(self._led))]

    def _land(self, key: UserKey, outcome: Outcome, ages: Ages, *, led: bool, who: bytes) -> Ended:
        ended = self._owned.land(key, outcome, ages, led=led, who=who)
        # Followers look for what was here before.
        shown = ABANDONED if ended.answered_before else outcome
        for replica, gives in ended.followers.items():
            said = shown if gives or shown.source == "personalize" else ABANDONED
            if replica == self._links.replica:
                self._end(key, said)
            else:
                self._links.tell(replica, _ENDED, key, pack_outcome(said))
        return ended

    async def _answer(self, who: bytes, words: Message) -> Message:
        """The answer to another replica; empty for one of another version."""
        with suppress(ValueError):
            return await self._answered(who, words)
        return []

    async def _answered(self, who: bytes, words: Message) -> Message:
        match words:
            case [kind, key, left, knowing, earliest, latest, lease, renew] if kind == _BOARD:
                self._go_on_with(owner_words.read_seconds(left))
                await self._named()
                boarding = self._owned.board(
                    UserKey(key),
                    owner_words.read_ages(earliest, latest),
                    lease_seconds=owner_words.read_seconds(lease),
                    renew=bool(renew),
                    who=who,
                    gives=self._may_give(knowing),
                )
                return owner_words.written_boarding(boarding)
            case [kind, key, knowing, earliest, latest, packed, led] if kind == _LAND:
                outcome = unpack_outcome(packed)
                if outcome is None:
                    return []
                ended = self._land(
                    UserKey(key), outcome, owner_words.read_ages(earliest, latest), led=bool(led), who=who
                )
                return owner_words.written_ended(ended) if self._may_give(knowing) else []
            case [kind, key, packed] if kind == _ENDED:
                outcome = unpack_outcome(packed)
                if outcome is not None:
                    self._end(UserKey(key), outcome)
            case [kind, left, knowing] if kind == _NAME:
                self._go_on_with(owner_words.read_seconds(left))
                return self._names_for(who, with_lists=self._may_give(knowing))
        return []

    async def _named(self) -> None:
        """Wait until the others have said what they lead, or were too slow."""
        if self._naming is not None:
            await asyncio.wait((self._naming,))

    async def _have_all_named(self, after: "asyncio.Task[None] | None" = None) -> None:
        if after is not None:
            await asyncio.wait((after,))
        me, others = self._links.replica, self._links.linked
        answers = await asyncio.gather(
            *(self._links.ask(other, _NAME, self._left, self._knowing) for other in others), return_exceptions=True
        )
        for who, answer in [(me, self._names_for(me, with_lists=True)), *zip(others, answers, strict=True)]:
            if isinstance(answer, SharedStateUnavailable):
                continue
            if isinstance(answer, BaseException):
                raise answer
            for key, value in zip(answer[::2], answer[1::2], strict=False):
                envelope = readable(value)
                if envelope is not None:
                    self._owned.keep(UserKey(key), envelope)
                else:
                    with suppress(ValueError):
                        self._owned.lead(UserKey(key), who, owner_words.read_seconds(value))

    def _names_for(self, owner: bytes, *, with_lists: bool) -> Message:
        """Keys of this owner, each with the seconds for which this replica leads it, or with the list that landed."""
        now = self._clock.monotonic()
        if now - self._grouped_at > _GROUPED_SECONDS:
            self._grouped_at = now
            self._mine = defaultdict(list)
            self._lists_of_mine = defaultdict(list)
            for key in self._latest(MAX_LATEST):
                envelope = self._memory.get(key)
                if envelope is not None:
                    self._lists_of_mine[self._links.owner_of(key)] += key, envelope
            led = [*self._leads(), *((key, ends - now) for key, ends in self._led.items() if ends > now)]
            for key, left in led:
                self._mine[self._links.owner_of(key)] += key, owner_words.seconds(left)
        return [*self._mine.get(owner, ()), *(self._lists_of_mine.get(owner, ()) if with_lists else ())]

    def _on_lost(self) -> None:
        if self.decide():
            self._abandon_all()

    def _on_change(self, up: bool) -> None:  # noqa: FBT001  # the listener's signature
        if not up:
            decided = self.decide()
            self.begin()
            if decided:
                # As long as it was in touch itself, nobody who was cut off gave it a list.
                self._naming = asyncio.create_task(self._have_all_named(self._naming), name="replica-flights")
        else:
            self._up_since = self._clock.monotonic()
            self._until = self._clock.monotonic() + AFTERWARDS_SECONDS
