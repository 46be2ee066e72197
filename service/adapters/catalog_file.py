"""The catalogue from a file: CSV or JSON Lines, plain or gzip."""

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final, Literal, Protocol, cast
from urllib.parse import unquote, urlsplit

import orjson
import structlog

from service.constants import MAX_ID_CHARACTERS
from service.errors import CatalogError
from service.ports import CatalogRow

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

_LACKING: Final[Mapping[str, DropReason]] = {
    "id": "missing_id",
    "url": "missing_url",
    "name": "missing_name",
    "price": "bad_price",
    "image": "missing_image",
}

NAMES: Final = tuple(_LACKING)
"""What every item of an answer has, in its order."""

_OTHER_NAMES: Final = {"id": ("item_id",)}

_SUFFIXES: Final = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz")

_IDS_NAMED: Final = 5
"""Dropped rows named in the log for each reason: enough to find the mistake in a line of bounded length."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?")
"""A number as a program writes it; at most 15 digits, so that a float keeps them all."""


@dataclass(frozen=True, slots=True)
class CatalogReport:
    """What came of a load.

    Attributes:
        rows: Rows of the source, blank lines aside.
        dropped: How many of them are not shown, by reason; a reason without a row is left out.
    """

    rows: int
    dropped: Mapping[DropReason, int]


class MemoryCatalog:
    """A snapshot of the items in memory; implements `ItemCatalog`.

    Each item is one bytes object, so that the garbage collector has nothing to walk through.
    """

    def __init__(
        self,
        items: Mapping[str, bytes],
        *,
        columns: Sequence[str],
        version: int,
        report: CatalogReport,
        ineligible: frozenset[str] = frozenset(),
    ) -> None:
        """Take over what `load_catalog` made.

        Args:
            items: By id in the source's order: the item as JSON, a line feed, its further columns as JSON.
            columns: Names of the further columns.
            version: Grows with every change.
            report: What came of the load.
            ineligible: Ids that the operator's exclusion keeps from every answer.
        """
        self.version: Final = version
        self.columns: Final = tuple(columns)
        self.report: Final = report
        self._items = items
        self._ineligible = ineligible

    def __len__(self) -> int:
        return len(self._items)

    def rows(self, item_ids: Sequence[str]) -> list[CatalogRow | None]:
        """One entry for each id, None where the catalogue has no complete item."""
        return [self._row(item_id) for item_id in item_ids]

    def _row(self, item_id: str) -> CatalogRow | None:
        item = self._items.get(item_id)
        if item is None:
            return None
        fragment, _, extras = item.partition(b"\n")
        return CatalogRow(fragment, extras, item_id not in self._ineligible)

    def first_ids(self) -> Iterable[str]:
        """Every id in the source's own order, those that are not eligible among them."""
        return iter(self._items)


def catalog_path(url: str) -> Path:
    """The file that a `file:` URL names.

    ``file:///srv/items.csv`` is absolute; ``file:sample/items.csv`` and ``file://./sample/items.csv`` begin
    at the working directory. Escapes such as ``%20`` are resolved.

    Raises:
        CatalogError: It is no such URL, or its end does not tell the format.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise CatalogError(f"CATALOG_URL {url}: {error}") from error
    if parts.scheme != "file":
        raise CatalogError(f"CATALOG_URL {url}: not a file: URL")
    if parts.netloc not in ("", ".", "..", "localhost"):
        raise CatalogError(
            f"CATALOG_URL {url}: file:// is followed by a host; write file:///{parts.netloc}{parts.path} for"
            f" an absolute path or file:{parts.netloc}{parts.path} for a relative one"
        )
    # "#" and "?" are ordinary characters of file names.
    tail = url.strip().split(":", 1)[1].removeprefix("//")
    path = Path(unquote(tail.removeprefix(parts.netloc) if parts.netloc == "localhost" else tail))
    if not path.name.endswith(_SUFFIXES):
        raise CatalogError(f"CATALOG_URL {url}: must end in {', '.join(_SUFFIXES)}")
    return path


def load_catalog(
    url: str,
    *,
    column_mapping: Mapping[str, str],
    version: int,
    eligible: Eligible | None = None,
) -> MemoryCatalog:
    """Read a whole file; blocks, so it is called in a thread.

    A column is found under our name in any case, id also under ITEM_ID. Further columns are kept under the
    source's own name: in a CSV file a column is numbers when all its values are, else text, and an empty cell
    is null; JSON Lines keep their types. Rows that could not be shown complete are dropped, counted, and the
    first few named in the log. Of rows with the same id the first counts.

    The file is read twice, so that no more than the result is held in memory.

    Args:
        url: See `catalog_path`.
        column_mapping: Our name to the source's, for those that are called otherwise.
        version: Of the snapshot.
        eligible: The operator's exclusion; asked once for each row that is kept.

    Raises:
        CatalogError: The file cannot be read to its end, lacks a column, or holds no usable row.
    """
    path = catalog_path(url)
    try:
        with _opened(path) as stream:
            source: _Source = _JsonLines(stream) if ".jsonl" in path.suffixes else _Csv(stream)
            return _build(source, str(path), column_mapping, version, eligible)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CatalogError(f"{path}: the gzip data is damaged or cut short: {error}") from error
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CatalogError(
            f"{path}: is not UTF-8: {error.reason} {error.object[error.start]:#04x}"
        ) from error


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


class _Source(Protocol):
    @property
    def names(self) -> Sequence[str]:
        """Every column, in the source's order."""

    def records(self, *, texts: Collection[str] = ()) -> Iterator[Mapping[str, object] | None]:
        """Every row; None for one that cannot be read. The columns in `texts` are not taken for numbers."""


