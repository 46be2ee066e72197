"""A load of files, portion by portion: what is noted, what is counted, and what is waited for. The time is virtual."""

import asyncio
from collections.abc import Callable, Generator, Sequence
from typing import Any, cast

import orjson
import pytest

from service.errors import SharedStateFull, SharedStateUnavailable, SharedStateUnsafe
from service.events.braze import Ignored
from service.events.event import Event, EventProblem
from service.events.intake import Intake, IntakeReport
from service.events.load import MAX_PROBLEMS, PORTION, SEND_SECONDS, EventLoad, EventLoadReport, LoadTerms
from service.events.reading import EventFiles, Outcome, Record
from service.files.stored import StoredFile
from tests.support.virtual_time import EPOCH, VirtualClock, run_virtual


class File:
    """As much of a stored file as a load looks at."""

    def __init__(self, url: str, count: int, version: str = "v1") -> None:
        self.url, self.count, self.version = url, count, version


class Scene:
    """Files, an intake and the notes in one; it fails as it is asked to."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.notes: dict[str, list[Any]] = {}
        self.noted_: list[list[Any]] = []
        self.taken: list[Outcome] = []
        self.portions: list[int] = []
        self.closed = 0
        self.fails: Callable[[float], Exception | None] = lambda _: None
        self.outcome: Callable[[int], Outcome] = lambda number: self.event(f"e{number}")
        self.progress: list[tuple[int, int]] = []
        self.asked = 0
        self.began = clock.monotonic()

    def event(self, name: str, age: float = 0.0) -> Event:
        return Event("View", "ann", "s", self.clock.time() - age, name, name)

    def records(self, file: StoredFile) -> Generator[Record, None, None]:
        try:
            for number in range(1, cast(File, file).count + 1):
                yield Record(number, f"line {number}", [self.outcome(number)])
        finally:
            self.closed += 1

    def _fail(self) -> None:
        self.asked += 1
        if (error := self.fails(self.clock.monotonic() - self.began)) is not None:
            raise error

    async def take(self, outcomes: Sequence[Outcome]) -> IntakeReport:
        self._fail()
        self.taken += outcomes
        self.portions.append(len(outcomes))
        events = [one for one in outcomes if isinstance(one, Event)]
        problems = [{"index": 0, "problem": str(one)} for one in outcomes if isinstance(one, EventProblem)]
        known_only = sum(one.known_only for one in events)
        ignored = len(outcomes) - len(events) - len(problems)
        return IntakeReport(len(events) - 1, 1, ignored, problems, known_only=known_only)

    async def noted(self, url: str) -> bytes | None:
        self._fail()
        return orjson.dumps(self.notes[url]) if url in self.notes else None

    async def note(self, url: str, note: bytes) -> None:
        self._fail()
        self.notes[url] = orjson.loads(note)
        self.noted_.append([url, *self.notes[url]])

    async def run(self, *files: File, **terms: Any) -> EventLoadReport:  # noqa: ANN401  # see `LoadTerms`
        load = EventLoad(
            cast(EventFiles, self),
            intake=cast(Intake, self),
            notes=self,
            clock=self.clock,
            terms=LoadTerms(**terms),
            on_progress=lambda report, number: self.progress.append((number, report.accepted)),
        )
        return await load.run(cast("Sequence[StoredFile]", files))


@pytest.fixture(autouse=True)
def in_this_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop in virtual time waits for no thread."""

    async def at_once(work: Callable[..., object], *args: object) -> object:
        return work(*args)

    monkeypatch.setattr(asyncio, "to_thread", at_once)


def play(scenario: Callable[[Scene], Any]) -> None:
    async def run() -> None:
        await scenario(Scene(VirtualClock(asyncio.get_running_loop())))

    run_virtual(run())


