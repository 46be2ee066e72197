"""Which tests run which line of the service, and how long each takes: `python -m tools.mutants --map` learns it.

As a plugin of pytest it writes them down. What a test runs in other processes is not seen.
"""

from pathlib import Path
from typing import Any, Final

import coverage
import orjson
import pytest

from tools.mutants.checkout import ROOT

FILE: Final = ROOT / ".venv" / "mutants-map.json"

MAX_SECONDS_OF_TESTS: Final = 60.0
"""The quickest tests that run a line, as far as they take so long together."""


class Recorder:
    """Remembers the lines of each test."""

    def __init__(self) -> None:
        self._coverage = coverage.Coverage(data_file=None, source=[str(ROOT / "service")])
        self._coverage.start()
        self._seconds: dict[str, float] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """What runs from now on is this test's."""
        self._coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up how long its parts take."""
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        """Write everything down."""
        self._coverage.stop()
        data = self._coverage.get_data()
        tests = {name: number for number, name in enumerate(self._seconds)}
        lines = {
            str(Path(file).relative_to(ROOT)): {
                str(line): numbers
                for line, names in data.contexts_by_lineno(file).items()
                if (numbers := [tests[name] for name in names if name in tests])
            }
            for file in data.measured_files()
        }
        FILE.write_bytes(orjson.dumps({"seconds": self._seconds, "lines": lines}))


def pytest_configure(config: pytest.Config) -> None:
    """Register the recorder; before anything of the service is imported."""
    config.pluginmanager.register(Recorder())


class Touched:
    """The tests of a line."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._seconds: dict[str, float] = found["seconds"]
        self._tests = list(self._seconds)
        self._lines: dict[str, dict[str, list[int]]] = found["lines"]

    @classmethod
    def known(cls) -> "Touched | None":
        """What was learnt last; None if nothing was."""
        return cls(orjson.loads(FILE.read_bytes())) if FILE.exists() else None

    def tests_of(self, file: str, first: int, last: int) -> list[str]:
        """The quickest first. Tests of the whole file if the lines are run by no test, but by an import for example."""
        lines = self._lines.get(file, {})
        numbers = {number for line in range(first, last + 1) for number in lines.get(str(line), ())}
        numbers = numbers or {number for some in lines.values() for number in some}
        found, left = [], MAX_SECONDS_OF_TESTS
        for name in sorted((self._tests[number] for number in numbers), key=self._seconds.__getitem__):
            left -= self._seconds[name]
            if found and left < 0:
                break
            found.append(name)
        return found
