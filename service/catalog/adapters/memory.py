"""The catalogue in memory, and how it is read from a file."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import filterfalse
from pathlib import Path
from typing import IO, Final
from urllib.parse import unquote, urlsplit

from service.catalog.item import CatalogRow
from service.catalog.reading.rows import (
    SUFFIXES,
    CatalogReport,
    DropReason,
    Eligible,
    Exclusion,
    log_dropped,
    read_items,
    readable_errors,
)
from service.errors import CatalogError

__all__ = [
    "CatalogReport",
    "DropReason",
    "Eligible",
    "MemoryCatalog",
    "catalog_path",
    "load_catalog",
    "load_stream",
]


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
            items: Records by id, in the source's order; see `service.catalog.item`.
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
        return CatalogRow.from_record(item, eligible=item_id not in self._ineligible)

    def missing(self, item_ids: Iterable[str]) -> list[str]:
        """Empty: every item is here."""
        del item_ids
        return []

    async def prefetch(self, item_ids: Iterable[str], timeout_seconds: float) -> None:
        """Nothing to do: every item is here."""

    def first_ids(self) -> Iterable[str]:
        """Every id that the operator's exclusion lets through, in the source's own order."""
        return filterfalse(self._ineligible.__contains__, self._items)

    def close(self) -> None:
        """Nothing to give back."""


class _MemorySink:
    def __init__(self) -> None:
        self.items: dict[str, bytes] = {}
        self.ineligible: set[str] = set()

    def __contains__(self, item_id: object) -> bool:
        return item_id in self.items

    def add(self, line: int, item_id: str, item: bytes, *, eligible: bool) -> None:
        del line
        self.items[item_id] = item
        if not eligible:
            self.ineligible.add(item_id)

    def clear(self) -> None:
        self.items.clear()
        self.ineligible.clear()


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
    if not path.name.endswith(SUFFIXES):
        raise CatalogError(f"CATALOG_URL {url}: must end in {', '.join(SUFFIXES)}")
    return path


def load_catalog(
    url: str,
    *,
    column_mapping: Mapping[str, str],
    version: int,
    eligible: Eligible | None = None,
) -> MemoryCatalog:
    """Read a whole file into memory; blocks, so it is called in a thread. See `read_items` for how rows are read.

    Args:
        url: See `catalog_path`.
        column_mapping: Our name to the source's, for those that are called otherwise.
        version: Of the snapshot.
        eligible: The operator's exclusion; asked once for each row that is kept.

    Raises:
        CatalogError: The file cannot be read to its end, lacks a column, or holds no usable row.
    """
    path = catalog_path(url)
    exclusion: Exclusion | None = None if eligible is None else lambda _: eligible
    with readable_errors(str(path)), path.open("rb") as stream:
        return load_stream(
            stream, path.name, label=str(path), column_mapping=column_mapping, version=version, exclusion=exclusion
        )


def load_stream(
    stream: IO[bytes],
    name: str,
    *,
    label: str,
    column_mapping: Mapping[str, str],
    version: int,
    exclusion: Exclusion | None = None,
    limit: int | None = None,
) -> MemoryCatalog:
    """Read a whole stream into memory, and log the rows that are not shown.

    Raises:
        CatalogError: It cannot be read to its end, lacks a column, or holds no usable row.
        TooManyRows: There are more rows than the limit.
    """
    sink = _MemorySink()
    columns, reader = read_items(
        stream,
        name,
        sink,
        label=label,
        column_mapping=column_mapping,
        exclusion=exclusion,
        limit=limit,
    )
    log_dropped(label, reader.dropped, reader.named)
    if not sink.items:
        raise reader.nothing_usable(label)
    return MemoryCatalog(
        sink.items,
        columns=columns.further,
        version=version,
        report=reader.report(),
        ineligible=frozenset(sink.ineligible),
    )
