"""What the pipeline needs of others."""

from contextlib import AbstractContextManager
from typing import Protocol


class Track(Protocol):
    """The progress of one piece of work."""

    def reach(self, completed: int, note: str) -> None:
        """Say how much is done in all, with a few words to show beside it."""


class Display(Protocol):
    """What shows a person how far a command is."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def track(self, what: str, unit: str, total: int | None = None) -> AbstractContextManager[Track]:
        """Show the progress of some work for as long as the block lasts."""
