"""Rows become items, as they will be written into answers."""

from collections.abc import Mapping
from math import isfinite
from typing import IO

from service.catalog.item import NotWritable, record_of
from service.catalog.reading.columns import Columns
from service.catalog.reading.exclusion import Eligible, Exclusion
from service.catalog.reading.formats import open_rows, readable_errors
from service.catalog.reading.ports import MixedColumn, Record, RowSource, Sink, TooManyRows
from service.catalog.reading.report import LACKING, DropReason, RowTally
from service.constants import MAX_ID_CHARACTERS

_MAX_INT_CHARACTERS = 15
"""Characters of a price that is read as a whole number; more become a float, as in every other column."""


class RowReader:
    """Makes items of rows.

    Args:
        columns: Where rows hold what.
        eligible: The operator's exclusion; None where every row passes.
    """

    def __init__(self, columns: Columns, eligible: Eligible | None) -> None:
        place = {name: number for number, name in enumerate(columns.names)}
        self._texts = [place[columns.ours[ours]] for ours in ("id", "url", "name", "image")]
        self._price = place[columns.ours["price"]]
        self._further = [place[name] for name in columns.further]
        self._columns = columns
        self._eligible = eligible

    def item(self, record: Record) -> tuple[dict[str, object], DropReason | None]:
        """The five values in the order of the answer, and the first thing that is wrong with them."""
        values = [record[place] for place in self._texts]
        # A plain text, which it mostly is, needs no call.
        item_id, url, name, image = [
            value if isinstance(value, str) and value.strip() else _text(value) for value in values
        ]
        price = _price_of(record[self._price])
        item: dict[str, object] = {"id": item_id, "url": url, "name": name, "price": price, "image": image}
        if len(item_id) > MAX_ID_CHARACTERS:
            return item, "long_id"
        if item_id and url and name and image and price is not None:
            return item, None
        return item, next(reason for ours, reason in LACKING.items() if item[ours] in ("", None))

    def further(self, record: Record) -> list[object]:
        """The values of the further columns."""
        return [record[place] for place in self._further]

    def is_eligible(self, item: Mapping[str, object], record: Record) -> bool:
        """Whether the operator's exclusion lets it through."""
        return self._eligible is None or self._eligible(self.mapping(item, record))

    def mapping(self, item: Mapping[str, object], record: Record) -> dict[str, object]:
        """The row by column name; an item's columns are as they will be shown, under both names."""
        row = {**item, **dict(zip(self._columns.names, record, strict=True))}
        for ours, theirs in self._columns.ours.items():
            row[theirs] = item[ours]
        return row


def read_items(
    stream: IO[bytes],
    name: str,
    sink: Sink,
    *,
    label: str,
    column_mapping: Mapping[str, str],
    exclusion: Exclusion | None = None,
    max_rows: int | None = None,
) -> tuple[Columns, RowTally]:
    """Read a whole stream into a sink.

    Further columns are kept under the source's own name. In a CSV file a column is numbers when all its values are,
    else text, and an empty cell is null; JSON Lines keep their types. Rows that could not be shown complete are
    dropped and counted. Where rows have the same id, the first counts.

    No more than a row is held in memory. The stream may be read more than once.

    Args:
        stream: As it is stored, gzip included. It must be able to seek.
        name: Name of the file; its end names the format.
        sink: Takes the items in their order.
        label: Names the source in errors.
        column_mapping: Our name to the source's, for columns that are called otherwise.
        exclusion: The operator's; asked once for each row that is kept.
        max_rows: Most rows that may be there; None for any number.

    Raises:
        CatalogError: It cannot be read to its end, or lacks a column.
        TooManyRows: There are more rows than `max_rows`.
    """
    with readable_errors(label), open_rows(stream, name, label) as source:
        columns = Columns.matched(source.names, column_mapping, label)
        reader = RowReader(columns, None if exclusion is None else exclusion(columns))
        try:
            return columns, _fill(source, reader, sink, columns, max_rows)
        except MixedColumn:
            sink.clear()
            source.learn_types()
            return columns, _fill(source, reader, sink, columns, max_rows)


def _fill(source: RowSource, reader: RowReader, sink: Sink, columns: Columns, max_rows: int | None) -> RowTally:
    tally = RowTally()
    for record in source.records(texts=columns.texts):
        tally.rows += 1
        if max_rows is not None and tally.rows > max_rows:
            raise TooManyRows
        if record is None:
            tally.drop("malformed", None, source.line)
            continue
        item, reason = reader.item(record)
        item_id = str(item["id"])
        if reason is None and item_id in sink:
            reason = "duplicate"
        if reason is not None:
            tally.drop(reason, item_id, source.line)
            continue
        try:
            kept = record_of(item, reader.further(record))
        except NotWritable:
            tally.drop("malformed", item_id, source.line)
            continue
        sink.add(source.line, item_id, kept, eligible=reader.is_eligible(item, record))
    return tally


def _text(value: object) -> str:
    """The value as text; empty when it is missing, blank, or cannot stand for a text."""
    if isinstance(value, str):
        return value if value.strip() else ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""


def _price_of(value: object) -> int | float | None:
    if isinstance(value, str):
        value = _number(value.strip())
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
        return None
    return value or 0


def _number(text: str) -> int | float | None:
    """A number, whole when it is written without a point; None for anything else."""
    if not text.isascii() or "_" in text:
        return None
    try:
        return int(text) if text.lstrip("-").isdigit() and len(text) <= _MAX_INT_CHARACTERS else float(text)
    except ValueError:
        return None
