"""Changes tried in forks of a process that has loaded the service and collected its tests.

A change inside a function is made in the fork; any other, in a copy of the project, by a process that has loaded only
what other projects offer. A test that notices a change must pass without it, or else it does not count.
"""

import gc
import mmap
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import util
from typing import Final

import pytest

from tools.mutants.checkout import Change, DoesNotApplyError, Mutant
from tools.mutants.children import Ended, run_in_child
from tools.mutants.cold import Cold
from tools.mutants.in_place import Functions
from tools.mutants.operators import Edit

PATIENCE_SECONDS: Final = 60.0
"""For tests of a change, with ten times as long as they usually take; a change that makes them hang is noticed."""

PATIENCE_CPU_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One change, and what should notice it: an edit of a file, or any change of the project."""

    room: str
    name: str
    tests: tuple[str, ...]
    seconds: float
    """That the tests usually take."""

    mutant: Mutant
    edit: Edit | None = None
    source: str = ""
    by_import: bool = False
    """Whether what is changed has been run before any test."""

    in_processes: bool = False
    """Whether no test runs it but in a process of its own."""

    read_by: tuple[str, ...] = ()
    """Tests that read the file instead of running it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What has become of a change: noticed by a test, survived, or not tried for a reason."""

    attempt: int
    noticed_by: str
    survives: bool
    odd: str
    way: str
    tests: int
    """Which it was shown to, at most."""

    cpu_seconds: float


class Session:
    """A plugin of pytest that tries changes instead of running the tests.

    Args:
        attempts: All of them.
        cold: A process for each worker.
        until: No change is begun later.
        show: Called with each verdict.
    """

    def __init__(
        self, attempts: Sequence[Attempt], cold: Sequence[Cold], until: float, show: Callable[[Verdict], None]
    ) -> None:
        self._attempts, self._cold, self._until, self._show = attempts, cold, until, show
        self.items: dict[str, pytest.Item] = {}
        self.functions: Functions

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of pytest's own."""
        self.items = {item.nodeid: item for item in session.items}
        gc.collect()
        self.functions = Functions()
        context = multiprocessing.get_context("fork")
        verdicts, number = context.SimpleQueue(), context.Value("i", 0)
        workers = [
            context.Process(target=self._work, args=(cold, number, verdicts), daemon=False) for cold in self._cold
        ]
        for worker in workers:
            worker.start()
        missing = len(workers)
        while missing:
            verdict = verdicts.get()
            if verdict is None:
                missing -= 1
            else:
                self._show(verdict)
        for worker in workers:
            worker.join()
        return True

    def _work(self, cold: Cold, number: object, verdicts: object) -> None:
        worker = _Worker(self, cold)
        try:
            while time.monotonic() < self._until:
                with number.get_lock():
                    next_one = number.value
                    number.value += 1
                if next_one >= len(self._attempts):
                    break
                verdicts.put(worker.tried(next_one, self._attempts[next_one]))
        finally:
            verdicts.put(None)


