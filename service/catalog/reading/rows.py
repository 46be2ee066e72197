"""Rows of a CSV or JSON Lines stream, each turned into an item ready to be written out."""

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import isfinite
from types import MappingProxyType
from typing import IO, Final, Literal, Protocol, TypeVar, cast

import orjson
import structlog

from service.catalog.item import ITEM_COLUMNS, CatalogRow, NotWritable
from service.constants import MAX_ID_CHARACTERS
from service.errors import CatalogError
from service.filters import Filter, FilterError, FilterExpressionError, compile_item_exclusion, parse_filter

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
"""Why a row is not shown; `malformed` is a line that is no JSON object or has more cells than the header."""

Eligible = Callable[[Mapping[str, object]], bool]
"""Told a row by column name, the source's and our five; False keeps it from every answer."""

Exclusion = Callable[["Columns"], Eligible | None]
"""Makes the test from the columns that rows will have; None where every row passes."""

LACKING: Final[Mapping[str, DropReason]] = {
    "id": "missing_id",
    "url": "missing_url",
    "name": "missing_name",
    "price": "bad_price",
    "image": "missing_image",
}

SUFFIXES: Final = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz")
"""How a source's name ends; it tells the format."""

IDS_NAMED: Final = 5
"""Dropped rows named for each reason: enough to find the mistake in a line of bounded length."""

MAX_COLUMNS: Final = 1_000
"""Of a source. Every item holds a value for each, so that objects with keys of their own would fill the memory."""

MAX_LINE_CHARACTERS: Final = 1 << 20
"""Of one line: what goes on without an end is no catalogue, and a small file unpacks to gigabytes of it."""

_OTHER_NAMES: Final = {"id": ("item_id",)}

_Line = TypeVar("_Line", str, bytes)

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?")
"""A number as a program writes it; at most 15 digits, so that a float keeps them all."""


@dataclass(frozen=True, slots=True)
class CatalogReport:
    """What came of a load.

    Attributes:
        rows: Rows of the source, blank lines aside.
        dropped: How many of them are not shown, by reason; a reason without a row is left out.
        examples: The first few rows of each reason, each named by id if it has one, and by line.
    """

    rows: int
    dropped: Mapping[DropReason, int]
    examples: Mapping[DropReason, Sequence[str]] = field(default_factory=dict)


class Sink(Protocol):
    """Where items go as they are read."""

    def __contains__(self, item_id: object) -> bool:
        """Whether the id is here already; a sink that finds duplicates at its end says no."""

    def add(self, line: int, item_id: str, item: bytes, *, eligible: bool) -> None:
        """Take an item's record; see `service.catalog.item`."""

    def clear(self) -> None:
        """Forget all: the source is read once more from its beginning."""


class TooManyRows(Exception):
    """The source has more rows than wanted."""


class _MixedColumn(Exception):
    """A column that began with numbers goes on with text."""


@contextmanager
def readable_errors(label: str) -> Iterator[None]:
    """Turn what reading a stream raises into a line for the operator."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CatalogError(f"{label}: the gzip data is damaged or cut short: {error}") from error
    except OSError as error:
        raise CatalogError(f"{label}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CatalogError(f"{label}: is not UTF-8: {error.reason} {error.object[error.start]:#04x}") from error


def exclusion_of(expression: str | None) -> Exclusion | None:
    """The exclusion that a filter makes; one with placeholders is only checked, since requests decide it.

    Raises:
        CatalogError: It is no filter.
    """
    if not expression:
        return None
    tree = parsed_exclusion(expression)
    return lambda columns: compiled_exclusion(tree, columns)


def parsed_exclusion(expression: str) -> Filter:
    """The tree of the operator's filter.

    Raises:
        CatalogError: It is no filter.
    """
    try:
        return parse_filter(expression)
    except FilterError as error:
        raise CatalogError(_in_one_line(error)) from error


def compiled_exclusion(tree: Filter, columns: "Columns") -> Eligible | None:
    """The test over rows that have these columns; None for a filter with placeholders.

    Raises:
        CatalogError: It asks for a column that is not there, or for anything but columns.
    """
    # What has placeholders is asked when items are rendered, which go by our names alone.
    names = [*ITEM_COLUMNS, *columns.further] if tree.placeholders else columns.for_filters
    try:
        predicate = compile_item_exclusion(tree, names)
    except FilterError as error:
        raise CatalogError(_in_one_line(error)) from error
    return cast("Eligible", predicate.bind()) if predicate.is_static else None


def _in_one_line(error: FilterError) -> str:
    message = str(error).partition("\n")[0] if isinstance(error, FilterExpressionError) else str(error)
    return f"EXCLUSION_FILTER: {message}"


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a row holds what.

    Attributes:
        names: All columns by place; empty for a cell that has no name.
        ours: Our name to the source's.
        further: Names of all but our five, in the source's order.
    """

    names: tuple[str, ...]
    ours: Mapping[str, str]
    further: tuple[str, ...]

    @classmethod
    def matched(cls, names: Sequence[str], column_mapping: Mapping[str, str], label: str) -> "Columns":
        """Find our five among the source's.

        Raises:
            CatalogError: One is not there, or the mapping names what it cannot.
        """
        ours = _matched([name for name in names if name], column_mapping, label)
        taken = set(ours.values())
        return cls(tuple(names), ours, tuple(name for name in names if name and name not in taken))

    @property
    def for_filters(self) -> list[str]:
        """What a filter may ask for: the source's columns, and ours where that is no second meaning."""
        named = [name for name in self.names if name]
        lower = {name.lower() for name in named}
        return [*named, *(name for name in ITEM_COLUMNS if name not in lower)]