def test_what_was_read_is_noted_after_each_portion_and_a_second_run_reads_nothing() -> None:
    async def scenario(scene: Scene) -> None:
        files = [File("a", 2 * PORTION + 1), File("b", 0)]
        report = await scene.run(*files)
        assert scene.portions == [PORTION, PORTION, 1]
        assert scene.noted_ == [
            ["a", "v1", PORTION, False],
            ["a", "v1", 2 * PORTION, False],
            ["a", "v1", 2 * PORTION + 1, False],
            ["a", "v1", 2 * PORTION + 1, True],
            ["b", "v1", 0, True],
        ]
        assert scene.progress == [(0, 0), (0, PORTION - 1), (0, 2 * PORTION - 2), (0, 2 * PORTION - 2), (1, 998)]
        assert (report.files, report.files_before, report.records_before) == (2, 0, 0)
        assert (report.accepted, report.duplicate) == (2 * PORTION - 2, 3)
        assert scene.closed == 2

        report = await scene.run(*files)
        assert (report.files, report.files_before, report.accepted, len(scene.noted_)) == (0, 2, 0, 5)
        report = await scene.run(*files, anew=True)
        assert (report.files, report.files_before, report.records_before, report.accepted) == (2, 0, 0, 998)

    play(scenario)


@pytest.mark.parametrize(("version", "before"), [("v1", 7), ("v2", 0)])
def test_a_run_goes_on_where_one_was_interrupted_unless_the_file_is_another(version: str, before: int) -> None:
    async def scenario(scene: Scene) -> None:
        scene.notes["a"] = ["v1", 7, False]
        report = await scene.run(File("a", 10, version))
        assert (report.files, report.records_before) == (1, before)
        assert [one.event_id for one in scene.taken if isinstance(one, Event)] == [
            f"e{number}" for number in range(before + 1, 11)
        ]
        scene.notes["a"] = ["v0", 10, True]
        assert (await scene.run(File("a", 10, version))).files == 1

    play(scenario)


def test_everything_is_counted_and_the_first_problems_are_named_with_their_places() -> None:
    async def scenario(scene: Scene) -> None:
        kinds: dict[int, Outcome] = {
            1: scene.event("now"),
            2: scene.event("young", SEND_SECONDS),
            3: scene.event("old", SEND_SECONDS + 1),
            4: Ignored(),
        }
        scene.outcome = lambda number: kinds.get(number, EventProblem("is odd"))
        report = await scene.run(File("a", 4 + MAX_PROBLEMS + 3))
        assert (report.accepted, report.duplicate, report.ignored, report.rejected) == (2, 1, 1, MAX_PROBLEMS + 3)
        assert report.known_only == 1
        assert report.problems == [f"a, line {number}: is odd" for number in range(5, 5 + MAX_PROBLEMS)]
        assert [one.event_id for one in scene.taken if isinstance(one, Event) and one.known_only] == ["old"]

    play(scenario)


def full_at_50_and_away_until(end: float) -> Callable[[float], Exception | None]:
    def fails(at: float) -> Exception | None:
        return SharedStateFull("full") if at == 50.0 else SharedStateUnavailable() if at < end else None

    return fails


def test_a_full_store_is_waited_for_as_long_as_it_takes_and_one_that_is_away_for_a_minute() -> None:
    async def scenario(scene: Scene) -> None:
        began = scene.clock.monotonic()
        scene.fails = lambda at: SharedStateFull("full") if at < 1_000 else None
        await scene.run(File("a", 1))
        assert scene.clock.monotonic() - began == 1_000.0
        # Every two seconds.
        assert scene.asked == pytest.approx(504, abs=2)

        for seconds, is_whole in ((63.0, True), (65.0, False)):
            again = Scene(scene.clock)
            # A moment in which it is full is one in which it is there.
            again.fails = full_at_50_and_away_until(50.0 + seconds)
            began = scene.clock.monotonic()
            if is_whole:
                await again.run(File("a", 1))
                assert scene.clock.monotonic() - began == 114.0
            else:
                with pytest.raises(SharedStateUnavailable):
                    await again.run(File("a", 1))
                assert scene.clock.monotonic() - began == 114.0

        unsafe = Scene(scene.clock)
        unsafe.fails = lambda _: SharedStateUnsafe("drops events")
        with pytest.raises(SharedStateUnsafe):
            await unsafe.run(File("a", 1))
        assert unsafe.asked == 1
        assert scene.clock.time() > EPOCH

    play(scenario)
