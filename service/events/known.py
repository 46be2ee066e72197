"""What is known of the users that this replica was asked for, and what follows for their answers.

A user's events are loaded once, on the ordinary way of an answer, and kept here as long as there is room. From then on
the store tells every change, so that an answer only looks into memory.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.events.ports import EventStore, KnownEvent
from service.lists.keys import UserKeys, UserPrefix

MAX_OF_A_TYPE: Final = 100
"""Events of a user and type that count. Source: Personalize developer guide, filter expressions."""

LEARNT_AT_ONCE: Final = 100
"""Users looked up at a time."""

MAX_USERS: Final = 200_000
"""Users kept in memory, the longest unasked go first; about 100 MB with ten events each."""

NEVER: Final = float("-inf")
NEVER_AT: Final = -1.0
"""A time before any event's."""

MAX_LATELY: Final = 100_000
"""Users of whom only is kept when something was heard of them last; about 20 MB."""

SAME_SECONDS: Final = 5.0
"""What comes again within this time is not a later event."""

LOAD_SECONDS: Final = 0.1
"""Longest wait of an answer for a user's events."""


@dataclass(slots=True)
class UserEvents:
    """The latest events of one user, by type and item."""

    version: int
    """Changes with every event."""

    by_type: dict[str, dict[str, float]] = field(default_factory=dict)
    changed_at: float = NEVER
    """Unix seconds of the latest event."""

    def add(self, known: KnownEvent, heard_at: float) -> None:
        """Take in an event; an older one of the same item changes nothing."""
        items = self.by_type.setdefault(known.event_type, {})
        # An event comes twice, from who took it in and from the store, which may keep whole seconds.
        if not known.lifts and int(known.at) > int(items.get(known.item_id, NEVER_AT)):
            self.changed_at = max(self.changed_at, heard_at)
        if known.lifts:
            items.pop(known.item_id, None)
        else:
            at = max(known.at, items.pop(known.item_id, known.at))
            items[known.item_id] = at
            while len(items) > MAX_OF_A_TYPE:
                del items[min(items, key=items.__getitem__)]
        self.version += 1


