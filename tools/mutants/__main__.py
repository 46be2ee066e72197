"""`make mutants`: break the code, one small change at a time, and see whether a test notices.

    make mutants ARGS=--map
    make mutants ARGS="--rooms budget,lists --minutes 10"
    make mutants ARGS=--named

`--map` runs the tests of the rooms once and learns which of them run which line. From then on a change meets only the
tests that run it, the quickest first; without it, those of its room.

Changes are drawn at random; `--seed` draws the same again. It prints the score of each room and every survivor. Exit
status 1: a change survived that `rooms.EQUIVALENT` does not name. Each change is made in a copy of the project.
"""

import argparse
import queue
import random
import subprocess
import sys
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tools.mutants import touched
from tools.mutants.checkout import ROOT, Change, Checkout, DoesNotApplyError, Mutant, pytest_arguments
from tools.mutants.operators import Edit, edits
from tools.mutants.rooms import EQUIVALENT, TESTS, tests_of

NAMED: Final = Path(__file__).with_name("named.toml")
MAX_SECONDS: Final = 300.0
"""Of the tests of one change; a change that makes them hang is noticed."""

Put = Callable[[Checkout], None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One change, and what should notice it."""

    room: str
    name: str
    put: Put
    tests: tuple[str, ...]


@dataclass(slots=True)
class Score:
    """What has become of the changes so far."""

    killed: Counter[str] = field(default_factory=Counter)
    survivors: list[tuple[str, str]] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    """Not tried: the code has moved on, or the tests did not run."""


def main() -> int:
    """Exit status 1 if something survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", default=",".join(TESTS), help="separated by commas")
    parser.add_argument("--minutes", type=float, default=10.0, help="no change is begun later")
    parser.add_argument("--most", type=int, default=1_000_000, help="so many changes of a room at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--named", action="store_true", help="the changes in named.toml instead")
    parser.add_argument("--map", action="store_true", help="learn which tests run which line; minutes")
    options = parser.parse_args()
    if options.map:
        return _learn(options.rooms.split(","))
    attempts = list(_named() if options.named else _drawn(options))
    score = _try_all(attempts, options.workers, time.monotonic() + 60 * options.minutes)
    return _report(score, options.seed)


def _learn(rooms: list[str]) -> int:
    tests = sorted({one for room in rooms for one in TESTS[room]})
    command = [*pytest_arguments(tests)[:2], "-q", "-p", "no:randomly", "-p", "tools.mutants.touched", *tests]
    return subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode  # noqa: S603  # our own interpreter


def _named() -> Iterator[Attempt]:
    for name, said in tomllib.loads(NAMED.read_text("utf-8")).items():
        mutant = Mutant(name, tuple(Change(**change) for change in said["changes"]))
        yield Attempt("named", name, lambda checkout, mutant=mutant: checkout.put(mutant), tuple(said["tests"]))


def _drawn(options: argparse.Namespace) -> Iterator[Attempt]:
    """Changes of all rooms in turn, so that a run that is stopped has tried some of each."""
    known = touched.Touched.known()
    chance = random.Random(options.seed)  # noqa: S311  # a sample
    by_room = []
    for room in options.rooms.split(","):
        found = [
            (str(path.relative_to(ROOT)), edit)
            for path in sorted((ROOT / "service" / room).rglob("*.py"))
            for edit in edits(path.read_text("utf-8"))
        ]
        chance.shuffle(found)
        by_room.append((room, found[: options.most]))
    for number in range(max(len(found) for _, found in by_room)):
        for room, found in by_room:
            if number < len(found):
                yield _attempt(room, *found[number], known)


def _attempt(room: str, file: str, edit: Edit, known: touched.Touched | None) -> Attempt:
    source = (ROOT / file).read_text("utf-8")
    line = source.splitlines()[edit.line - 1].strip()
    name = f"{file}: {edit.what}: {line}"
    changed = edit.of(source)
    tests = known.tests_of(file, edit.line, edit.end_line) if known is not None else []
    return Attempt(room, name, lambda checkout: checkout.write(file, changed), tuple(tests or tests_of(room, file)))


def _try_all(attempts: list[Attempt], workers: int, until: float) -> Score:
    score, waiting = Score(), queue.SimpleQueue[Attempt]()
    for attempt in attempts:
        waiting.put(attempt)

    def work() -> None:
        with Checkout() as checkout:
            while time.monotonic() < until:
                try:
                    attempt = waiting.get_nowait()
                except queue.Empty:
                    return
                _try(attempt, checkout, score)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return score


def _try(attempt: Attempt, checkout: Checkout, score: Score) -> None:
    if attempt.name in EQUIVALENT:
        return
    try:
        attempt.put(checkout)
    except DoesNotApplyError as error:
        score.odd.append(str(error))
        return
    status, written = checkout.run(pytest_arguments(attempt.tests), seconds=MAX_SECONDS)
    if status == 0:
        score.survivors.append((attempt.room, attempt.name))
        print(f"survives  {attempt.name}", flush=True)
    elif status in (1, 2, None):
        # 2: it cannot even be imported; None: it hangs.
        score.killed[attempt.room] += 1
    else:
        score.odd.append(f"{attempt.name}: pytest ended with {status}: {written[-200:]}")


def _report(score: Score, seed: int) -> int:
    lost = Counter(room for room, _ in score.survivors)
    for room in sorted({*score.killed, *lost}):
        tried = score.killed[room] + lost[room]
        print(f"{room}: {score.killed[room]} of {tried} noticed, {score.killed[room] / tried:.0%} (seed {seed})")
    for line in score.odd:
        print(f"not tried: {line}")
    return int(bool(score.survivors or score.odd))


if __name__ == "__main__":
    sys.exit(main())
