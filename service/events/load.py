"""Takes in the events of files; a second run accepts nothing twice, and one that was interrupted goes on.

What was read of each file is noted in the store after each portion. A portion that was accepted and not noted is read
again: its events have the same ids, and so are duplicates.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, TypeVar

import orjson

from service.clock import Clock
from service.errors import SharedStateFull, SharedStateUnavailable, SharedStateUnsafe
from service.events.event import Event, EventProblem
from service.events.intake import Intake
from service.events.ports import LoadNotes
from service.events.reading import EventFiles, Outcome, Record
from service.files.stored import StoredFile

_Result = TypeVar("_Result")

PORTION: Final = 500
"""Records between two notes."""

MAX_PROBLEMS: Final = 10
"""Of those that are named."""

SEND_SECONDS: Final = 14 * 86_400.0
"""An older event is known here and not sent on. CloudWatch counts none of more than 14 days, and history belongs into
an import job, which costs less. Source: Amazon Personalize developer guide, Publishing metrics to CloudWatch."""

ROOM_SECONDS: Final = 2.0
"""Between two looks whether a full store has room."""

MAX_ABSENCE_SECONDS: Final = 60.0
"""A store that does not answer for so long ends the load."""


Records = Generator[Record, None, None]


@dataclass(slots=True)
class EventLoadReport:
    """What became of the events of all files."""

    files: int = 0
    files_before: int = 0
    """Files that an earlier run had read to their end."""

    records_before: int = 0
    """Records of the other files that an earlier run had read."""

    accepted: int = 0
    duplicate: int = 0
    ignored: int = 0
    rejected: int = 0
    known_only: int = 0
    """Of the new ones, those that are too old to be sent on."""

    problems: list[str] = field(default_factory=list)
    """The first ones, with their places."""


@dataclass(frozen=True, slots=True)
class LoadTerms:
    """What the operator wants of a load."""

    send_seconds: float = SEND_SECONDS
    """Events that are older are not sent on."""

    anew: bool = False
    """Read files that were read before."""


class EventLoad:
    """One run of the command.

    Args:
        files: Reads them.
        intake: Keeps the events.
        notes: Remembers what was read.
        clock: Its Unix time tells an event's age.
        on_progress: Called with the report and the number of the file that is being read.
    """

    def __init__(
        self,
        files: EventFiles,
        *,
        intake: Intake,
        notes: LoadNotes,
        clock: Clock,
        terms: LoadTerms,
        on_progress: Callable[[EventLoadReport, int], None] = lambda _, __: None,
    ) -> None:
        self._files = files
        self._intake = intake
        self._notes = notes
        self._clock = clock
        self._terms = terms
        self._on_progress = on_progress
        self.report = EventLoadReport()

    async def run(self, files: Sequence[StoredFile]) -> EventLoadReport:
        """Take in the files, in this order.

        Raises:
            ConfigurationError: A file cannot be read; what stands before it is taken in and noted.
            SharedStateUnavailable: The store is away for `MAX_ABSENCE_SECONDS`; the same.
        """
        for number, file in enumerate(files):
            self._on_progress(self.report, number)
            await self._load(file, number)
        return self.report

    async def _load(self, file: StoredFile, file_number: int) -> None:
        noted = None if self._terms.anew else await self._patiently(lambda: self._notes.noted(file.url))
        done, is_whole = 0, False
        if noted is not None and (found := orjson.loads(noted))[0] == file.version:
            _, done, is_whole = found
        if is_whole:
            self.report.files_before += 1
            return
        self.report.files += 1
        self.report.records_before += done
        records = self._files.records(file)
        try:
            while portion := await asyncio.to_thread(_portion, records, done):
                await self._take(file, portion)
                done = portion[-1].number
                await self._note(file, done, is_whole=False)
                self._on_progress(self.report, file_number)
        finally:
            # It may wait for S3, too.
            await asyncio.to_thread(records.close)
        await self._note(file, done, is_whole=True)

    async def _take(self, file: StoredFile, portion: Sequence[Record]) -> None:
        now = self._clock.time()
        outcomes: list[Outcome] = []
        for record in portion:
            for one in record.outcomes:
                if isinstance(one, EventProblem) and len(self.report.problems) < MAX_PROBLEMS:
                    self.report.problems.append(f"{file.url}, {record.place}: {one}")
                is_old = isinstance(one, Event) and now - one.sent_at > self._terms.send_seconds
                outcomes.append(replace(one, known_only=True) if is_old and isinstance(one, Event) else one)
        taken = await self._patiently(lambda: self._intake.take(outcomes))
        self.report.accepted += taken.accepted
        self.report.duplicate += taken.duplicate
        self.report.ignored += taken.ignored
        self.report.rejected += len(taken.rejected)
        self.report.known_only += taken.known_only

    async def _note(self, file: StoredFile, done: int, *, is_whole: bool) -> None:
        note = orjson.dumps([file.version, done, is_whole])
        await self._patiently(lambda: self._notes.note(file.url, note))

    async def _patiently(self, ask: Callable[[], Awaitable[_Result]]) -> _Result:
        """Wait for room in a full store as long as it takes, and for one that is away for a minute."""
        away_since: float | None = None
        while True:
            try:
                return await ask()
            except SharedStateFull:
                away_since = None
            except SharedStateUnsafe:
                raise
            except SharedStateUnavailable:
                away_since = self._clock.monotonic() if away_since is None else away_since
                if self._clock.monotonic() - away_since > MAX_ABSENCE_SECONDS:
                    raise
            await asyncio.sleep(ROOM_SECONDS)


def _portion(records: Records, done: int) -> list[Record]:
    """The next records behind those that are done."""
    return list(islice((record for record in records if record.number > done), PORTION))
