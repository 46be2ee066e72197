"""A whole prewarm: look who has no list, say how long it will take, fetch, and say what came of it."""

import asyncio
import datetime as dt
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from tqdm import tqdm

from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.sends.ports import ListMaker, PrewarmReport, PrewarmTerms
from service.sends.prewarm.users_file import Findings, UsersFile, UsersFileError

EXIT_DONE: Final = 0
EXIT_MISSING: Final = 1
EXIT_UNUSABLE: Final = 2
EXIT_LINES_LEFT_OUT: Final = 3

LOOKED_UP_AT_ONCE: Final = 1_000
"""Users read and looked up in one step."""

ROUND_SECONDS: Final = 10.0
"""How often it is reckoned again when all will be done."""

REMEMBERED_ROUNDS: Final = 6
"""The rate of the last minute tells when all will be done."""

IN_HAND_SECONDS: Final = 3 * ROUND_SECONDS
"""Users in hand: as many as can be fetched in this time."""

ATTEMPTS: Final = 3
"""Transactions for a user whose first ones bring no list."""

FAILURES_TO_STOP: Final = 100
"""Transactions in a row without a list. While Personalize is down one is tried every two seconds."""

RETRY_SECONDS: Final = 1.0
"""Between two looks whether the store is back, or whether somebody can be fetched now."""

LINE_SECONDS: Final = 30.0
"""Between two lines about the progress where there is no terminal for a bar."""


@dataclass(slots=True)
class Totals:
    """What a prewarm has come to."""

    missing: int = 0
    done: int = 0
    fetched: int = 0
    failed: Counter[str] = field(default_factory=Counter)


