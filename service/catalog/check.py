"""A report on a catalogue, for the people who keep its items."""

import asyncio
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from service.aws.session import AwsSession
from service.catalog.adapters.source import open_source
from service.catalog.item import ITEM_COLUMNS
from service.catalog.ports import SourceContent
from service.catalog.reading.columns import Columns
from service.catalog.reading.exclusion import Eligible, compiled_exclusion, parsed_exclusion
from service.catalog.reading.formats import open_rows, readable_errors
from service.catalog.reading.report import LACKING, CatalogReport, DropReason, RowTally
from service.catalog.reading.rows import RowReader
from service.constants import MAX_ID_CHARACTERS
from service.filters import Filter

_MEANING: Final[Mapping[DropReason, str]] = {
    "malformed": "not readable as a row",
    "missing_id": "no id",
    "long_id": f"id longer than {MAX_ID_CHARACTERS}",
    "missing_url": "no url",
    "missing_name": "no name",
    "bad_price": "no price, or not a number from 0",
    "missing_image": "no image",
    "duplicate": "id of an earlier row",
}

_WIDTH: Final = 34
"""Characters of the first column of the report."""


@dataclass(frozen=True, slots=True)
class ExclusionCheck:
    """What one expression of an exclusion would do."""

    expression: str
    """The expression as the service reads it."""

    removed: int | None
    """How many of the items that can be shown it removes; None if that depends on the request."""


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
        if self.report.dropped:
            yield from ("", "Rows that cannot be shown, by the first thing that is wrong")
            for reason, count in sorted(self.report.dropped.items(), key=lambda entry: -entry[1]):
                yield _line(_MEANING[reason], count, f"first: {', '.join(self.report.examples[reason])}")
        if any(self.lacking.values()):
            yield from ("", "Rows that lack something, each counted for everything it lacks")
            for name in ITEM_COLUMNS:
                if self.lacking.get(name):
                    yield _line(_MEANING[LACKING[name]], self.lacking[name])
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
            yield _line("left by all together", self.left, _share(self.left, self.shown))


async def check_catalog(
    url: str, *, column_mapping: Mapping[str, str], exclusion_filters: Sequence[str] = ()
) -> CatalogCheck:
    """What is in a source, read to its end; the scan of a table costs a read of all of it.

    Args:
        url: As in `CATALOG_URL`.
        column_mapping: As in `CATALOG_COLUMNS`.
        exclusion_filters: Each as in `EXCLUSION_FILTER`.

    Raises:
        CatalogError: The source cannot be read to its end or lacks a column, or a filter cannot work on it.
    """
    filters = [parsed_exclusion(expression) for expression in exclusion_filters]
    async with AwsSession() as aws:
        source = open_source(url, aws=aws, column_mapping=column_mapping, data_dir=Path(tempfile.gettempdir()))
        try:
            async with source.opened() as content:
                return await asyncio.to_thread(_check, content, source.label, column_mapping, filters)
        finally:
            await source.close()


def _check(
    content: SourceContent, label: str, column_mapping: Mapping[str, str], filters: Sequence[Filter]
) -> CatalogCheck:
    prices = array("d")
    lacking: Counter[str] = Counter()
    seen: set[str] = set()
    with readable_errors(label), open_rows(content.stream, content.name, label) as source:
        columns = Columns.matched(source.names, column_mapping, label)
        source.learn_types()
        reader = RowReader(columns, None)
        tally = RowTally()
        parts = [
            (str(expression), compiled_exclusion(Filter((expression,), text=tree.text), columns))
            for tree in filters
            for expression in tree.expressions
        ]
        tests = [test for _, test in parts if test is not None]
        removed = [0] * len(tests)
        left = 0
        for record in source.records(texts=columns.texts):
            tally.rows += 1
            if record is None:
                tally.drop("malformed", None, source.line)
                continue
            item, reason = reader.item(record)
            lacking.update(ours for ours in ITEM_COLUMNS if item[ours] in ("", None))
            item_id = str(item["id"])
            if reason is None and item_id in seen:
                reason = "duplicate"
            if reason is not None:
                tally.drop(reason, item_id, source.line)
                continue
            seen.add(item_id)
            prices.append(cast("float", item["price"]))
            left += _count(tests, reader.mapping(item, record), removed)
    counts = iter(removed)
    return CatalogCheck(
        label=label,
        report=tally.report(),
        columns=columns.further,
        lacking=lacking,
        prices=sorted(prices),
        exclusions=[ExclusionCheck(text, None if test is None else next(counts)) for text, test in parts],
        left=left,
    )


def _count(tests: Sequence[Eligible], row: Mapping[str, object], removed: list[int]) -> bool:
    """Count the row for each test that removes it; whether none does."""
    is_left = True
    for number, test in enumerate(tests):
        if not test(row):
            removed[number] += 1
            is_left = False
    return is_left


def _line(what: str, count: int, more: str = "") -> str:
    return f"  {what:<{_WIDTH}}{count:>12,}  {more}".rstrip()


def _price(what: str, price: float) -> str:
    return f"  {what:<{_WIDTH}}{price:>12,.2f}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""
