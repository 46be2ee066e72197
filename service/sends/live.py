"""Lists that what their users did has made due: fetched anew in slots that nobody else wants.

A list that is due and asked for is renewed like any stale one. This is for those whose users are not asking: their next
message then shows what they did. An event does not know whether its user has a list, so that is looked up first.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from service.clock import Clock
from service.constants import MAX_REFRESHES
from service.errors import SharedStateUnavailable
from service.lists.freshness import SETTLING_SECONDS
from service.lists.keys import UserKeys, UserPrefix
from service.sends.ports import ListMaker, PrewarmTerms

MAX_AT_ONCE: Final = 500
"""Users looked up, and perhaps fetched, in one step."""

STEP_SECONDS: Final = 30.0
"""Longest wait of a step for its slots; users left then are renewed when they are asked for."""

_log = structlog.stdlib.get_logger(__name__)


class DueLists:
    """Renews lists in the lowest lane, some seconds after an event; never more at a time than it has slots.

    A list younger than `fresh_seconds` waits for its user to ask: somebody who does something every minute costs no
    more transactions than by the clock.

    Args:
        makers: Of the placements whose lists are users'.
        keys: Makes the users' keys.
        clock: Its monotonic time tells what is due.
        fresh_seconds: `CACHE_FRESH_SECONDS`.
    """

    def __init__(self, makers: Sequence[ListMaker], *, keys: UserKeys, clock: Clock, fresh_seconds: float) -> None:
        self._makers = tuple(makers)
        self._keys = keys
        self._clock = clock
        self._terms = PrewarmTerms(max_age_seconds=fresh_seconds, only_kept=True)
        self._waiting: dict[UserPrefix, tuple[str, float]] = {}
        self._added = asyncio.Event()

    def __len__(self) -> int:
        """Users who wait."""
        return len(self._waiting)

    def add(self, user_id: str) -> None:
        """The user has done something. Never fails: a user for whom there is no room is renewed when asked for."""
        if len(self._waiting) < MAX_REFRESHES:
            # The latest event counts, so it goes to the end.
            user_prefix = self._keys.prefix(user_id)
            self._waiting.pop(user_prefix, None)
            self._waiting[user_prefix] = (user_id, self._clock.monotonic() + SETTLING_SECONDS)
            self._added.set()

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`."""
        self._waiting.pop(user_prefix, None)

    async def run(self) -> None:
        """Renew until it is cancelled."""
        while True:
            self._added.clear()
            if not self._waiting:
                await self._added.wait()
            _, due_at = next(iter(self._waiting.values()))
            await asyncio.sleep(max(0.0, due_at - self._clock.monotonic()))
            users = self._due()
            if users:
                await self._renew(users)

    def _due(self) -> list[str]:
        now = self._clock.monotonic()
        due = [(prefix, user) for prefix, (user, at) in self._waiting.items() if at <= now][:MAX_AT_ONCE]
        for user_prefix, _ in due:
            del self._waiting[user_prefix]
        return [user for _, user in due]

    async def _renew(self, users: Sequence[str]) -> None:
        for maker in self._makers:
            try:
                await maker.make(users, self._terms, seconds=STEP_SECONDS)
            except SharedStateUnavailable:
                return
            except Exception:  # noqa: BLE001  # a bug of ours: the next step may work, the log gets the traceback
                _log.exception("due_lists_failed")
