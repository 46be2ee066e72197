"""A copy of the project in which one thing is wrong."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).parents[2]

COPIED: Final = ("service", "tests", "bench", "tools", "docs", "sample", "deploy", "requirements")
"""What tests may look at."""

LEFT_OUT: Final = shutil.ignore_patterns(".hypothesis", "*.sqlite", "*.pyc.*")


@dataclass(frozen=True, slots=True)
class Change:
    """Text of a file, and what stands there instead."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong project.

    Attributes:
        name: Says what is wrong.
        changes: Where it differs from the right one.
        tests: Arguments of pytest that should notice.
    """

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...] = ()
    why: str = field(default="", compare=False)
    """What is wrong, in words."""


class DoesNotApplyError(Exception):
    """The text to be changed is not there, or more than once: the code has moved on."""


class Checkout:
    """A copy in a folder of its own, for as long as the block lasts; one mutant at a time."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mutants-"))
        self._changed: dict[str, tuple[str, os.stat_result]] = {}

    def __enter__(self) -> Self:
        for name in COPIED:
            shutil.copytree(ROOT / name, self.folder / name, ignore=LEFT_OUT)
        for path in ROOT.iterdir():
            if path.is_file() and not path.name.startswith(".git"):
                shutil.copy(path, self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def put(self, mutant: Mutant) -> None:
        """Have this wrong, and nothing else.

        Raises:
            DoesNotApplyError: The code has moved on.
        """
        self.mend()
        for change in mutant.changes:
            path = self.folder / change.file
            text = path.read_text("utf-8")
            self._changed.setdefault(change.file, (text, path.stat()))
            found = [one.start() for one in re.finditer(re.escape(change.old), text)]
            if len(found) != 1:
                raise DoesNotApplyError(f"{mutant.name}: {len(found)} x {change.old!r} in {change.file}")
            path.write_text(text.replace(change.old, change.new), "utf-8")

    def mend(self) -> None:
        """Have nothing wrong."""
        for file, (text, was) in self._changed.items():
            (self.folder / file).write_text(text, "utf-8")
            # What Python has compiled of it is as good as before.
            os.utime(self.folder / file, ns=(was.st_atime_ns, was.st_mtime_ns))
        self._changed.clear()

    def run(self, arguments: Sequence[str], *, seconds: float) -> tuple[int | None, str]:
        """Run Python there: its exit status, None if it took too long, and what it wrote."""
        process = subprocess.Popen(  # noqa: S603  # our own interpreter
            [sys.executable, "-B", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            written, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            # With whatever it has started.
            os.killpg(process.pid, 9)
            written, _ = process.communicate()
            return None, written
        return process.returncode, written


def pytest_arguments(tests: Sequence[str]) -> list[str]:
    """Arguments of pytest that run these tests until the first one fails, in the same order each time.

    A process that has loaded a plugin of pytest before may use it.
    """
    quiet = ["-x", "-q", "--no-header", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return [*quiet, "-p", "no:randomly", "-p", "no:cacheprovider", *tests]
