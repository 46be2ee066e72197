"""A whole prewarm: look up who has no list, say how long it will take, fetch, and say what came of it."""

import asyncio
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final

from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.sends.display import Display, Track
from service.sends.ports import ListMaker, Names, PrewarmReport, PrewarmTerms
from service.sends.prewarm.deadline import Deadline
from service.sends.prewarm.totals import RecentRate, Totals
from service.sends.users.findings import Findings

EXIT_DONE: Final = 0
"""Every user of the file has a list."""

EXIT_MISSING: Final = 1
"""Some users have none, or had none when the lists were wanted."""

EXIT_LINES_LEFT_OUT: Final = 3
"""Every user has a list, and some lines of the file named no user."""

MAX_LOOKED_UP: Final = 1_000
"""Users read and looked up in one step."""

ROUND_SECONDS: Final = 10.0
"""Time between two estimates of when all will be done."""

IN_HAND_SECONDS: Final = 3 * ROUND_SECONDS
"""Users in hand: as many as can be fetched in this time."""

MAX_ATTEMPTS: Final = 3
"""Transactions for a user whose first ones bring no list."""

MAX_FAILURES_IN_A_ROW: Final = 100
"""Transactions in a row without a list before the run stops. While Personalize is down, one is tried every 2 s."""

RETRY_SECONDS: Final = 1.0
"""Between two looks whether the store is back, or whether a list can be fetched now."""


