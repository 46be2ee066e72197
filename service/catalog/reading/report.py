"""What came of reading a catalogue: how many rows there were, which of them are not shown, why, and how it was read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, Self

from service.catalog.reading.cells import ROUNDED, shown
from service.catalog.reading.ports import Unit
from service.constants import MAX_ID_CHARACTERS
from service.errors import CatalogError

DropReason = Literal[
    "malformed",
    "too_long",
    "not_utf8",
    "missing_id",
    "long_id",
    "missing_url",
    "bad_url",
    "missing_name",
    "bad_price",
    "unclear_price",
    "missing_image",
    "bad_image",
    "duplicate",
]
"""Why a row is not shown; a `malformed` one is no JSON object, has a wrong quote, or more cells than the header."""

LACKING: Final[Mapping[str, DropReason]] = {
    "id": "missing_id",
    "url": "missing_url",
    "name": "missing_name",
    "price": "bad_price",
    "image": "missing_image",
}
"""The reason to drop a row that lacks this column of an item."""

MEANING: Final[Mapping[DropReason, str]] = {
    "malformed": "not readable as a row",
    "too_long": "longer than a row can be",
    "not_utf8": "not UTF-8",
    "missing_id": "no id",
    "long_id": f"id longer than {MAX_ID_CHARACTERS}",
    "missing_url": "no url",
    "bad_url": "url does not begin with http(s)://",
    "missing_name": "no name",
    "bad_price": "no price, or not a number from 0",
    "unclear_price": "price that can be read in two ways",
    "missing_image": "no image",
    "bad_image": "image does not begin with http(s)://",
    "duplicate": "id of an earlier row",
}
"""Each reason in words."""

WAYS_OUT: Final[Mapping[DropReason, str]] = {
    "bad_url": "a template makes an address: CATALOG_COLUMNS=url=https://YOUR-SHOP/{+COLUMN}",
    "bad_image": "a template makes an address: CATALOG_COLUMNS=image=https://YOUR-SHOP/{+COLUMN}",
    "unclear_price": "write prices with two decimals, or without separators of thousands",
    "not_utf8": "save the file as UTF-8",
}
"""What mends it, where the reason does not say so by itself."""

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
    """The first few rows of each reason: id if there is one, line, and the value that is wrong."""

    notes: Sequence[str] = ()
    """How the source was read, where that is not as usual; each in words."""

    lost: Sequence[str] = ()
    """Columns that the catalogue had before and the source lacks."""

    guessed: str = ""
    """What `CATALOG_COLUMNS` would say, where columns were found by well-known names; else empty."""

    def packed(self) -> Mapping[str, object]:
        """The report as JSON can hold it."""
        return {
            **{name: getattr(self, name) for name in ("rows", "notes", "lost", "guessed")},
            "dropped": dict(self.dropped),
            "examples": dict(self.examples),
        }

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> Self:
        """The report that `packed` made."""
        return cls(
            packed["rows"],
            packed["dropped"],
            {reason: tuple(lines) for reason, lines in packed["examples"].items()},
            tuple(packed["notes"]),
            tuple(packed["lost"]),
            packed["guessed"],
        )

    def log(self, label: str) -> None:
        """Log which rows are not shown, one event for each reason, and how the source was read."""
        import structlog  # noqa: PLC0415  # half the start of the child that fills a report and logs nothing

        _log = structlog.stdlib.get_logger(__name__)
        if self.guessed:
            _log.info("catalog_columns_guessed", source=label, columns=self.guessed)
        for note in self.notes:
            _log.warning("catalog_read_as", source=label, note=note)
        for reason, count in self.dropped.items():
            more = {"mend": WAYS_OUT[reason]} if reason in WAYS_OUT else {}
            first = list(self.examples[reason])
            _log.warning("catalog_rows_dropped", source=label, reason=reason, count=count, first=first, **more)
        if self.lost:
            _log.warning("catalog_columns_lost", source=label, columns=list(self.lost))


class RowTally:
    """Counts the rows of a source, and those that are not shown.

    Args:
        unit: What numbers of rows count.
    """

    def __init__(self, unit: Unit = "line") -> None:
        self.rows = 0
        self.dropped: Counter[DropReason] = Counter()
        self.lacking: Counter[str] = Counter()
        """Rows without each of an item's columns, whatever else is wrong with them."""
        self.insecure = 0
        """Items whose image comes without TLS."""
        self.first_insecure = ""
        self.rounded = 0
        """Items whose id Excel has rounded."""
        self.first_rounded = ""
        self._unit = unit
        self._examples: dict[DropReason, list[str]] = {}

    @property
    def items(self) -> int:
        """Rows that can be shown."""
        return self.rows - self.dropped.total()

    def drop(self, reason: DropReason, item_id: object, line: int, value: object = None, problem: str = "") -> None:
        """Count a row that is not shown, and name it if it is among the first.

        Args:
            reason: Why.
            item_id: Its id; blank if it has none.
            line: Its number.
            value: What is wrong; None where nothing is there.
            problem: Why, where the reason does not say it.
        """
        self.dropped[reason] += 1
        examples = self._examples.setdefault(reason, [])
        if len(examples) < MAX_NAMED_ROWS:
            text = str(item_id or "")[:MAX_ID_CHARACTERS].encode(errors="backslashreplace").decode()
            where = f"{text} ({self._unit} {line})" if text else f"{self._unit} {line}"
            examples.append(": ".join(filter(None, [where, problem, "" if value is None else shown(value)])))

    def image(self, address: str, item_id: str, line: int) -> bool:
        """Count an image without TLS, which mail programs may not show; always false."""
        self.insecure += 1
        if self.insecure == 1:
            self.first_insecure = f"{item_id} ({self._unit} {line}): {shown(address)}"
        return False

    def is_whole(self, item_id: str, line: int) -> bool:
        """Whether an id is no number that Excel has rounded; one that is gets counted."""
        if ROUNDED.fullmatch(item_id) is None:
            return True
        self.rounded += 1
        if self.rounded == 1:
            self.first_rounded = f"{shown(item_id)} ({self._unit} {line})"
        return False

    def report(self, notes: Sequence[str] = (), lost: Sequence[str] = (), guessed: str = "") -> CatalogReport:
        """The counts so far."""
        if self.insecure:
            what = f"{self.insecure:,} {'image comes' if self.insecure == 1 else 'images come'} over http://"
            notes = [*notes, f"{what}, which mail programs may not show; first: {self.first_insecure}"]
        if self.rounded:
            what = (
                f"{self.rounded:,} {'id looks' if self.rounded == 1 else 'ids look'} like a number that Excel rounded"
            )
            notes = [*notes, f"{what}; format the column as text before saving; first: {self.first_rounded}"]
        return CatalogReport(
            self.rows,
            MappingProxyType(dict(self.dropped)),
            MappingProxyType({reason: tuple(lines) for reason, lines in self._examples.items()}),
            tuple(notes),
            tuple(lost),
            guessed,
        )

    def nothing_usable(self, label: str) -> CatalogError:
        """The error of a source without a single row that can be shown."""
        found = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items()) or "no rows at all"
        problem = f"{label}: no usable row ({found})"
        for reason, _ in self.dropped.most_common(1):
            problem += f"; {MEANING[reason]}: {self._examples[reason][0]}"
            problem += f"; {WAYS_OUT[reason]}" if reason in WAYS_OUT else ""
        return CatalogError(problem)
