"""What is said of the lines of which no user came."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from service.errors import ConfigurationError

MAX_NAMED: Final = 10
"""Lines of one kind that are named."""

BLANK: Final = "blank"

REPEATED: Final = "a user named before"

NO_FAULT: Final = (BLANK, REPEATED)
"""Lines that cost nobody a list."""


class UsersFileError(ConfigurationError):
    """A file cannot be used at all; the message says why."""


@dataclass(slots=True)
class Findings:
    """The lines of which no user came, by what is wrong with them."""

    counts: Counter[str] = field(default_factory=Counter)
    lines: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    keys: dict[str, None] = field(default_factory=dict)
    """Keys of objects that held no id, the first ones."""

    source: str = ""
    """Where the next lines come from; blank if there is only one file."""

    def note(self, kind: str, line: int) -> None:
        """Count a line."""
        self.counts[kind] += 1
        if len(self.lines[kind]) < MAX_NAMED:
            self.lines[kind].append(f"{self.source}:{line}" if self.source else str(line))

    def note_keys(self, names: Iterable[str]) -> None:
        """Remember the keys of an object without an id."""
        for name in names:
            if len(self.keys) < MAX_NAMED:
                self.keys[name] = None

    @property
    def faults(self) -> int:
        """Lines that should have named a user."""
        return sum(count for kind, count in self.counts.items() if kind not in NO_FAULT)

    def words(self) -> list[str]:
        """A sentence for each kind."""
        return [self._sentence(kind, count) for kind, count in self.counts.items()]

    def nobody(self, name: str, noun: str = "user") -> UsersFileError:
        """What is said of files of which nobody came."""
        keys = f"; keys of its objects: {', '.join(self.keys)}; name one with --column" if self.keys else ""
        return UsersFileError(f"{name}: names no {noun}{keys}")

    def _sentence(self, kind: str, count: int) -> str:
        named = self.lines[kind]
        more = f" and {count - len(named):,} more" if count > len(named) else ""
        return f"{count:,} {'line' if count == 1 else 'lines'} left out, {kind}: {', '.join(named)}{more}"