class Prewarm:
    """One run over all users of some files, or over some items.

    Args:
        maker: Fetches.
        users: Who is to have a list, or which items.
        terms: Share of the budget, length of the lists, age.
        clock: Its Unix time is compared with `by`.
        display: Where people watch.
        by: When the lists are wanted.
    """

    def __init__(
        self,
        maker: ListMaker,
        users: Names,
        terms: PrewarmTerms,
        *,
        clock: Clock,
        display: Display,
        by: dt.datetime | None = None,
    ) -> None:
        self._maker = maker
        self._users = users
        self._terms = terms
        self._clock = clock
        self._display = display
        self._deadline = Deadline(by, clock)
        self._findings = Findings()
        self._noun = "items" if terms.items else "users"
        self._totals = Totals()
        self._failures_in_a_row = 0

    async def run(self) -> int:
        """Fetch all lists that are missing; the exit status.

        Raises:
            UsersFileError: A file cannot be used.
            SharedStateUnavailable: Nobody answered at the start. Later it is waited for.
        """
        report = await self._survey()
        self._forecast(report)
        if self._totals.wanted:
            await self._fetch(report.tps)
        return self._summary()

    def stopped(self) -> None:
        """Say what was done so far."""
        self._display.say(f"stopped: {self._totals.fetched:,} lists fetched; the same command goes on from here")

    async def _survey(self) -> PrewarmReport:
        """Read all files and look up who has no list."""
        users, named, report = self._users.users(self._findings), 0, PrewarmReport()
        with self._display.track("looking up", self._noun) as track:
            while chunk := await self._next(users):
                # The first answer is not waited for: it may be the address that is wrong.
                report = await (self._make(chunk, 0.0) if named else self._maker.make(chunk, self._terms, seconds=0))
                named += len(chunk)
                self._totals.wanted += len(report.left)
                track.advance(len(chunk))
                self._display.mention(partial(_looked_up, named, self._noun))
        for sentence in self._findings.words():
            self._display.say(sentence)
        if not named:
            raise self._findings.nobody(self._users.name, self._noun.removesuffix("s"))
        wanted = self._totals.wanted
        self._display.say(f"{named:,} {self._noun}, {named - wanted:,} have a list, {wanted:,} to fetch")
        return report

    def _forecast(self, report: PrewarmReport) -> None:
        if not self._totals.wanted:
            return
        rate = report.tps * self._terms.spare
        seconds = self._totals.wanted / rate
        self._display.say(f"at most {rate:.3g} a second: ready at {self._deadline.words(seconds)} at the earliest")
        keeps = max(report.fresh_seconds, self._terms.max_age_seconds)
        if seconds > report.fresh_seconds:
            self._display.say(
                f"lists are fresh for {report.fresh_seconds:g} s: the first of them will be stale before the last is "
                f"fetched; a longer CACHE_FRESH_SECONDS keeps them, and --max-age above {keeps:g} a rerun from "
                "fetching them again"
            )
        self._compare(rate)

    def _compare(self, rate: float) -> None:
        """Say whether the lists will be there in time, when that has changed."""
        if sentence := self._deadline.outlook(self._totals.missing, rate):
            self._display.say(sentence)

    async def _fetch(self, tps: float) -> None:
        rate = RecentRate(self._clock)
        users: Iterator[str] | None = self._users.users()
        attempts: dict[str, int] = {}
        most_in_hand = max(MAX_LOOKED_UP, int(tps * IN_HAND_SECONDS))
        with self._display.track("prewarm", "lists", self._totals.wanted) as track:
            while True:
                while users is not None and len(attempts) < most_in_hand:
                    users = await self._take_in_hand(users, attempts)
                if users is None:
                    # Others may have fetched some since the survey, and lists grow old.
                    self._totals.wanted = self._totals.done + self._totals.failed.total() + len(attempts)
                    track.expect(self._totals.wanted)
                if not attempts:
                    return
                report = await self._make(list(attempts), ROUND_SECONDS, lambda: self._done(track))
                attempts = self._after_round(report, attempts)
                if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
                    reasons = ", ".join(sorted(set(report.failed.values())))
                    failures = f"{self._failures_in_a_row} transactions in a row brought no list"
                    self._display.say(f"stopped: {failures} ({reasons})")
                    return
                self._mention(rate.after_round(self._totals.done))
                if not report.fetched and not report.kept:
                    await asyncio.sleep(RETRY_SECONDS)

    async def _take_in_hand(self, users: Iterator[str], attempts: dict[str, int]) -> Iterator[str] | None:
        """Add the next users who have no list; the users after them, None if there are none."""
        chunk = await self._next(users)
        if not chunk:
            return None
        report = await self._make([user for user in chunk if user not in attempts], 0.0)
        attempts.update(dict.fromkeys(report.left, 0))
        return users

    async def _next(self, users: Iterator[str]) -> list[str]:
        """The next users, each once; none at the end."""
        if self._users.are_far:
            return await asyncio.to_thread(_some, users)
        # On the event loop: it takes some milliseconds, and nobody is answered here.
        return _some(users)

    def _done(self, track: Track) -> None:
        self._totals.done += 1
        track.advance()

    def _after_round(self, report: PrewarmReport, attempts: dict[str, int]) -> dict[str, int]:
        """Count what a round brought; the transactions spent so far for each user who is still in hand."""
        self._totals.fetched += report.fetched
        self._failures_in_a_row = len(report.failed) + (0 if report.fetched else self._failures_in_a_row)
        still = {user: attempts[user] for user in report.left}
        for user, reason in report.failed.items():
            spent = attempts[user] + 1
            if spent < MAX_ATTEMPTS:
                still[user] = spent
            else:
                self._totals.failed[reason] += 1
        return still

    async def _make(
        self, users: Sequence[str], seconds: float, on_done: Callable[[], None] = lambda: None
    ) -> PrewarmReport:
        """As the maker; waits for the store if need be."""
        waiting = False
        while True:
            try:
                report = await self._maker.make(users, self._terms, seconds=seconds, on_done=on_done)
            except SharedStateUnavailable as error:
                if not waiting:
                    self._display.say(f"waiting: {error}")
                waiting = True
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if waiting:
                self._display.say("going on")
            return report

    def _mention(self, rate: float) -> None:
        self._compare(rate)
        totals = self._totals

        def line() -> str:
            ready = (
                f"ready at about {self._deadline.words(totals.missing / rate)}" if rate else "none in the last minute"
            )
            return f"{totals.done:,} of {totals.wanted:,}, {rate:.3g} a second, {ready}"

        self._display.mention(line)

    def _summary(self) -> int:
        totals = self._totals
        had = max(0, totals.done - totals.fetched)
        others = f", {had:,} by others meanwhile" if had else ""
        self._display.say(f"done: {totals.fetched:,} lists fetched{others}, {totals.missing:,} missing")
        for reason, count in totals.failed.items():
            self._display.say(f"{count:,} without a list after {MAX_ATTEMPTS} transactions: {reason}")
        if totals.missing or self._deadline.missed:
            return EXIT_MISSING
        return EXIT_LINES_LEFT_OUT if self._findings.faults else EXIT_DONE


def _looked_up(count: int, noun: str) -> str:
    return f"looking up: {count:,} {noun}"


def _some(users: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(islice(users, MAX_LOOKED_UP)))
