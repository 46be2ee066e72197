"""How a long command shows people what it does; the command line draws it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Track(Protocol):
    """The progress of one piece of work."""

    def advance(self, count: int = 1) -> None:
        """Add to what is done."""

    def expect(self, total: int) -> None:
        """Say how much there is to do in all."""


class Display(Protocol):
    """Where people watch a command."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def mention(self, line: Callable[[], str]) -> None:
        """Show a line about the progress if one is due; where progress is drawn, none ever is."""

    def track(self, what: str, unit: str, total: int | None = None) -> AbstractContextManager[Track]:
        """Draw the progress of some work for as long as the block lasts."""


class NoDisplay:
    """A `Display` that nobody watches."""

    def say(self, line: str) -> None:
        """Nobody hears it."""

    def mention(self, line: Callable[[], str]) -> None:
        """As above."""

    def track(self, what: str, unit: str, total: int | None = None) -> AbstractContextManager[Track]:
        """As above."""
        del what, unit, total
        return nullcontext(_NoTrack())


class _NoTrack:
    def advance(self, count: int = 1) -> None:
        pass

    def expect(self, total: int) -> None:
        pass
