"""The catalogue as an SQLite file, which `SqliteSink` wrote: for more items than memory should hold."""

import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import orjson
import structlog
from cachetools import LRUCache

from service.catalog.item import CatalogRow, row_bytes
from service.catalog.reading.report import CatalogReport
from service.errors import CatalogError

_log = structlog.stdlib.get_logger(__name__)

MAX_HOT_BYTES: Final = 10 << 20
"""Of rows kept as objects: an item that is recommended to many is looked up in a microsecond."""

MAX_PAGES_KIB: Final = 16_384
"""SQLite's own cache: the upper levels of the index and the pages read last. The system's cache has the rest."""

MAX_FIRST_IDS: Final = 6_000
"""Ids of the catalogue's beginning, read in a worker thread when it is opened: as many as an answer may look at."""

MAX_FIRST_ROWS: Final = 1_000
"""Their items, read likewise. Until something is learnt they are the popular list, which is made on the event loop."""

_MAX_IDS_AT_ONCE: Final = 500
_MAX_WALKED_AT_ONCE: Final = 100


class SqliteCatalog:
    """A snapshot of the items in a file; implements `ItemCatalog`.

    It closes itself behind its last reader, so that a reader reads on while it is replaced.
    """

    def __init__(
        self,
        path: Path,
        *,
        columns: Sequence[str],
        version: int,
        report: CatalogReport,
        items: int,
        on_closed: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Open a file that `SqliteSink` has sealed; it may be unlinked from then on.

        Args:
            path: The file.
            columns: Names of the further columns.
            version: Grows with every change.
            report: What came of reading the source.
            items: How many there are.
            on_closed: Called from any thread when the file is closed; True where its last reader has gone.

        Raises:
            CatalogError: It cannot be read.
        """
        self.version: Final = version
        self.columns: Final = tuple(columns)
        self.report: Final = report
        self.is_open: Final = False
        self._items = items
        try:
            self._connection = _connected(path)
            # Mapped pages would count as this process's memory, all of the file in the end.
            for pragma in ("mmap_size=0", f"cache_size=-{MAX_PAGES_KIB}", "query_only=1"):
                self._connection.execute(f"PRAGMA {pragma}").fetchall()
            self._some_ineligible = bool(
                self._connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'item_eligible'").fetchone()
            )
        except sqlite3.Error as error:
            raise CatalogError(f"{path}: cannot be read: {error}") from error
        self._on_closed = on_closed
        self._unheld = weakref.finalize(self, _close_in_thread, self._connection, on_closed)
        self._unheld.atexit = False  # a process that ends closes its files itself
        self._hot: LRUCache[str, CatalogRow] = LRUCache(MAX_HOT_BYTES, getsizeof=row_bytes)
        self._logged = False
        self._first: tuple[tuple[int, str], ...] = tuple(self._after(-1, MAX_FIRST_IDS))
        self.rows([item_id for _, item_id in self._first[:MAX_FIRST_ROWS]])

    @property
    def lost_columns(self) -> Sequence[str]:
        """See `ItemCatalog.lost_columns`."""
        return self.report.lost

    def __len__(self) -> int:
        return self._items

    def close(self) -> None:
        """Close the file at once; there are no items afterwards."""
        if self._unheld.detach():
            self._connection.close()
            self._on_closed(False)

    def rows(self, item_ids: Sequence[str]) -> list[CatalogRow | None]:
        """One entry for each id, None where the catalogue has no complete item.

        A file that cannot be read any more has no items; that is logged once.
        """
        hot = self._hot
        rows = {item_id: row for item_id in item_ids if (row := hot.get(item_id)) is not None}
        missing = [item_id for item_id in item_ids if item_id not in rows]
        for start in range(0, len(missing), _MAX_IDS_AT_ONCE):
            found = self._read(missing[start : start + _MAX_IDS_AT_ONCE])
            rows.update(found)
            for item_id, row in found.items():
                if row_bytes(row) <= MAX_HOT_BYTES:
                    hot[item_id] = row
        return [rows.get(item_id) for item_id in item_ids]

    def _read(self, item_ids: Sequence[str]) -> Mapping[str, CatalogRow]:
        marks = ",".join("?" * len(item_ids))
        try:
            found = self._connection.execute(
                f"SELECT id, item, eligible FROM item WHERE id IN ({marks})",  # noqa: S608  # marks only
                item_ids,
            ).fetchall()
        except UnicodeEncodeError:
            # No file holds half a surrogate pair.
            return self._read([item_id for item_id in item_ids if _is_text(item_id)])
        except sqlite3.Error as error:
            self._log_once(error)
            return {}
        return {item_id: CatalogRow.from_record(item, eligible=bool(eligible)) for item_id, item, eligible in found}

    def missing(self, item_ids: Iterable[str]) -> list[str]:
        """Empty: every item is here."""
        del item_ids
        return []

    async def prefetch(self, item_ids: Iterable[str], timeout_seconds: float) -> None:
        """Nothing to do: every item is here."""

    def first_ids(self) -> Iterator[str]:
        """Every id that the operator's exclusion lets through, in the source's own order."""
        found: Sequence[tuple[int, str]] = self._first
        while found:
            for _, item_id in found:
                yield item_id
            found = self._after(found[-1][0], _MAX_IDS_AT_ONCE)

    def all_rows(self) -> Iterator[tuple[str, CatalogRow]]:
        """See `ItemCatalog.all_rows`; a few at a time are read, and what is hot stays so."""
        line = -1
        query = "SELECT line, id, item, eligible FROM item WHERE line > ? ORDER BY line LIMIT ?"
        while True:
            try:
                found = self._connection.execute(query, (line, _MAX_WALKED_AT_ONCE)).fetchall()
            except sqlite3.Error as error:
                self._log_once(error)
                return
            for _, item_id, item, eligible in found:
                yield item_id, CatalogRow.from_record(item, eligible=bool(eligible))
            if not found:
                return
            line = found[-1][0]

    def _after(self, line: int, count: int) -> list[tuple[int, str]]:
        where = "INDEXED BY item_eligible WHERE eligible AND" if self._some_ineligible else "WHERE"
        query = f"SELECT line, id FROM item {where} line > ? ORDER BY line LIMIT ?"  # noqa: S608  # constants
        try:
            return self._connection.execute(query, (line, count)).fetchall()
        except sqlite3.Error as error:
            self._log_once(error)
            return []

    def _log_once(self, error: sqlite3.Error) -> None:
        if not self._logged:
            self._logged = True
            _log.error("catalog_unreadable", error=str(error))


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1",
        uri=True,
        isolation_level=None,
        check_same_thread=False,  # opened in a worker thread, read on the event loop
        cached_statements=_MAX_IDS_AT_ONCE,
    )


def _close_in_thread(connection: sqlite3.Connection, on_closed: Callable[[bool], None]) -> None:
    # With the last descriptor of a file without a name the system frees it, which takes 0.1 s for each 500 MB.
    threading.Thread(target=_close_replaced, args=(connection, on_closed), name="catalog-close").start()


def _close_replaced(connection: sqlite3.Connection, on_closed: Callable[[bool], None]) -> None:
    connection.close()
    on_closed(True)


def _is_text(item_id: str) -> bool:
    try:
        item_id.encode()
    except UnicodeEncodeError:
        return False
    return True


def about_file(path: Path) -> Mapping[str, Any]:
    """What `SqliteSink.seal` wrote of a file; empty for any other file.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb"):
        pass
    try:
        with closing(_connected(path)) as connection:
            found = connection.execute("SELECT about FROM about").fetchone()
            about = orjson.loads(found[0]) if found else {}
    except (sqlite3.Error, orjson.JSONDecodeError):
        return {}
    return about if isinstance(about, dict) else {}


def open_and_unlink(
    path: Path, *, columns: Iterable[str], version: int, report: CatalogReport, items: int
) -> SqliteCatalog:
    """Open a finished file and take its name away, so that its room is freed however this process ends."""
    try:
        return SqliteCatalog(path, columns=tuple(columns), version=version, report=report, items=items)
    finally:
        path.unlink(missing_ok=True)
