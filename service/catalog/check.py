"""A report on a catalogue, for the people who keep its items."""

import asyncio
import tempfile
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

import orjson

from service.aws.session import AwsSession
from service.catalog.adapters.source import open_source
from service.catalog.item import ITEM_COLUMNS
from service.catalog.ports import SourceContent
from service.catalog.reading.cells import shown
from service.catalog.reading.columns import Columns
from service.catalog.reading.exclusion import Eligible, compiled_exclusion, parsed_exclusion
from service.catalog.reading.report import LACKING, MEANING, WAYS_OUT, CatalogReport
from service.catalog.reading.rows import read_items
from service.filters import Filter
from service.filters.model import Dataset, Expression, Field, Membership

_WIDTH: Final = 34
"""Characters of the first column of the report."""

MAX_NAMED_ITEMS: Final = 5


@dataclass(frozen=True, slots=True)
class ExclusionCheck:
    """What one expression of an exclusion would do."""

    expression: str
    """The expression as the service reads it."""

    removed: int | None
    """How many of the items that can be shown it removes; None if that depends on the request."""

    nearly: Sequence[str] = ()
    """Values of items that differ from one of its texts in capitals, blanks or `_` only, and are not meant by it."""


@dataclass(frozen=True, slots=True)
class CatalogCheck:
    """What is in a catalogue."""

    label: str
    """Names the source."""

    report: CatalogReport

    columns: Sequence[str]
    """Names of the further columns."""

    lacking: Mapping[str, int]
    """Rows without each of an item's columns, whatever else is wrong with them."""

    prices: Sequence[float]
    """Prices of the items that can be shown, ascending."""

    exclusions: Sequence[ExclusionCheck]
    """One for each expression, in the order given."""

    left: int
    """Items that all exclusions together leave."""

    unknown: Sequence[str] = ()
    """Curated ids that cannot be shown."""

    @property
    def shown(self) -> int:
        """Items that could be shown."""
        return len(self.prices)

    def lines(self) -> Iterator[str]:
        """The report as it is printed."""
        rows = self.report.rows
        yield self.label
        yield _line("rows", rows)
        yield _line("items that can be shown", self.shown, _share(self.shown, rows))
        yield _line("rows that cannot", rows - self.shown, _share(rows - self.shown, rows))
        yield f"further columns: {', '.join(self.columns) or 'none'}"
        if self.report.guessed:
            yield f"columns guessed; to have them so for good: CATALOG_COLUMNS={self.report.guessed}"
        yield from (f"the file {note}" if note.startswith(("is ", "names ")) else note for note in self.report.notes)
        yield from self._dropped_lines()
        if self.prices:
            yield from ("", "Prices of the items that can be shown")
            yield from (_price("lowest", self.prices[0]), _price("median", self.prices[self.shown // 2]))
            yield _price("highest", self.prices[-1])
            yield _line("for nothing", sum(price == 0 for price in self.prices))
        if self.exclusions:
            yield from ("", "Items that exclusions remove")
            for one in self.exclusions:
                yield f"  {one.expression}"
                if one.removed is None:
                    yield "    depends on the request"
                else:
                    yield _line("  removes", one.removed, _share(one.removed, self.shown))
                if one.nearly:
                    named = ", ".join(map(shown, one.nearly))
                    yield f"    does not mean {named}, which the column has too; name every spelling"
            yield _line("left by all together", self.left, _share(self.left, self.shown))
        if self.unknown:
            yield ""
            named = ", ".join(self.unknown[:MAX_NAMED_ITEMS])
            yield _line("of POPULAR_ITEMS not there", len(self.unknown), f"first: {named}")

    def _dropped_lines(self) -> Iterator[str]:
        if self.report.dropped:
            yield from ("", "Rows that cannot be shown, by the first thing that is wrong")
            for reason, count in sorted(self.report.dropped.items(), key=lambda entry: -entry[1]):
                yield _line(MEANING[reason], count, f"first: {', '.join(self.report.examples[reason])}")
                if reason in WAYS_OUT:
                    yield f"    {WAYS_OUT[reason]}"
        if any(self.lacking.values()):
            yield from ("", "Rows that lack something, each counted for everything it lacks")
            for name in ITEM_COLUMNS:
                if self.lacking.get(name):
                    yield _line(MEANING[LACKING[name]], self.lacking[name])


async def check_catalog(
    url: str,
    *,
    column_mapping: Mapping[str, str],
    exclusion_filters: Sequence[str] = (),
    curated: Sequence[str] = (),
) -> CatalogCheck:
    """What is in a source, read to its end by the rules of the service; the scan of a table costs a read of all of it.

    Args:
        url: As in `CATALOG_URL`.
        column_mapping: As in `CATALOG_COLUMNS`.
        exclusion_filters: Each as in `EXCLUSION_FILTER`.
        curated: As in `POPULAR_ITEMS`.

    Raises:
        CatalogError: The source cannot be read to its end or lacks a column, or a filter cannot work on it.
    """
    filters = [parsed_exclusion(expression) for expression in exclusion_filters]
    async with AwsSession() as aws:
        source = open_source(url, aws=aws, column_mapping=column_mapping, data_dir=Path(tempfile.gettempdir()))
        try:
            async with source.opened() as content:
                return await asyncio.to_thread(_check, content, source.label, column_mapping, filters, curated)
        finally:
            await source.close()


class _Counts:
    """Counts items instead of keeping them; a `Sink`, and the exclusions that it counts with."""

    def __init__(self, filters: Sequence[Filter]) -> None:
        self.prices = array("d")
        self.ids: set[str] = set()
        self.parts: list[tuple[str, Eligible | None]] = []
        self.removed: list[int] = []
        self.left = 0
        self.nearly: list[dict[str, None]] = []
        self._filters = filters

    def __contains__(self, item_id: object) -> bool:
        return item_id in self.ids

    def add(self, line: int, item_id: str, record: bytes, *, eligible: bool) -> None:
        """Take an item."""
        del line
        self.ids.add(item_id)
        self.prices.append(orjson.loads(record.partition(b"\n")[0])["price"])
        self.left += eligible

    def clear(self) -> None:
        """Forget all items."""
        del self.prices[:]
        self.ids.clear()
        self.left = 0

    def exclusion(self, columns: Columns) -> Eligible:
        """A test that counts the items that each expression removes; false if any does."""
        self.parts = [
            (str(expression), compiled_exclusion(Filter((expression,), text=tree.text), columns))
            for tree in self._filters
            for expression in tree.expressions
        ]
        tests = [test for _, test in self.parts if test is not None]
        removed = self.removed = [0] * len(tests)
        named = [_Named.by_column(expression) for tree in self._filters for expression in tree.expressions]
        self.nearly = [{} for _ in named]

        def counted(row: Mapping[str, object]) -> bool:
            is_left = True
            for texts, nearly in zip(named, self.nearly, strict=True):
                if texts and len(nearly) < MAX_NAMED_ITEMS:
                    nearly.update(dict.fromkeys(_nearly(texts, row)))
            for number, test in enumerate(tests):
                if not test(row):
                    removed[number] += 1
                    is_left = False
            return is_left

        return counted


def _check(
    content: SourceContent,
    label: str,
    column_mapping: Mapping[str, str],
    filters: Sequence[Filter],
    curated: Sequence[str],
) -> CatalogCheck:
    counts = _Counts(filters)
    columns, tally, report = read_items(
        content.stream, counts, label=label, column_mapping=column_mapping, exclusion=counts.exclusion
    )
    removed = iter(counts.removed)
    return CatalogCheck(
        label=label,
        report=report,
        columns=columns.further,
        lacking=tally.lacking,
        prices=sorted(counts.prices),
        exclusions=[
            ExclusionCheck(text, None if test is None else next(removed), tuple(nearly)[:MAX_NAMED_ITEMS])
            for (text, test), nearly in zip(counts.parts, counts.nearly, strict=True)
        ],
        left=counts.left,
        unknown=[item_id for item_id in curated if item_id not in counts.ids],
    )


class _Named(NamedTuple):
    """The texts that an expression names for a column."""

    texts: frozenset[str]
    plain: frozenset[str]
    """The same, as `_plain` makes them."""

    @classmethod
    def by_column(cls, expression: Expression) -> dict[str, Self]:
        """Those of each column, in small letters."""
        texts: dict[str, set[str]] = {}
        for condition in expression.conditions():
            if isinstance(condition, Membership) and condition.field.dataset is Dataset.ITEMS:
                members = [] if isinstance(condition.members, Field) else condition.members
                found = texts.setdefault(condition.field.name.lower(), set())
                found.update(one for one in members if isinstance(one, str))
        return {name: cls(frozenset(found), frozenset(map(_plain, found))) for name, found in texts.items() if found}


def _nearly(named: Mapping[str, _Named], row: Mapping[str, object]) -> Iterator[str]:
    """What a row's columns hold that only looks like one of the texts."""
    for name, value in row.items():
        of_column = named.get(name.lower())
        if of_column and isinstance(value, str):
            parts = value.split("|")
            yield from (part for part in parts if part not in of_column.texts and _plain(part) in of_column.plain)


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _line(what: str, count: int, more: str = "") -> str:
    return f"  {what:<{_WIDTH}}{count:>12,}  {more}".rstrip()


def _price(what: str, price: float) -> str:
    return f"  {what:<{_WIDTH}}{price:>12,.2f}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""
