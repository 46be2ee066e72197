"""`make mutants`: break the code, one small change at a time, and see whether a test notices.

    make mutants ARGS=--map
    make mutants ARGS="--rooms budget,lists --minutes 10"
    make mutants ARGS=--named

`--map` runs the tests of the rooms once and learns which of them run which line. From then on a change meets only the
tests that run it, those of its room first. `--add` learns it of some more tests, beside what is known.

Changes are drawn at random; `--seed` draws the same again. It prints the score of each room and every survivor.
`--again` tries only what survived in an earlier run. Exit status 1: something survived. All of it is done in a copy of
the project.
"""

import argparse
import ast
import os
import random
import re
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import pytest

from tools.mutants import cold, touched
from tools.mutants.checkout import ROOT, Change, Checkout, Mutant, pytest_arguments
from tools.mutants.hot import Attempt, Session, Verdict, whole_file
from tools.mutants.operators import Edit, edits
from tools.mutants.reach import lines_of, of_a_figure, of_a_route
from tools.mutants.rooms import BESIDES, OF_FIGURES, OF_ROUTES, TESTS, is_equivalent, tests_of

NAMED: Final = Path(__file__).with_name("named.toml")

_IN_A_COPY: Final = "MUTANTS_IN_A_COPY"
"""Variable of the environment: this runs in a copy, and was begun in that folder."""


@dataclass(slots=True)
class Score:
    """What has become of the changes so far."""

    out: IO[str]
    attempts: list[Attempt]
    verbose: bool
    killed: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    cpu_seconds: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    """Not tried: the code has moved on, or the tests did not run."""

    def show(self, verdict: Verdict) -> None:
        """Count it, and print it if it survives."""
        attempt = self.attempts[verdict.attempt]
        if self.verbose:
            print(
                f"{verdict.cpu_seconds:.2f} s {verdict.way} {attempt.name[:90]} <- {verdict.noticed_by}",
                file=self.out,
                flush=True,
            )
        self.ways[verdict.way] += 1
        self.cpu_seconds[verdict.way] += verdict.cpu_seconds
        if verdict.odd:
            self.odd.append(verdict.odd)
        elif verdict.survives:
            self.lost[attempt.room] += 1
            print(f"survives {verdict.tests:4} tests  {attempt.name}", file=self.out, flush=True)
        else:
            self.killed[attempt.room] += 1


