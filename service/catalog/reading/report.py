"""What came of reading a catalogue: how many rows there were, and which of them are not shown, and why."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

import structlog

from service.constants import MAX_ID_CHARACTERS
from service.errors import CatalogError

_log = structlog.stdlib.get_logger(__name__)

DropReason = Literal[
    "malformed",
    "missing_id",
    "long_id",
    "missing_url",
    "missing_name",
    "bad_price",
    "missing_image",
    "duplicate",
]
"""Why a row is not shown; a `malformed` one is no JSON object, or has more cells than the header."""

LACKING: Final[Mapping[str, DropReason]] = {
    "id": "missing_id",
    "url": "missing_url",
    "name": "missing_name",
    "price": "bad_price",
    "image": "missing_image",
}
"""The reason to drop a row that lacks this column of an item."""

MAX_NAMED_ROWS: Final = 5
"""Dropped rows named for each reason: enough to find the mistake in a line of bounded length."""


@dataclass(frozen=True, slots=True)
class CatalogReport:
    """What came of a load."""

    rows: int
    """Rows of the source without blank lines."""

    dropped: Mapping[DropReason, int]
    """Rows that are not shown, by reason; a reason without a row is left out."""

    examples: Mapping[DropReason, Sequence[str]] = field(default_factory=dict)
    """The first few rows of each reason, each named by id if it has one, and by line."""


class RowTally:
    """Counts the rows of a source, and those that are not shown."""

    def __init__(self) -> None:
        self.rows = 0
        self.dropped: Counter[DropReason] = Counter()
        self.named: dict[DropReason, list[str]] = {}
        """The first few rows of each reason by id, or by number where they have none."""
        self._examples: dict[DropReason, list[str]] = {}

    @property
    def items(self) -> int:
        """Rows that can be shown."""
        return self.rows - self.dropped.total()

    def drop(self, reason: DropReason, item_id: object, line: int) -> None:
        """Count a row that is not shown, and name it if it is among the first."""
        self.dropped[reason] += 1
        named = self.named.setdefault(reason, [])
        if len(named) < MAX_NAMED_ROWS:
            text = str(item_id or "")[:MAX_ID_CHARACTERS]
            named.append(text or f"row {self.rows}")
            self._examples.setdefault(reason, []).append(f"{text} (line {line})" if text else f"line {line}")

    def report(self) -> CatalogReport:
        """The counts so far."""
        return CatalogReport(
            self.rows,
            MappingProxyType(dict(self.dropped)),
            MappingProxyType({reason: tuple(lines) for reason, lines in self._examples.items()}),
        )

    def nothing_usable(self, label: str) -> CatalogError:
        """The error of a source without a single row that can be shown."""
        found = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items()) or "no rows at all"
        return CatalogError(f"{label}: no usable row ({found})")


def log_dropped(label: str, dropped: Mapping[DropReason, int], named: Mapping[DropReason, Sequence[str]]) -> None:
    """Log which rows are not shown, one event for each reason."""
    for reason, count in dropped.items():
        _log.warning("catalog_rows_dropped", source=label, reason=reason, count=count, first=named[reason])
