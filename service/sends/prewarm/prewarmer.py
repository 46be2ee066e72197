"""Lists fetched before a send, in the slots that no caller wants."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from service.answers.arm import Arm
from service.answers.placement import Placement
from service.budget.ports import Lane
from service.clock import Clock
from service.errors import BudgetExhausted, InvalidQuery
from service.lists.keys import UserKey
from service.lists.lists import Lists
from service.models import ListRequest, RecommendationQuery, RequestKind
from service.personalize.campaign import PersonalizeCampaign
from service.sends.ports import PrewarmReport, PrewarmTerms

MAX_LOOKED_UP: Final = 500
"""Users whose lists are looked at in one step; some milliseconds."""

MAX_IN_FLIGHT: Final = 256
"""Prewarm transactions under way at a time. At 0.1 s each they are the TPS of a whole account."""

CATCH_UP_SECONDS: Final = 1.0
"""How much later a share may be spent that live traffic kept from being spent."""

MAX_SHARE_SECONDS: Final = 86_400.0
"""Longest time between two slots of a share, however small."""

BREAKER_PAUSE_SECONDS: Final = 1.0
"""While Personalize is left to recover, its slots are too."""


class Prewarmer:
    """A `ListMaker` that spends the budget of this process, or the one that it shares.

    Args:
        clock: Shares and pauses are kept on its monotonic time.
        lists: Where the lists are kept.
        campaign: Where they come from.
        request_of: The list of a user, or of an item, with so many results.
        key_of: Its key.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        lists: Lists,
        campaign: PersonalizeCampaign,
        request_of: Callable[[str, int], ListRequest],
        key_of: Callable[[ListRequest], UserKey],
    ) -> None:
        self._clock = clock
        self._lists = lists
        self._campaign = campaign
        self._request_of = request_of
        self._key_of = key_of
        self._turn = asyncio.Lock()
        self._claims = 0
        self._claimed = asyncio.Event()
        self._shared_from = float("-inf")
        self._paused_until = float("-inf")

    async def make(
        self, users: Sequence[str], terms: PrewarmTerms, *, seconds: float, on_done: Callable[[], None] = lambda: None
    ) -> PrewarmReport:
        """See `ListMaker.make`."""
        now = self._clock.monotonic()
        until = now + seconds
        # Nothing is caught up with of the time before.
        self._shared_from = max(self._shared_from, now - self._share_seconds(terms.spare))
        report = PrewarmReport(tps=self._campaign.budget.tps_in_use, fresh_seconds=self._lists.fresh_seconds)
        waiting: deque[str] = deque()
        for first in range(0, len(users), MAX_LOOKED_UP):
            waiting += await self._without_list(users[first : first + MAX_LOOKED_UP], terms)
        report.kept = len(users) - len(waiting)
        for _ in range(report.kept):
            on_done()
        if seconds > 0:
            workers_wanted = min(len(waiting), MAX_IN_FLIGHT)
            async with asyncio.TaskGroup() as workers:
                for _ in range(workers_wanted):
                    workers.create_task(self._work(waiting, terms, until, report, on_done))
        report.left += waiting
        return report

    async def _without_list(self, users: Sequence[str], terms: PrewarmTerms) -> list[str]:
        keys = [self._key_of(self._request_of(user, 1)) for user in users]
        wanted = await self._lists.wanted(keys, terms.max_age_seconds, only_kept=terms.only_kept)
        return [user for user, is_wanted in zip(users, wanted, strict=True) if is_wanted]

    async def _work(
        self,
        waiting: deque[str],
        terms: PrewarmTerms,
        until: float,
        report: PrewarmReport,
        on_done: Callable[[], None],
    ) -> None:
        slot_at: float | None = None
        while waiting:
            if slot_at is None or self._campaign.budget.is_late(slot_at):
                try:
                    slot_at = await self._slot(waiting, terms.spare, until)
                except BudgetExhausted:
                    return
            if not waiting:
                return
            user = waiting.popleft()
            request = self._request_of(user, self._campaign.length.to_fetch(terms.num_results))
            outcome, spent = await self._campaign.flights.prewarm(self._key_of(request), request, slot_at, renew=False)
            if spent:
                slot_at = None
            if outcome.source == "personalize":
                report.fetched += 1
            elif outcome.source == "cache":
                report.kept += 1
            elif spent:
                report.failed[user] = outcome.degraded_reason or "error"
                continue
            else:
                report.left.append(user)
                if outcome.degraded_reason == "breaker":
                    self._paused_until = self._clock.monotonic() + BREAKER_PAUSE_SECONDS
                continue
            on_done()

    def _share_seconds(self, spare: float) -> float:
        """Between two slots of this share. It belongs to one request, and must not hold up the next one's."""
        return min(self._campaign.budget.slot_seconds / spare, MAX_SHARE_SECONDS)

    async def _slot(self, waiting: deque[str], spare: float, until: float) -> float:
        """When the slot began that is ours, within the share of the budget."""
        async with self._turn:
            await self._may_claim(waiting, spare, until)
            self._claims += 1
        try:
            return await self._campaign.budget.acquire(Lane.PREWARM, until)
        finally:
            self._claims -= 1
            self._claimed.set()

    async def _may_claim(self, waiting: deque[str], spare: float, until: float) -> None:
        budget = self._campaign.budget
        while waiting:
            now = self._clock.monotonic()
            next_at = self._shared_from + self._share_seconds(spare)
            wait = max(next_at, self._paused_until) - now
            if now >= until or now + wait >= until:
                break
            if wait > 0:
                await asyncio.sleep(wait)
            elif self._claims >= budget.lower_callers:
                # More would get no more.
                self._claimed.clear()
                await self._claimed.wait()
            else:
                self._shared_from = max(next_at, now - CATCH_UP_SECONDS)
                return
        raise BudgetExhausted