def main() -> int:
    """Exit status 1 if something survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", default=",".join(TESTS), help="separated by commas")
    parser.add_argument("--minutes", type=float, default=10.0, help="no change is begun later")
    parser.add_argument("--most", type=int, default=1_000_000, help="so many changes of a room at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="changes whose names have one of these in them; by commas")
    parser.add_argument("--again", type=Path, help="only what survived in an earlier run, from what that has written")
    parser.add_argument("--verbose", action="store_true", help="say of each change what has noticed it")
    parser.add_argument("--named", action="store_true", help="the changes in named.toml instead")
    parser.add_argument("--map", action="store_true", help="learn which tests run which line; minutes")
    parser.add_argument("--add", nargs="+", default=[], help="learn it of these tests only, beside what is known")
    options = parser.parse_args()
    if not os.environ.get(_IN_A_COPY):
        return _in_a_copy()
    if options.map or options.add:
        return _learn(options.rooms.split(","), options.add)
    known = touched.Touched.known()
    if known is None:
        parser.error("learn first which tests run which line: --map")
    found = _named() if options.named else _drawn(options, known)
    only = options.only.split(",")
    attempts = [one for one in found if any(part in one.name for part in only)]
    # Before anything of the service is loaded here.
    cold.load(known.modules)
    helpers = [cold.Cold() for _ in range(options.workers)]
    with os.fdopen(os.dup(1), "w") as out:
        score = Score(out, attempts, options.verbose)
        try:
            _begin(Session(attempts, helpers, time.monotonic() + 60 * options.minutes, score.show), attempts)
        finally:
            for helper in helpers:
                helper.close()
        return _report(score, options.seed)


def _in_a_copy() -> int:
    """Do all this in a copy of the project, so that nobody need leave the project as it is meanwhile."""
    with Checkout() as checkout:
        environment = {**os.environ, _IN_A_COPY: str(Path.cwd()), "PYTHONPATH": str(checkout.folder)}
        command = [sys.executable, "-m", "tools.mutants", *sys.argv[1:]]
        return subprocess.run(command, cwd=checkout.folder, env=environment, check=False).returncode  # noqa: S603  # as above


def _begin(session: Session, attempts: list[Attempt]) -> None:
    """Collect the tests, and have the session try the changes."""
    wanted = {test.partition("::")[0] for one in attempts for test in one.tests if one.edit is not None}
    files = sorted(file for file in wanted if (ROOT / file).is_file())
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    pytest.main(["-s", "-o", "timeout=30", *pytest_arguments(files)], plugins=[session])


def _learn(rooms: list[str], only: list[str]) -> int:
    tests = only or sorted({one for room in rooms for one in TESTS[room]} | {*BESIDES, *OF_FIGURES})
    command = ["-m", "pytest", "-q", "-p", "no:randomly", "-p", "tools.mutants.touched", *tests]
    environment = {**os.environ, touched.ADDS: "1" if only else ""}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=False).returncode  # noqa: S603  # our own interpreter


def _named() -> Iterator[Attempt]:
    for name, said in tomllib.loads(NAMED.read_text("utf-8")).items():
        mutant = Mutant(name, tuple(Change(**change) for change in said["changes"]))
        yield Attempt("named", name, tuple(said["tests"]), 60, mutant)


def _drawn(options: argparse.Namespace, known: touched.Touched) -> Iterator[Attempt]:
    """Changes of all rooms in turn, so that a run that is stopped has tried some of each."""
    chance = random.Random(options.seed)  # noqa: S311  # a sample
    # Its name is one of where the command was begun.
    written = None if options.again is None else Path(os.environ[_IN_A_COPY]) / options.again
    again = None if written is None else _survivors(written.read_text("utf-8"))
    by_room = []
    for room in options.rooms.split(","):
        found = []
        for path in sorted((ROOT / "service" / room).rglob("*.py")):
            file, source = str(path.relative_to(ROOT)), path.read_text("utf-8")
            lines = source.splitlines()
            for edit in edits(source):
                line = lines[edit.line - 1].strip()
                is_wanted = again is None or f"{file}: {edit.what}: {line}" in again
                if is_wanted and not is_equivalent(file, edit.what, line):
                    found.append((file, edit))
        chance.shuffle(found)
        by_room.append((room, found[: options.most]))
    for number in range(max(len(found) for _, found in by_room)):
        for room, found in by_room:
            if number < len(found):
                yield _attempt(room, *found[number], known)


def _attempt(room: str, file: str, edit: Edit, known: touched.Touched) -> Attempt:
    source = (ROOT / file).read_text("utf-8")
    line = source.splitlines()[edit.line - 1].strip()
    name = f"{file}:{edit.line}: {edit.what}: {line}"
    tree = ast.parse(source)
    lines, more = lines_of(file, tree, edit)
    places = (lines, [(file, edit.line, edit.end_line)], more)
    tests = next((found for one in places if (found := known.tests_of(one, room))), [])
    if of_a_route(tree, edit):
        tests = [*known.of_files(OF_ROUTES), *tests]
    in_processes = not tests
    if in_processes:
        tests = known.of_files(tests_of(room, file))
    of_room = [one for one in known.of_files(OF_FIGURES) if one.endswith(f"[{room}]")]
    read_by = of_room if of_a_figure(tree, edit) else []
    return Attempt(
        room,
        name,
        (*read_by, *tests),
        known.seconds_of([*read_by, *tests]),
        whole_file(name, file, source, edit),
        edit,
        source,
        by_import=known.by_import(file, edit.line, edit.end_line),
        in_processes=in_processes,
        read_by=tuple(read_by),
    )


def _survivors(written: str) -> set[str]:
    """Names of the changes that survived, without the numbers of their lines, which move."""
    names = [line.partition(" tests  ")[2] for line in written.splitlines() if line.startswith("survives ")]
    return {re.sub(r"^([^:]*):\d+:", r"\1:", name) for name in names}


def _report(score: Score, seed: int) -> int:
    for room in sorted({*score.killed, *score.lost}):
        tried = score.killed[room] + score.lost[room]
        print(
            f"{room}: {score.killed[room]} of {tried} noticed, {score.killed[room] / tried:.0%} (seed {seed})",
            file=score.out,
        )
    for line in score.odd:
        print(f"not tried: {line}", file=score.out)
    for way, count in score.ways.items():
        print(f"{count} in a {way}, {score.cpu_seconds[way] / count:.2f} CPU seconds each", file=score.out)
    score.out.flush()
    return int(bool(score.lost or score.odd))


if __name__ == "__main__":
    sys.exit(main())