class KnownEvents:
    """The events of users, in this process."""

    def __init__(self, store: EventStore, *, keys: UserKeys, clock: Clock, max_users: int = MAX_USERS) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._max_users = max_users
        self._users: OrderedDict[UserPrefix, UserEvents] = OrderedDict()
        self._loading: dict[UserPrefix, asyncio.Task[None]] = {}
        self._lately: OrderedDict[UserPrefix, float] = OrderedDict()
        self._changes = 0
        self._loads = 0

    def __len__(self) -> int:
        """Users whose events are here."""
        return len(self._users)

    def prefix(self, owner: str) -> UserPrefix:
        """What names a user here."""
        return self._keys.prefix(owner)

    def version(self, user_prefix: UserPrefix) -> int:
        """Changes with every event of the user; -1 while they are not here."""
        found = self._users.get(user_prefix)
        return -1 if found is None else found.version

    def here(self, user_id: str) -> UserEvents | None:
        """The user's events; None while they are not loaded."""
        user_prefix = self._keys.prefix(user_id)
        found = self._users.get(user_prefix)
        if found is not None:
            self._users.move_to_end(user_prefix)
        return found

    def changed_at(self, user_prefix: UserPrefix) -> float | None:
        """See `Liveness.changed_at`."""
        found = self._users.get(user_prefix)
        return None if found is None else found.changed_at

    async def learn(self, user_prefixes: Sequence[UserPrefix]) -> None:
        """See `Liveness.learn`; one look-up for each user who is not here."""
        unknown = [one for one in dict.fromkeys(user_prefixes) if one not in self._users]
        for first in range(0, len(unknown), LEARNT_AT_ONCE):
            some = unknown[first : first + LEARNT_AT_ONCE]
            await asyncio.gather(*map(self._loaded, some))
            if any(one not in self._users for one in some):
                raise SharedStateUnavailable("what users did cannot be looked up")

    async def load(self, user_id: str, within_seconds: float) -> None:
        """Have the user's events here, as far as the time allows; never fails."""
        user_prefix = self._keys.prefix(user_id)
        if user_prefix in self._users:
            return
        await asyncio.wait({self._loaded(user_prefix)}, timeout=max(0.0, min(within_seconds, LOAD_SECONDS)))

    def _loaded(self, user_prefix: UserPrefix) -> "asyncio.Task[None]":
        """Done when the user's events are here, or cannot be looked up."""
        task = self._loading.get(user_prefix)
        if task is None:
            task = self._loading[user_prefix] = asyncio.create_task(self._load(user_prefix))
            task.add_done_callback(lambda _: self._loading.pop(user_prefix, None))
        return task

    def heard(self, user_prefix: UserPrefix, events: Iterable[KnownEvent]) -> None:
        """A store tells what has happened; users that are not here are loaded when they are asked for."""
        self._changes += 1
        now = self._clock.time()
        found = self._users.get(user_prefix)
        for one in events:
            if found is not None:
                found.add(one, now)
            elif not one.lifts and now - self._lately.get(user_prefix, NEVER) > SAME_SECONDS:
                self._lately[user_prefix] = now
                self._lately.move_to_end(user_prefix)
                if len(self._lately) > MAX_LATELY:
                    self._lately.popitem(last=False)

    def forget_all(self) -> None:
        """Something may have been missed: load everybody anew."""
        self._changes += 1
        self._users.clear()

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`."""
        self._changes += 1
        self._users.pop(user_prefix, None)
        self._lately.pop(user_prefix, None)

    async def _load(self, user_prefix: UserPrefix) -> None:
        # What arrives while the look-up is on its way may be missing in its answer: look again.
        for _ in range(3):
            changes = self._changes
            try:
                known = await self._store.known(user_prefix)
            except SharedStateUnavailable:
                return
            if changes == self._changes:
                break
        # Never a version that an answer of before may hold.
        self._loads += 1
        found = UserEvents(version=self._loads << 20)
        now = self._clock.time()
        for one in known:
            found.add(one, min(one.at, now))
        # An event may have been dated back.
        found.changed_at = max(found.changed_at, self._lately.get(user_prefix, NEVER))
        self._users[user_prefix] = found
        while len(self._users) > self._max_users:
            self._users.popitem(last=False)


class OwnDoings:
    """What users did, as answers ask about it, and which items it keeps out of the user's answers.

    Args:
        known: What users did.
        exclude_after: Event type, and for how many seconds its item is in no answer.
        clock: Its Unix time tells an event's age.
    """

    def __init__(self, known: KnownEvents, exclude_after: Mapping[str, float], clock: Clock) -> None:
        self._known = known
        self._exclude_after = {kind: seconds for kind, seconds in exclude_after.items() if seconds > 0}
        self._clock = clock

    def items(self, user_id: str) -> frozenset[str]:
        """Items that are in none of the user's answers now; none for a user whose events are not here."""
        found = self._known.here(user_id) if user_id else None
        if found is None:
            return frozenset()
        now = self._clock.time()
        return frozenset(
            item_id
            for kind, seconds in self._exclude_after.items()
            for item_id, at in found.by_type.get(kind, {}).items()
            if item_id and now - at < seconds
        )

    def interactions(self, user_id: str) -> Sequence[tuple[str, str]]:
        """Item and event type of what the user did, the oldest first; none for a user whose events are not here."""
        found = self._known.here(user_id) if user_id else None
        if found is None:
            return ()
        at = [(moment, item, kind) for kind, items in found.by_type.items() for item, moment in items.items()]
        return [(item, kind) for _, item, kind in sorted(at)]

    def latest(self, user_id: str, event_type: str) -> Sequence[str]:
        """Items of the user's events of this type, the latest first; types are compared without regard to case."""
        found = self._known.here(user_id) if user_id else None
        if found is None:
            return ()
        wanted = event_type.casefold()
        at: dict[str, float] = {}
        for kind, items in found.by_type.items():
            if kind.casefold() == wanted:
                for item, moment in items.items():
                    at[item] = max(moment, at.get(item, moment))
        # Of two of one moment the one that was known later.
        return sorted(at, key=at.__getitem__)[::-1]

    def by_type(self, user_id: str) -> Mapping[str, Mapping[str, float]] | None:
        """For each event type its items, and when in Unix seconds; None while the user's events are not here."""
        found = self._known.here(user_id)
        return None if found is None else found.by_type

    def version(self, user_id: str) -> int:
        """Changes with every event of the user; -1 while they are not here."""
        found = self._known.here(user_id)
        return -1 if found is None else found.version

    async def load(self, user_id: str, within_seconds: float) -> None:
        """Have the user's events here, as far as the time allows."""
        await self._known.load(user_id, within_seconds)
