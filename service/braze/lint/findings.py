"""A rule, and what it found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from service.braze.lint.template import Template

Severity = Literal["error", "warning"]

Hits = Iterator[tuple[int, str]]
"""Where a rule hits, and what stands there."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of mistake.

    Attributes:
        id: What a report and a search call it.
        happens: What becomes of the message.
        remedy: What to write instead.
        bad: A template with the mistake, and with no other.
        good: The same without it.
        check: Where the mistake is in a template.
        severity: An error makes the command fail.
        channel: What the examples are; None: lint guesses, as it does for a file.
    """

    id: str
    happens: str
    remedy: str
    bad: str
    good: str
    check: Callable[[Template], Hits]
    severity: Severity = "error"
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake in a file; line and column are from 1."""

    file: str
    line: int
    column: int
    severity: Severity
    rule: str
    what: str
    happens: str
    remedy: str