class _Csv:
    """A CSV file; the first pass reads the header and finds the columns that hold numbers."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        rows = self._rows()
        self._header = [name.strip() for name in next(rows, [])]
        self.names: Sequence[str] = [name for name in self._header if name]
        repeated = [name for name, count in Counter(self.names).items() if count > 1]
        if repeated:
            raise CatalogError(f"{_name(stream)}: the header names {', '.join(repeated)} more than once")
        self._numbers = _number_columns(self._header, rows)

    def records(self, *, texts: Collection[str] = ()) -> Iterator[Mapping[str, object] | None]:
        self._text.seek(0)
        rows = self._rows()
        next(rows, None)
        numbers = self._numbers.difference(texts)
        for row in rows:
            if len(row) > len(self._header):
                yield None
                continue
            record: dict[str, object] = {
                name: cell or None for name, cell in zip(self._header, row, strict=False) if name
            }
            for name in numbers:
                cell = record.get(name)
                if isinstance(cell, str):
                    record[name] = _number(cell)
            yield record

    def _rows(self) -> Iterator[list[str]]:
        # Not strict, a quote that is never closed would silently swallow the rest of the file.
        reader = csv.reader(self._text, strict=True)
        try:
            yield from filter(None, reader)
        except csv.Error as error:
            raise CatalogError(f"{_name(self._text.buffer)}: line {reader.line_num}: {error}") from error


def _number_columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> frozenset[str]:
    """Columns with at least one value, all of whose values are numbers."""
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
    return frozenset(header[place] for place, seen in possible.items() if seen)


class _JsonLines:
    """A file of one JSON object a line; the first pass collects the columns."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        names: dict[str, None] = {}
        for record in self.records():
            if record is not None:
                names.update(dict.fromkeys(record))
        self.names: Sequence[str] = list(names)

    def records(self, *, texts: Collection[str] = ()) -> Iterator[Mapping[str, object] | None]:
        del texts  # JSON says itself what is a number
        self._stream.seek(0)
        for number, line in enumerate(self._stream):
            text = (line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line).strip()
            if text:
                yield _json_object(text)


def _json_object(text: bytes) -> Mapping[str, object] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _name(stream: object) -> str:
    return str(getattr(stream, "name", "catalogue"))


def _build(
    source: _Source,
    label: str,
    column_mapping: Mapping[str, str],
    version: int,
    eligible: Eligible | None,
) -> MemoryCatalog:
    ours = _matched(source.names, column_mapping, label)
    taken = set(ours.values())
    columns = [name for name in source.names if name not in taken]
    items: dict[str, bytes] = {}
    ineligible: set[str] = set()
    dropped: Counter[DropReason] = Counter()
    named: dict[DropReason, list[str]] = {}
    rows = 0
    for record in source.records(texts={ours[name] for name in NAMES if name != "price"}):
        rows += 1
        item, reason = _item(record, ours)
        if reason is None and item["id"] in items:
            reason = "duplicate"
        if reason is not None or record is None:
            reason = reason or "malformed"
            dropped[reason] += 1
            if len(ids := named.setdefault(reason, [])) < _IDS_NAMED:
                ids.append(str(item.get("id") or f"row {rows}")[:MAX_ID_CHARACTERS])
            continue
        item_id = str(item["id"])
        items[item_id] = orjson.dumps(item) + b"\n" + orjson.dumps([record.get(name) for name in columns])
        if eligible is not None and not eligible({**item, **record, **_typed(item, ours)}):
            ineligible.add(item_id)
    for reason, count in dropped.items():
        _log.warning("catalog rows dropped", source=label, reason=reason, count=count, first=named[reason])
    if not items:
        found = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "no rows at all"
        raise CatalogError(f"{label}: no usable row ({found})")
    return MemoryCatalog(
        items,
        columns=columns,
        version=version,
        report=CatalogReport(rows, MappingProxyType(dict(dropped))),
        ineligible=frozenset(ineligible),
    )


def _typed(item: Mapping[str, object], ours: Mapping[str, str]) -> dict[str, object]:
    """What we read from the five columns, under the source's names."""
    return {theirs: item[name] for name, theirs in ours.items()}


def _matched(names: Sequence[str], column_mapping: Mapping[str, str], label: str) -> dict[str, str]:
    """Our name to the source's."""
    unknown = sorted(set(column_mapping) - set(NAMES))
    if unknown:
        raise CatalogError(f"CATALOG_COLUMNS: {', '.join(unknown)}: only {', '.join(NAMES)} can be mapped")
    if not names:
        raise CatalogError(f"{label}: no usable row (it is empty, or nothing in it is a row)")
    found = {ours: _match(ours, names, column_mapping) for ours in NAMES}
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


def _item(
    record: Mapping[str, object] | None, ours: Mapping[str, str]
) -> tuple[dict[str, object], DropReason | None]:
    """The five values, in the order of the answer, and what is wrong with them."""
    if record is None:
        return {}, "malformed"
    item: dict[str, object] = {name: _text(record.get(ours[name])) for name in NAMES}
    item["price"] = _price(record.get(ours["price"]))
    if len(str(item["id"])) > MAX_ID_CHARACTERS:
        return item, "long_id"
    lacking = (reason for name, reason in _LACKING.items() if item[name] in ("", None))
    return item, next(lacking, None)


def _text(value: object) -> str:
    """The value as text; empty when it is missing, blank, or cannot stand for a text."""
    if isinstance(value, str):
        return value if value.strip() else ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""


def _price(value: object) -> int | float | None:
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
