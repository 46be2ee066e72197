"""Datasets as tables of DuckDB, in a file, within a bound of memory; and which line of which file a row was.

Every cell is text here: what type a column has is the question, so no reader may answer it first.
"""

import csv
import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb

from service.errors import ConfigurationError
from service.pipeline.data.columns import Column, looks_like_data, name_columns
from service.pipeline.data.limits import DatasetKind
from service.pipeline.data.staging import StagedFile

MEMORY_MB: Final = 150
"""For DuckDB; 10 million interactions then take about 260 MB of the process."""

THREADS: Final = 2
MAX_LINE_BYTES: Final = 1 << 20
"""A longer line counts as malformed; DuckDB keeps buffers of many times this size."""

BUFFER_BYTES: Final = 16 << 20
POLL_SECONDS: Final = 0.1
DELIMITERS: Final = (",", ";", "\t", "|")


@dataclass(slots=True, kw_only=True)
class LoadedFile:
    """A file whose rows are in a table."""

    staged: StagedFile
    first_row: int
    rows: int
    columns: list[Column]
    delimiter: str = ","
    is_headless: bool = False
    has_quoted_header: bool = False
    malformed_lines: list[int] = field(default_factory=list)
    """Where rows begin that have more or fewer cells than the header, or wrong quotes."""


@dataclass(slots=True)
class Dataset:
    """The rows of all files of one kind."""

    kind: DatasetKind
    files: list[LoadedFile] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """The columns of the table, in the order in which the files have them."""

    rows: int = 0

    def place(self, row: int) -> tuple[str, int | None]:
        """File and line of a row of the table."""
        at = bisect_right([file.first_row for file in self.files], row) - 1
        file = self.files[at]
        return file.staged.name, _line_of(file, row - file.first_row)