class RowReader:
    """Makes items of rows, and counts those that are not fit."""

    def __init__(self, columns: Columns, eligible: Eligible | None) -> None:
        place = {name: number for number, name in enumerate(columns.names)}
        self._texts = [place[columns.ours[ours]] for ours in ITEM_COLUMNS if ours != "price"]
        self._price = place[columns.ours["price"]]
        self._further = [place[name] for name in columns.further]
        self._columns = columns
        self._eligible = eligible
        self.rows = 0
        self.dropped: Counter[DropReason] = Counter()
        self.named: dict[DropReason, list[str]] = {}
        self.examples: dict[DropReason, list[str]] = {}

    def item(self, record: Sequence[object]) -> tuple[dict[str, object], DropReason | None]:
        """The five values in the order of the answer, and the first thing that is wrong with them."""
        price = _price_of(record[self._price])
        texts = [record[place] for place in self._texts]
        for text in texts:
            if not isinstance(text, str) or not text.strip():
                texts = [_text(text) for text in texts]
                break
        item_id, url, name, image = texts
        item: dict[str, object] = {"id": item_id, "url": url, "name": name, "price": price, "image": image}
        if len(cast("str", item_id)) > MAX_ID_CHARACTERS:
            return item, "long_id"
        if item_id and url and name and image and price is not None:
            return item, None
        return item, next(reason for ours, reason in LACKING.items() if item[ours] in ("", None))

    def further(self, record: Sequence[object]) -> list[object]:
        """The values of the further columns."""
        return [record[place] for place in self._further]

    def is_eligible(self, item: Mapping[str, object], record: Sequence[object]) -> bool:
        """Whether the operator's exclusion lets it through."""
        return self._eligible is None or self._eligible(self.mapping(item, record))

    def mapping(self, item: Mapping[str, object], record: Sequence[object]) -> dict[str, object]:
        """The row by column name; ours are as they will be shown."""
        row = {**item, **dict(zip(self._columns.names, record, strict=True))}
        for ours, theirs in self._columns.ours.items():
            row[theirs] = item[ours]
        return row

    def drop(self, reason: DropReason, item_id: object, line: int) -> None:
        """Count a row that is not fit, and name it if it is among the first."""
        self.dropped[reason] += 1
        named = self.named.setdefault(reason, [])
        if len(named) < IDS_NAMED:
            text = str(item_id or "")[:MAX_ID_CHARACTERS]
            named.append(text or f"row {self.rows}")
            self.examples.setdefault(reason, []).append(f"{text} (line {line})" if text else f"line {line}")

    def report(self) -> CatalogReport:
        """What was counted."""
        return CatalogReport(
            self.rows,
            MappingProxyType(dict(self.dropped)),
            MappingProxyType({reason: tuple(lines) for reason, lines in self.examples.items()}),
        )

    def nothing_usable(self, label: str) -> CatalogError:
        """What to say of a source without a single fit row."""
        found = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items()) or "no rows at all"
        return CatalogError(f"{label}: no usable row ({found})")


def log_dropped(label: str, dropped: Mapping[DropReason, int], named: Mapping[DropReason, Sequence[str]]) -> None:
    """Say which rows are not shown."""
    for reason, count in dropped.items():
        _log.warning("catalog rows dropped", source=label, reason=reason, count=count, first=named[reason])


