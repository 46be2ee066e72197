"""Which tests run which line of the service, and how long each takes: `python -m tools.mutants --map` learns it.

As a plugin of pytest it writes them down. What a test runs in other processes is not seen.
"""

import os
import sys
from collections.abc import Collection
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Final

import coverage
import orjson
import pytest

from tools.mutants.checkout import ROOT
from tools.mutants.rooms import TESTS

FILE: Final = Path(sys.prefix) / "mutants-map.json"

ADDS: Final = "MUTANTS_MAP_ADDS"
"""Variable of the environment: what is found of these tests comes beside what is known of others."""

MAX_SECONDS_OF_TESTS: Final = 10.0
"""The likeliest tests that run a line, as far as they take so long together."""

MAX_SECONDS_OF_NAMED: Final = 1.0
"""Of a test elsewhere that `rooms.TESTS` names for a room: a quicker one comes before the others."""


class Recorder:
    """Remembers the lines of each test that passes."""

    def __init__(self) -> None:
        self._coverage = coverage.Coverage(data_file=None, source=[str(ROOT / "service")])
        self._coverage.start()
        self._seconds: dict[str, float] = {}
        self._failed: set[str] = set()
        self._modules: list[str] = []

    def pytest_collection_finish(self) -> None:
        """What tests need of other projects."""
        self._modules = [name for name in sys.modules if name.partition(".")[0] not in {"service", "tests", "conftest"}]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """What runs from now on is this test's."""
        self._coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up how long its parts take."""
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        if not report.passed:
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Write everything down."""
        self._coverage.stop()
        data = self._coverage.get_data()
        passed = {name: seconds for name, seconds in self._seconds.items() if name not in self._failed}
        tests = {name: number for number, name in enumerate(passed)}
        lines, imported = {}, {}
        for file in data.measured_files():
            name = str(Path(file).relative_to(ROOT))
            by_line = data.contexts_by_lineno(file)
            lines[name] = {
                str(line): numbers
                for line, names in by_line.items()
                if (numbers := [tests[one] for one in names if one in tests])
            }
            imported[name] = [line for line, names in by_line.items() if "" in names]
        sources = {file: (ROOT / file).read_text("utf-8") for file in lines}
        found = {
            "seconds": passed,
            "lines": lines,
            "imported": imported,
            "modules": self._modules,
            "sources": sources,
        }
        if os.environ.get(ADDS) and FILE.exists():
            found = _added(orjson.loads(FILE.read_bytes()), found)
        FILE.write_bytes(orjson.dumps(found))


def _added(known: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What was known, with what was found of some more tests."""
    _move_along(known)
    numbers = {name: number for number, name in enumerate(dict.fromkeys([*known["seconds"], *found["seconds"]]))}
    places = [numbers[name] for name in found["seconds"]]
    for file, lines in found["lines"].items():
        by_line = known["lines"].setdefault(file, {})
        for line, some in lines.items():
            by_line[line] = sorted({*by_line.get(line, ()), *(places[one] for one in some)})
    known["seconds"] |= found["seconds"]
    for what in ("sources", "imported"):
        known[what] = found[what] | known[what]
    known["modules"] = sorted({*known["modules"], *found["modules"]}, key=[*known["modules"], *found["modules"]].index)
    return known


def _move_along(known: dict[str, Any]) -> None:
    """Let what was learnt of a line be known of the same line where it stands now."""
    for file, text in known["sources"].items():
        path = ROOT / file
        if not path.exists() or (now := path.read_text("utf-8")) == text:
            continue
        blocks = SequenceMatcher(None, text.splitlines(), now.splitlines(), autojunk=False).get_matching_blocks()
        places = {str(was + one + 1): str(at + one + 1) for was, at, size in blocks for one in range(size)}
        lines = known["lines"][file]
        known["lines"][file] = {places[line]: numbers for line, numbers in lines.items() if line in places}
        imported = known["imported"].get(file, [])
        known["imported"][file] = [int(places[str(line)]) for line in imported if str(line) in places]
        known["sources"][file] = now


def pytest_configure(config: pytest.Config) -> None:
    """Register the recorder; before anything of the service is imported."""
    config.pluginmanager.register(Recorder())


class Touched:
    """The tests of a line."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.seconds: dict[str, float] = found["seconds"]
        """By test."""

        self.modules: list[str] = found.get("modules", [])
        """Of other projects, that the tests import."""

        self._tests = list(self.seconds)
        self._lines: dict[str, dict[str, list[int]]] = found["lines"]
        self._imported = {file: set(lines) for file, lines in found.get("imported", {}).items()}

    @classmethod
    def known(cls) -> "Touched | None":
        """What was learnt last; None if nothing was."""
        if not FILE.exists():
            return None
        found = orjson.loads(FILE.read_bytes())
        _move_along(found)
        return cls(found)

    def by_import(self, file: str, first: int, last: int) -> bool:
        """Whether one of these lines runs before any test does."""
        return not self._imported.get(file, set()).isdisjoint(range(first, last + 1))

    def tests_of(self, lines: Collection[tuple[str, int, int]], room: str) -> list[str]:
        """Those that run one of these lines of a file, first to last: those of the room, and the quickest, first."""
        found: set[int] = set()
        for file, first, last in lines:
            by_line = self._lines.get(file, {})
            if last - first > len(by_line):
                found.update(number for line, some in by_line.items() if first <= int(line) <= last for number in some)
            else:
                found.update(number for line in range(first, last + 1) for number in by_line.get(str(line), ()))
        return self._likeliest([self._tests[number] for number in found], room)

    def of_files(self, files: Collection[str]) -> list[str]:
        """Tests of these files or folders."""
        beginnings = tuple(files)
        return [name for name in self.seconds if name.startswith(beginnings)]

    def seconds_of(self, tests: Collection[str]) -> float:
        """How long they take together."""
        return sum(self.seconds[name] for name in tests)

    def _likeliest(self, tests: Collection[str], room: str) -> list[str]:
        found, left = [], MAX_SECONDS_OF_TESTS

        def order(name: str) -> tuple[bool, bool, float]:
            seconds = self.seconds[name]
            is_named = name.startswith(TESTS[room]) and seconds < MAX_SECONDS_OF_NAMED
            return not name.startswith(f"tests/{room}/"), not is_named, seconds

        for name in sorted(tests, key=order):
            left -= self.seconds[name]
            if found and left < 0:
                break
            found.append(name)
        return found