class _Worker:
    """Tries one change after another."""

    def __init__(self, session: Session, cold: Cold) -> None:
        self._session = session
        self._cold = cold
        self._good: set[str] = set()
        """Tests that pass without a change."""

        self._bad: set[str] = set()
        self._noticed: Counter[tuple[str, str]] = Counter()
        """How often a test noticed a change in a file."""

        self._at = mmap.mmap(-1, 8)
        self._spent = 0.0

    def tried(self, number: int, attempt: Attempt) -> Verdict:
        """What becomes of a change."""
        self._spent, way = 0.0, "-"
        file = attempt.mutant.changes[0].file
        items = self._session.items
        tests = [one for one in attempt.tests if one in items and one not in self._bad]
        if attempt.in_processes:
            read = attempt.read_by
            tests = [one for one in tests if one in read or items[one].get_closest_marker("processes")]
        tests.sort(key=lambda one: -self._noticed[file, one])
        left = tests
        while True:
            try:
                way, noticed_by = self._run(attempt, left)
            except DoesNotApplyError as error:
                return Verdict(number, "", False, str(error), way, len(tests), self._spent)
            if noticed_by is None:
                return Verdict(number, "", True, "", way, len(tests), self._spent)
            if noticed_by in left and not self._passes(noticed_by):
                self._bad.add(noticed_by)
                print(f"fails without a change: {noticed_by}", file=sys.stderr, flush=True)
                left = left[left.index(noticed_by) + 1 :]
                continue
            self._noticed[file, noticed_by] += 1
            return Verdict(number, noticed_by or "import", False, "", way, len(tests), self._spent)

    def _run(self, attempt: Attempt, tests: Sequence[str]) -> tuple[str, str | None]:
        """How it was tried, and the test that noticed; None if none did."""
        if attempt.edit is not None and not attempt.by_import:
            changed = self._in_fork(attempt, tests)
            if changed is not None:
                return "fork", changed or None
        if attempt.edit is None:
            tests = attempt.tests
        # Those that need no service come first by themselves: fixtures of others decide on the order within a run.
        read = [one for one in tests if one in attempt.read_by]
        noticed_by = self._in_copy(attempt, read)
        return "copy", noticed_by or self._in_copy(attempt, [one for one in tests if one not in read])

    def _in_copy(self, attempt: Attempt, tests: Sequence[str]) -> str | None:
        """The test that noticed, empty if the tests did not even begin; None if none did."""
        if not tests:
            # Without a name pytest would run all there are.
            return None
        ended, failed = self._cold.run(attempt.mutant, tests, **_patience(attempt.seconds))
        self._spent += ended.cpu_seconds
        if ended.status is None and not ended.spins and not failed:
            # It hangs, or the machine is busy.
            ended, failed = self._cold.run(attempt.mutant, tests, **_patience(attempt.seconds, times=4))
            self._spent += ended.cpu_seconds
        return None if ended.status == 0 else failed

    def _in_fork(self, attempt: Attempt, tests: Sequence[str]) -> str | None:
        """The test that noticed, empty if none did; None if the change cannot be made in a fork."""
        cannot = 77
        edit = attempt.edit
        assert edit is not None  # noqa: S101  # as asked above

        def work() -> int:
            if not self._session.functions.change(attempt.mutant.changes[0].file, attempt.source, edit):
                return cannot
            return self._failed_at(tests)

        ended = self._fork(work, attempt.seconds)
        if ended.status is None and not ended.spins:
            # It hangs, or the machine is busy.
            ended = self._fork(work, attempt.seconds, times=4)
        if ended.status == cannot:
            return None
        return "" if ended.status == 0 else tests[int.from_bytes(self._at[:8], "little")]

    def _passes(self, test: str) -> bool:
        if test not in self._good and self._fork(lambda: self._failed_at([test]), 1).status == 0:
            self._good.add(test)
        return test in self._good

    def _fork(self, work: Callable[[], int], seconds: float, times: int = 1) -> Ended:
        self._at[:8] = bytes(8)
        ended = run_in_child(work, **_patience(seconds, times))
        self._spent += ended.cpu_seconds
        return ended

    def _failed_at(self, tests: Sequence[str]) -> int:
        """In the fork: exit status 1 as soon as a test fails."""
        if not tests:
            return 0
        items = [self._session.items[one] for one in tests]
        if any(item.get_closest_marker("processes") for item in items):
            _fork_processes_from_here()
        [session] = {item.session for item in items}
        for number, item in enumerate(items):
            self._at[:8] = number.to_bytes(8, "little")
            last = number + 1 == len(items)
            if last:
                # What has been left open is reported with the last one.
                gc.collect()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None if last else items[number + 1])
            if session.testsfailed:
                return 1
        return 0


def _patience(seconds: float, times: int = 1) -> dict[str, float]:
    """For tests that usually take so long; a machine that is busy is slow, and takes no more CPU seconds."""
    return {
        "cpu_seconds": PATIENCE_CPU_SECONDS + 3 * seconds,
        "seconds": times * (PATIENCE_SECONDS + 10 * seconds),
    }


def _fork_processes_from_here() -> None:
    """Have the processes of tests run what is changed here: their server is a fork of this process."""
    spawn = util.spawnv_passfds

    def fork(path: bytes, arguments: Sequence[str], passed: Sequence[int]) -> int:
        command = arguments[-1]
        if "multiprocessing.forkserver" not in command:
            return spawn(path, arguments, passed)
        pid = os.fork()
        if pid == 0:
            with suppress(BaseException):
                exec(command, {"__name__": "__main__"})  # noqa: S102  # multiprocessing's own line
            os._exit(0)
        return pid

    util.spawnv_passfds = fork
    from multiprocessing.forkserver import ensure_running  # noqa: PLC0415  # only here

    ensure_running()


def whole_file(name: str, file: str, source: str, edit: Edit) -> Mutant:
    """An edit as a change of the project."""
    return Mutant(name, (Change(file, source, edit.of(source)),))