def read_items(
    stream: IO[bytes],
    name: str,
    sink: Sink,
    *,
    label: str,
    column_mapping: Mapping[str, str],
    exclusion: Exclusion | None = None,
    limit: int | None = None,
) -> tuple[Columns, RowReader]:
    """Read a whole stream into a sink.

    A column is found under our name in any case, id also under ITEM_ID. Further columns are kept under the
    source's own name: in a CSV file a column is numbers when all its values are, else text, and an empty cell
    is null; JSON Lines keep their types. Rows that could not be shown complete are dropped and counted. Of
    rows with the same id the first counts.

    No more than a row is held in memory. A stream may be read more than once, so it must be able to seek.

    Args:
        stream: As it is stored, gzip included.
        name: Of the file; its end tells the format.
        sink: Takes the items in their order.
        label: Names the source in errors.
        column_mapping: Our name to the source's, for those that are called otherwise.
        exclusion: The operator's; asked once for each row that is kept.
        limit: Rows that may be there.

    Raises:
        CatalogError: It cannot be read to its end, or lacks a column.
        TooManyRows: There are more rows than the limit.
    """
    with readable_errors(label), open_rows(stream, name, label) as source:
        columns = Columns.matched(source.names, column_mapping, label)
        eligible = None if exclusion is None else exclusion(columns)
        reader = RowReader(columns, eligible)
        try:
            _fill(source, reader, sink, columns, limit)
        except _MixedColumn:
            sink.clear()
            reader = RowReader(columns, eligible)
            source.learn_types()
            _fill(source, reader, sink, columns, limit)
        return columns, reader


def text_columns(columns: Columns) -> frozenset[str]:
    """Columns whose cells are left as they are: text, and the price, which is read by rules of its own."""
    return frozenset(columns.ours.values())


def _fill(source: "RowSource", reader: RowReader, sink: Sink, columns: Columns, limit: int | None) -> None:
    for record in source.records(texts=text_columns(columns)):
        reader.rows += 1
        if limit is not None and reader.rows > limit:
            raise TooManyRows
        if record is None:
            reader.drop("malformed", None, source.line)
            continue
        item, reason = reader.item(record)
        item_id = cast("str", item["id"])
        if reason is None and item_id in sink:
            reason = "duplicate"
        if reason is not None:
            reader.drop(reason, item_id, source.line)
            continue
        try:
            encoded = CatalogRow.from_values(item, reader.further(record)).record()
        except NotWritable:
            reader.drop("malformed", item_id, source.line)
            continue
        sink.add(source.line, item_id, encoded, eligible=reader.is_eligible(item, record))


class RowSource(Protocol):
    """A stream of rows; it can be read again."""

    @property
    def line(self) -> int:
        """Line on which the last row ended, from 1."""

    @property
    def names(self) -> Sequence[str]:
        """Every column by its place in a record; empty for a cell without a name."""

    def records(self, *, texts: Collection[str] = ()) -> Iterator[Sequence[object] | None]:
        """Every row; None for one that cannot be read. The columns in `texts` are not taken for numbers."""

    def learn_types(self) -> None:
        """Look at every row before the next `records`."""


@contextmanager
def open_rows(stream: IO[bytes], name: str, label: str) -> Iterator[RowSource]:
    """The rows of a stream, which stays open; the end of its name tells the format."""
    with ExitStack() as stack:
        if name.endswith(".gz"):
            stream = cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=stream, mode="rb")))
        if name.removesuffix(".gz").endswith(".jsonl"):
            yield _JsonLines(stream, label)
        else:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
            stack.callback(text.detach)
            yield _Csv(text, label)


class _Csv:
    """A CSV file.

    A column is taken for numbers until a cell shows otherwise. Since that is mostly the first one, one pass
    mostly does; if numbers have been given out before, all must be read anew.
    """

    def __init__(self, text: IO[str], label: str) -> None:
        self._text = text
        self._label = label
        with self._readable():
            self.names: Sequence[str] = [name.strip() for name in next(self._rows(), [])]
        _check_count(self.names, label)
        repeated = [name for name, count in Counter(filter(None, self.names)).items() if count > 1]
        if repeated:
            raise CatalogError(f"{label}: the header names {', '.join(repeated)} more than once")
        self._numbers: frozenset[int] | None = None

    @property
    def line(self) -> int:
        """Line on which the last row ended, from 1."""
        return self._reader.line_num

    def records(self, *, texts: Collection[str] = ()) -> Iterator[Sequence[object] | None]:
        with self._readable():
            yield from self._typed(texts)

    def _typed(self, texts: Collection[str]) -> Iterator[Sequence[object] | None]:
        width = len(self.names)
        known = self._numbers
        possible = set(range(width)) if known is None else known
        numbers = [place for place in possible if self.names[place] and self.names[place] not in texts]
        seen: set[int] = set()
        is_number = _NUMBER.fullmatch
        for row in self._records():
            if len(row) > width:
                yield None
                continue
            record: list[object] = [cell or None for cell in row]
            if len(row) < width:
                record += [None] * (width - len(row))
            texts_found = False
            for place in numbers:
                cell = cast("str | None", record[place])
                if cell is None:
                    continue
                if is_number(cell):
                    record[place] = float(cell) if "." in cell else int(cell)
                    seen.add(place)
                elif place in seen:
                    raise _MixedColumn
                else:
                    texts_found = True
            if texts_found:
                numbers = [place for place in numbers if not isinstance(record[place], str)]
            yield record

    def learn_types(self) -> None:
        with self._readable():
            self._numbers = _number_columns(self.names, self._records())

    def _rows(self) -> Iterator[list[str]]:
        self._text.seek(0)
        # Not strict, a quote that is never closed would silently swallow the rest of the file.
        self._reader = csv.reader(_lines(self._text.readline, self._label), strict=True)
        return filter(None, self._reader)

    def _records(self) -> Iterator[list[str]]:
        rows = self._rows()
        next(rows, None)
        return rows

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except csv.Error as error:
            raise CatalogError(f"{self._label}: line {self.line}: {error}") from error