class PlacementPrewarmer:
    """An `ItemListMaker` for one placement: each user's list comes from the user's arm, an item's from every arm.

    Names are user ids; for a placement whose lists are kept for items, they are item ids. `refusal_of` says which
    placements have no lists that could be fetched before a send.
    """

    def __init__(self, placement: Placement, clock: Clock) -> None:
        self._placement = placement
        self._makers = {
            arm: Prewarmer(
                clock=clock,
                lists=arm.lists,
                campaign=arm.campaign,
                request_of=partial(_request_of, placement, arm),
                key_of=arm.key_of_request,
            )
            for arm in placement.arms
            if arm.campaign is not None
        }

    def refusal_of(self, *, items: bool) -> str | None:
        """Why the lists of items, or else of users, cannot be fetched before a send; None if they can."""
        placement = self._placement
        if placement.kind == "ranking":
            return f"{placement.name} is a ranking: its lists depend on the items of each call"
        if placement.kind == "recommendations":
            return f"{placement.name} keeps its lists per user: name users" if items else None
        if placement.arms[0].lacks(query_for(placement, "item")) is not None:
            return (
                f"{placement.name} needs the user too (needs_user): its lists are kept per user and item, and none can"
                " be fetched before somebody asks"
            )
        return None if items else f"{placement.name} keeps its lists per item: name items"

    async def recent_items(self) -> list[str]:
        """See `ItemListMaker.recent_items`; those of this process."""
        return self._placement.asked_items.lately()

    async def make(
        self, users: Sequence[str], terms: PrewarmTerms, *, seconds: float, on_done: Callable[[], None] = lambda: None
    ) -> PrewarmReport:
        """See `ListMaker.make`; users of a holdout need no list."""
        if self._placement.kind == "similar-items" and len(self._makers) > 1:
            return await self._make_in_every_arm(users, terms, seconds, on_done)
        by_arm: dict[Arm, list[str]] = {arm: [] for arm in self._makers}
        held_out = 0
        for user in users:
            arm = self._placement.arm_of(query_for(self._placement, user))
            if arm in by_arm:
                by_arm[arm].append(user)
            else:
                held_out += 1
                on_done()
        reports = await asyncio.gather(
            *(
                self._makers[arm].make(names, terms, seconds=seconds, on_done=on_done)
                for arm, names in by_arm.items()
                if names or arm is self._placement.arms[0]
            )
        )
        report = PrewarmReport(kept=held_out)
        for one in reports:
            report.fetched += one.fetched
            report.kept += one.kept
            report.left += one.left
            report.failed.update(one.failed)
            report.tps += one.tps
            report.fresh_seconds = one.fresh_seconds
        return report

    async def _make_in_every_arm(
        self, items: Sequence[str], terms: PrewarmTerms, seconds: float, on_done: Callable[[], None]
    ) -> PrewarmReport:
        """An item is done when every arm has its list: callers of all arms ask for it."""
        reports = await asyncio.gather(*(maker.make(items, terms, seconds=seconds) for maker in self._makers.values()))
        failed = {name: reason for one in reports for name, reason in one.failed.items()}
        left = dict.fromkeys(name for one in reports for name in one.left if name not in failed)
        done = len(items) - len(failed) - len(left)
        for _ in range(done):
            on_done()
        fetched = min(done, sum(one.fetched for one in reports))
        return PrewarmReport(
            fetched=fetched,
            kept=done - fetched,
            left=list(left),
            failed=failed,
            # Each item takes a slot of every arm, so the slowest says how long it takes.
            tps=min(one.tps for one in reports),
            fresh_seconds=min(one.fresh_seconds for one in reports),
        )


def prewarmed_placement(kinds: Mapping[str, RequestKind], name: str, *, items: bool) -> str:
    """The placement of this name; for an empty name the first one that keeps lists of items, or else of users.

    Args:
        kinds: Of all placements, by name.
        name: As the caller wrote it.
        items: Whether the lists of items are wanted.

    Raises:
        InvalidQuery: There is none.
    """
    if name in kinds:
        return name
    wanted = "similar-items" if items else "recommendations"
    found = next((one for one, kind in kinds.items() if kind == wanted), None)
    if name or found is None:
        what = f"no placement {name!r}" if name else f"no placement of kind {wanted}"
        there = f"there are: {', '.join(kinds)}"
        raise InvalidQuery("placement", f"{what}; {there}", f"no such placement; {there}")
    return found


def query_for(placement: Placement, name: str) -> RecommendationQuery:
    """The query that a prewarmed list is to answer."""
    if placement.kind == "similar-items":
        return RecommendationQuery(user_id="", num_results=1, kind=placement.kind, item_id=name)
    return RecommendationQuery(user_id=name, num_results=1, kind=placement.kind)


def _request_of(placement: Placement, arm: Arm, name: str, num_results: int) -> ListRequest:
    return replace(arm.request_of(query_for(placement, name)), num_results=num_results)