class Prewarm:
    """One run over one file.

    Args:
        maker: Fetches.
        file: Who is to have a list.
        terms: Share of the budget, length of the lists, age.
        by: When they are wanted.
        clock: Its Unix time is compared with `by`.
        say: Takes a line for people.
    """

    def __init__(
        self,
        maker: ListMaker,
        file: UsersFile,
        terms: PrewarmTerms,
        *,
        clock: Clock,
        by: dt.datetime | None = None,
        say: Callable[[str], None] = lambda text: tqdm.write(text, file=sys.stderr),
    ) -> None:
        self._maker = maker
        self._file = file
        self._terms = terms
        self._by = by
        self._clock = clock
        self._say = say
        self._findings = Findings()
        self._totals = Totals()
        self._rounds: deque[tuple[float, int]] = deque(maxlen=REMEMBERED_ROUNDS + 1)
        self._in_time: bool | None = None
        self._too_late = False
        self._failed_in_a_row = 0
        self._said_at = float("-inf")

    async def run(self) -> int:
        """Fetch all lists that are missing; the exit status.

        Raises:
            UsersFileError: The file cannot be used.
            SharedStateUnavailable: Nobody answered at the start. Later it is waited for.
        """
        made = await self._survey()
        self._forecast(made)
        if self._totals.missing:
            await self._fetch(made.tps)
        return self._summary()

    def stopped(self) -> None:
        """Say what was done so far."""
        self._say(f"stopped: {self._totals.fetched:,} lists fetched; the same command goes on from here")

    async def _survey(self) -> PrewarmReport:
        """Read the whole file and look who has no list."""
        users, named, last = self._file.users(self._findings), 0, PrewarmReport()
        with tqdm(desc="looking up", unit=" users", disable=None) as bar:
            while chunk := _some(users, LOOKED_UP_AT_ONCE):
                # Only the first answer is not waited for: it may be the address that is wrong.
                last = await (self._make(chunk, 0.0) if named else self._maker.make(chunk, self._terms, seconds=0))
                named += len(chunk)
                self._totals.missing += len(last.left)
                bar.update(len(chunk))
        for sentence in self._findings.words():
            self._say(sentence)
        if not named:
            raise UsersFileError(f"{self._file.path}: names no user")
        self._say(f"{named:,} users, {named - self._totals.missing:,} have a list, {self._totals.missing:,} to fetch")
        return last

    def _forecast(self, made: PrewarmReport) -> None:
        if not self._totals.missing:
            return
        rate = made.tps * self._terms.spare
        seconds = self._totals.missing / rate
        self._say(f"at most {rate:.3g} a second: ready at {self._moment(seconds)} at the earliest")
        keeps = max(made.fresh_seconds, self._terms.max_age_seconds)
        if seconds > made.fresh_seconds:
            self._say(
                f"lists are fresh for {made.fresh_seconds:g} s: the first of them will be stale before the last is "
                f"fetched; a longer CACHE_FRESH_SECONDS keeps them, and --max-age above {keeps:g} a rerun from "
                "fetching them again"
            )
        self._compare(rate)

    def _compare(self, rate: float) -> None:
        """Say whether --by can be met, when that has changed."""
        if self._by is None:
            return
        missing = self._totals.missing - self._totals.done
        left_seconds = self._by.timestamp() - self._clock.time()
        if left_seconds <= 0:
            if missing and not self._too_late:
                self._too_late = True
                self._say(f"--by has come with {missing:,} lists missing; going on in slots that nobody else wants")
            return
        in_time = missing <= rate * left_seconds
        if in_time != self._in_time:
            if not in_time:
                short = missing - int(rate * left_seconds)
                self._say(f"--by {self._by:%H:%M:%S} cannot be met: about {short:,} lists will be missing then")
            else:
                self._say(f"in time for --by {self._by:%H:%M:%S}" + (" again" if self._in_time is False else ""))
            self._in_time = in_time

    async def _fetch(self, tps: float) -> None:
        users: Iterator[str] | None = self._file.users()
        in_hand: dict[str, int] = {}
        most = max(LOOKED_UP_AT_ONCE, int(tps * IN_HAND_SECONDS))
        self._rounds.append((self._clock.monotonic(), 0))
        with tqdm(total=self._totals.missing, desc="prewarm", unit=" lists", disable=None) as bar:

            def done() -> None:
                self._totals.done += 1
                bar.update()

            while True:
                while users is not None and len(in_hand) < most:
                    chunk = _some(users, LOOKED_UP_AT_ONCE)
                    if not chunk:
                        users = None
                    looked = await self._make([user for user in chunk if user not in in_hand], 0.0)
                    in_hand.update(dict.fromkeys(looked.left, 0))
                if users is None:
                    # Others may have fetched some since the survey, and lists grow old.
                    self._totals.missing = bar.total = (
                        self._totals.done + sum(self._totals.failed.values()) + len(in_hand)
                    )
                if not in_hand:
                    return
                made = await self._make(list(in_hand), ROUND_SECONDS, done)
                before, in_hand = in_hand, {user: in_hand[user] for user in made.left}
                self._note_failures(made, before, in_hand)
                if self._failed_in_a_row >= FAILURES_TO_STOP:
                    reason = ", ".join(sorted(set(made.failed.values())))
                    self._say(f"stopped: {self._failed_in_a_row} transactions in a row brought no list ({reason})")
                    return
                self._tell()
                if not made.fetched and not made.kept:
                    await asyncio.sleep(RETRY_SECONDS)

    def _note_failures(self, made: PrewarmReport, before: dict[str, int], in_hand: dict[str, int]) -> None:
        self._totals.fetched += made.fetched
        self._failed_in_a_row = len(made.failed) + (0 if made.fetched else self._failed_in_a_row)
        for user, reason in made.failed.items():
            attempts = before[user] + 1
            if attempts < ATTEMPTS:
                in_hand[user] = attempts
            else:
                self._totals.failed[reason] += 1

    async def _make(
        self, users: Sequence[str], seconds: float, on_done: Callable[[], None] = lambda: None
    ) -> PrewarmReport:
        """As the maker; waits for the store if need be."""
        waiting = False
        while True:
            try:
                made = await self._maker.make(users, self._terms, seconds=seconds, on_done=on_done)
            except SharedStateUnavailable as error:
                if not waiting:
                    self._say(f"waiting: {error}")
                waiting = True
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if waiting:
                self._say("going on")
            return made

    def _tell(self) -> None:
        now = self._clock.monotonic()
        self._rounds.append((now, self._totals.done))
        (first_at, first_done), (last_at, last_done) = self._rounds[0], self._rounds[-1]
        rate = (last_done - first_done) / max(last_at - first_at, 0.001)
        self._compare(rate)
        if not sys.stderr.isatty() and now - self._said_at >= LINE_SECONDS:
            self._said_at = now
            missing = self._totals.missing - self._totals.done
            ready = self._moment(missing / rate) if rate else "nobody knows when"
            self._say(f"{self._totals.done:,} of {self._totals.missing:,}, {rate:.3g} a second, ready at about {ready}")

    def _summary(self) -> int:
        totals = self._totals
        missing = max(0, totals.missing - totals.done)
        had = max(0, totals.done - totals.fetched)
        others = f", {had:,} by others meanwhile" if had else ""
        self._say(f"done: {totals.fetched:,} lists fetched{others}, {missing:,} missing")
        for reason, count in totals.failed.items():
            self._say(f"{count:,} without a list after {ATTEMPTS} transactions: {reason}")
        if missing or self._too_late:
            return EXIT_MISSING
        return EXIT_LINES_LEFT_OUT if self._findings.faults else EXIT_DONE

    def _moment(self, seconds: float) -> str:
        then = dt.datetime.fromtimestamp(self._clock.time() + seconds).astimezone()
        days = (then.date() - dt.datetime.fromtimestamp(self._clock.time()).astimezone().date()).days
        return f"{then:%Y-%m-%d %H:%M:%S}" if days else f"{then:%H:%M:%S}"


def _some(users: Iterator[str], count: int) -> list[str]:
    # On the event loop: it takes some milliseconds, and nobody is answered here.
    return list(dict.fromkeys(islice(users, count)))