def _lines(readline: Callable[[int], _Line], label: str) -> Iterator[_Line]:
    """Every line of a stream.

    Raises:
        CatalogError: One is too long.
    """
    number = 0
    while line := readline(MAX_LINE_CHARACTERS + 1):
        number += 1
        if len(line) > MAX_LINE_CHARACTERS:
            raise CatalogError(f"{label}: line {number}: longer than {MAX_LINE_CHARACTERS:,} characters")
        yield line


def _number_columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> frozenset[int]:
    """Places of columns with at least one value, all of whose values are numbers."""
    possible = {place: False for place, name in enumerate(header) if name}
    for row in rows:
        if len(row) > len(header):
            continue
        for place in list(possible):
            if place < len(row) and row[place]:
                if _NUMBER.fullmatch(row[place]):
                    possible[place] = True
                else:
                    del possible[place]
    return frozenset(place for place, seen in possible.items() if seen)


class _JsonLines:
    """A file of one JSON object a line; a first pass collects the columns."""

    def __init__(self, stream: IO[bytes], label: str) -> None:
        self._stream = stream
        self._label = label
        self.line = 0
        names: dict[str, None] = {}
        for record in self._objects():
            if record is not None and not names.keys() >= record.keys():
                names.update(dict.fromkeys(record))
                _check_count(names, label)
        self.names: Sequence[str] = list(filter(None, names))

    def records(self, *, texts: Collection[str] = ()) -> Iterator[Sequence[object] | None]:
        del texts  # JSON says itself what is a number
        names = self.names
        for record in self._objects():
            yield None if record is None else [record.get(name) for name in names]

    def learn_types(self) -> None:
        """Nothing to learn."""

    def _objects(self) -> Iterator[Mapping[str, object] | None]:
        self._stream.seek(0)
        for number, line in enumerate(_lines(self._stream.readline, self._label), 1):
            self.line = number
            text = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()
            if text:
                yield _json_object(text)


def _json_object(text: bytes) -> Mapping[str, object] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _check_count(names: Collection[str], label: str) -> None:
    if len(names) > MAX_COLUMNS:
        raise CatalogError(f"{label}: more than {MAX_COLUMNS:,} columns")


def _matched(names: Sequence[str], column_mapping: Mapping[str, str], label: str) -> dict[str, str]:
    """Our name to the source's."""
    unknown = sorted(set(column_mapping) - set(ITEM_COLUMNS))
    if unknown:
        raise CatalogError(f"CATALOG_COLUMNS: {', '.join(unknown)}: only {', '.join(ITEM_COLUMNS)} can be mapped")
    if not names:
        raise CatalogError(f"{label}: no usable row (it is empty, or nothing in it is a row)")
    found = {ours: _match(ours, names, column_mapping) for ours in ITEM_COLUMNS}
    missing = [column_mapping.get(ours, ours) for ours, theirs in found.items() if theirs is None]
    if missing:
        there = ", ".join(names)[:200]
        raise CatalogError(f"{label}: no column {', '.join(missing)}; it has {there}")
    return {ours: theirs for ours, theirs in found.items() if theirs is not None}


def _match(ours: str, names: Sequence[str], column_mapping: Mapping[str, str]) -> str | None:
    if ours in column_mapping:
        return column_mapping[ours] if column_mapping[ours] in names else None
    if ours in names:
        return ours
    for wanted in (ours, *_OTHER_NAMES.get(ours, ())):
        for name in names:
            if name.lower() == wanted and name not in column_mapping.values():
                return name
    return None


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
        return int(text) if text.lstrip("-").isdigit() and len(text) < 16 else float(text)  # noqa: PLR2004  # see _NUMBER
    except ValueError:
        return None
