"""What a long command shows on standard error: moving progress on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

FIRST_LINE_SECONDS: Final = 1.0
"""Until the first line about the progress where there is no terminal to draw it on."""

LINE_SECONDS: Final = 30.0
"""Between two such lines."""

BYTES: Final = "bytes"
"""The unit of work that is shown in kB, MB, GB."""


class TerminalDisplay:
    """A `Display` on standard error.

    Args:
        stream: Instead of standard error.
        clock: Seconds that never run backwards.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        stream = stream or sys.stderr
        # Rich would also draw into a file or a pipe if a variable such as FORCE_COLOR says so.
        self._console = Console(file=stream, force_terminal=stream.isatty())
        self._clock = clock
        self._due_at = clock() + FIRST_LINE_SECONDS

    def say(self, line: str) -> None:
        """Show a line that stays, above the progress if any is drawn."""
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def mention(self, line: Callable[[], str]) -> None:
        """Show a line if one is due, and nothing is drawn."""
        if self._console.is_interactive or self._clock() < self._due_at:
            return
        self._due_at = self._clock() + LINE_SECONDS
        self.say(line())

    @contextmanager
    def track(self, what: str, unit: str, total: int | None = None) -> Iterator["TerminalTrack"]:
        """Draw the progress of some work for as long as the block lasts; nothing without a terminal."""
        columns = (
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=20),
            _Amount(unit),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
        )
        with Progress(*columns, console=self._console, disable=not self._console.is_interactive) as progress:
            yield TerminalTrack(progress, progress.add_task(what, total=total, note=""))


class TerminalTrack:
    """A `Track` that rich draws."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, count: int = 1) -> None:
        """Add to what is done."""
        self._progress.advance(self._task, count)

    def expect(self, total: int) -> None:
        """Say how much there is to do in all."""
        self._progress.update(self._task, total=total)

    def reach(self, completed: int, note: str) -> None:
        """Say how much is done in all, with a few words to show beside it."""
        self._progress.update(self._task, completed=completed, note=note)


class _Amount(ProgressColumn):
    """What is done, of how much, in its unit."""

    def __init__(self, unit: str) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._unit = unit

    def render(self, task: Task) -> Text:
        """The text."""
        done = amount(task.completed, self._unit)
        return Text(done if task.total is None else f"{done} of {amount(task.total, self._unit)}")


def amount(count: float, unit: str) -> str:
    """A count with its unit, as people read it: `1,200 lists`, `3.4 GB`."""
    return decimal(int(count)) if unit == BYTES else f"{int(count):,} {unit}"