class Workspace:
    """A database for one command.

    Args:
        folder: For its file and what does not fit into memory; taken away by its owner.
        on_share: Gets how far the statement under way is, 0..1, where DuckDB knows it.
    """

    def __init__(self, folder: Path, on_share: Callable[[float], None] = lambda _: None) -> None:
        self._folder = folder
        self._on_share = on_share
        self._connection = duckdb.connect(
            str(folder / "tables.duckdb"),
            config={
                "memory_limit": f"{MEMORY_MB}MB",
                "threads": str(min(THREADS, os.cpu_count() or 1)),
                "temp_directory": str(folder / "spill"),
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )
        self._connection.execute("SET TimeZone = 'UTC'")

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()

    def ask(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement in a thread, so that the progress goes on and Ctrl-C is heard.

        Raises:
            ConfigurationError: DuckDB cannot do it: no room on the disk, say.
        """
        found: list[tuple[Any, ...]] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                found.extend(self._connection.execute(sql, parameters).fetchall())
            except BaseException as error:  # noqa: BLE001  # raised again below, in the thread that asked
                failed.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(POLL_SECONDS)
                share = self._connection.query_progress()
                if share > 0:
                    self._on_share(share / 100)
        except BaseException:
            self._connection.interrupt()
            thread.join()
            raise
        if failed:
            if isinstance(failed[0], duckdb.Error):
                raise ConfigurationError(f"the data cannot be read: {str(failed[0]).splitlines()[0]}") from failed[0]
            raise failed[0]
        return found

    def load(self, kind: DatasetKind, staged: Sequence[StagedFile]) -> Dataset:
        """Put the files of a dataset into the table that has its name."""
        dataset = Dataset(kind)
        for file in staged:
            source, loaded = self._source(kind, file, dataset.rows)
            self._extend(dataset, loaded.columns)
            if loaded.columns:
                chosen = ", ".join(f"{quoted(f'c{at}')} AS {quoted(one.name)}" for at, one in enumerate(loaded.columns))
                self.ask(f"INSERT INTO {kind} BY NAME SELECT {chosen} FROM {source}")
                loaded.malformed_lines = self._rejected(file)
            if not dataset.names:
                dataset.files.append(loaded)
                continue
            [(dataset_rows,)] = self.ask(f"SELECT count(*) FROM {kind}")
            loaded.rows = dataset_rows - dataset.rows
            dataset.rows = dataset_rows
            dataset.files.append(loaded)
        return dataset

    def _extend(self, dataset: Dataset, columns: Sequence[Column]) -> None:
        for column in columns:
            if column.name in dataset.names:
                continue
            if dataset.names:
                self.ask(f"ALTER TABLE {dataset.kind} ADD COLUMN {quoted(column.name)} VARCHAR")
            else:
                self.ask(f"CREATE TABLE {dataset.kind} ({quoted(column.name)} VARCHAR)")
            dataset.names.append(column.name)

    def _source(self, kind: DatasetKind, staged: StagedFile, first_row: int) -> tuple[str, LoadedFile]:
        """What DuckDB selects from, with columns `c0`, `c1`, and what is known of the file."""
        path = literal(str(staged.path))
        if staged.format == "parquet":
            described = self.ask(f"DESCRIBE SELECT * FROM read_parquet({path})")
            columns = name_columns(kind, [row[0] for row in described])
            texts = ", ".join(f"{_as_text(row[0], row[1])} AS c{at}" for at, row in enumerate(described))
            loaded = LoadedFile(staged=staged, first_row=first_row, rows=0, columns=columns)
            return f"(SELECT {texts} FROM read_parquet({path}))", loaded
        if staged.format == "jsonl":
            columns = name_columns(kind, staged.columns)
            loaded = LoadedFile(staged=staged, first_row=first_row, rows=0, columns=columns)
            cells = ["line", *(f"c{at}" for at in range(len(columns)))]
            return _csv_source(path, cells, ",", header=False, pads=True), loaded
        line = _first_line(staged.path)
        delimiter = max(DELIMITERS, key=line.count)
        with _long_fields():
            header = next(csv.reader([line], delimiter=delimiter), []) if line else []
        columns = name_columns(kind, header)
        loaded = LoadedFile(
            staged=staged,
            first_row=first_row,
            rows=0,
            columns=columns,
            delimiter=delimiter,
            is_headless=looks_like_data(header),
            has_quoted_header='"' in line,
        )
        names = [f"c{at}" for at in range(len(columns))]
        return _csv_source(path, names, delimiter, header=True, pads=False), loaded

    def _rejected(self, staged: StagedFile) -> list[int]:
        if staged.format != "csv":
            return []
        # Its own line numbers pass over blank lines; its positions do not.
        starts = self.ask("SELECT DISTINCT line_byte_position, csv_line FROM reject_errors ORDER BY 1")
        self._connection.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
        positions = [start - 1 + len(text) - len(text.lstrip("\r\n")) for start, text in starts]
        return list(_lines_at(staged.path, positions))


def quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def _csv_source(path: str, names: Sequence[str], delimiter: str, *, header: bool, pads: bool) -> str:
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    options = {
        "auto_detect": "false",
        "header": str(header).lower(),
        "delim": literal(delimiter),
        "quote": "'\"'",
        "escape": "'\"'",
        "columns": f"{{{columns}}}",
        "store_rejects": str(not pads).lower(),
        "null_padding": str(pads).lower(),
        "max_line_size": str(MAX_LINE_BYTES),
        "buffer_size": str(BUFFER_BYTES),
    }
    return f"read_csv({path}, {', '.join(f'{name} = {value}' for name, value in options.items())})"


def _as_text(name: str, type_: str) -> str:
    column = quoted(name)
    if type_.endswith("[]"):
        return f"array_to_string({column}, '|')"
    return f"CAST({column} AS VARCHAR)"


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        return next((line.rstrip("\r\n") for line in stream if line.strip()), "")


def _lines_at(path: Path, positions: Sequence[int]) -> Iterator[int]:
    """The lines in which these bytes are; in order."""
    line, read = 1, 0
    with path.open("rb") as stream:
        for position in positions:
            while read < position:
                chunk = stream.read(min(1 << 20, position - read))
                line += chunk.count(b"\n")
                read += len(chunk)
                if not chunk:
                    break
            yield line


@contextmanager
def _long_fields() -> Iterator[None]:
    """Fields as long as a line may be. The limit is the whole process's, and other readers count on theirs."""
    before = csv.field_size_limit(MAX_LINE_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _line_of(file: LoadedFile, index: int) -> int | None:
    """The line in which a row begins, rows counted from 0."""
    staged = file.staged
    if staged.format == "parquet":
        return index + 1
    with staged.path.open(encoding="utf-8", newline="") as stream, _long_fields():
        if staged.format == "jsonl":
            reader = csv.reader(stream)
            return next((int(row[0]) for at, row in enumerate(reader) if at == index), None)
        if not file.malformed_lines and staged.lines == file.rows + 1:
            return index + 2
        reader, malformed, start, seen = csv.reader(stream, delimiter=file.delimiter), set(file.malformed_lines), 1, -2
        for row in reader:
            begins, start = start, reader.line_num + 1
            if not row or begins in malformed:
                continue
            seen += 1
            if seen == index:
                return begins
    return None
