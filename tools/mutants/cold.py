"""Tests of a copy of the project, by a process that has loaded what other projects offer, and nothing of ours."""

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tools.mutants.checkout import Checkout, DoesNotApplyError, Mutant, pytest_arguments
from tools.mutants.children import Ended, run_in_child


class _FirstFailure:
    """Writes down which test failed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._path.write_text(report.nodeid, "utf-8")


def load(modules: Sequence[str]) -> None:
    """Import what tests need of other projects, as far as it is there."""
    for name in modules:
        if not name.startswith(("tools", "__")):
            with suppress(Exception):
                importlib.import_module(name)


class Cold:
    """A process of its own, which has nothing loaded of the service; begin it before this one has."""

    def __init__(self) -> None:
        self._here, there = get_context("fork").Pipe()
        self._process = get_context("fork").Process(target=_serve, args=(there,), daemon=False)
        self._process.start()
        there.close()

    def run(self, mutant: Mutant, tests: Sequence[str], *, cpu_seconds: float, seconds: float) -> tuple[Ended, str]:
        """How the tests ended, and the one that failed, empty if none did.

        Raises:
            DoesNotApplyError: The code has moved on.
        """
        self._here.send((mutant, tuple(tests), cpu_seconds, seconds))
        found = self._here.recv()
        if isinstance(found, str):
            raise DoesNotApplyError(found)
        return found

    def close(self) -> None:
        """End it."""
        self._here.send(None)
        self._process.join()


def _serve(connection: Connection) -> None:
    with Checkout() as checkout:
        while (job := connection.recv()) is not None:
            mutant, tests, cpu_seconds, seconds = job
            try:
                checkout.put(mutant)
            except DoesNotApplyError as error:
                connection.send(str(error))
                continue
            failed = checkout.folder / "failed-test"
            failed.unlink(missing_ok=True)

            def work(failed: Path = failed, tests: Sequence[str] = tests) -> int:
                os.chdir(checkout.folder)
                os.environ["PYTHONPATH"] = str(checkout.folder)
                sys.path[:] = [str(checkout.folder), *(one for one in sys.path[1:] if one)]
                for name in [name for name in sys.modules if name.partition(".")[0] == "tools"]:
                    del sys.modules[name]
                return int(pytest.main(pytest_arguments(tests), plugins=[_FirstFailure(failed)]))

            ended = run_in_child(work, cpu_seconds=cpu_seconds, seconds=seconds)
            connection.send((ended, failed.read_text("utf-8") if failed.exists() else ""))
