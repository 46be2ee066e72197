"""Makes a catalogue of a stream: in memory when it is small, else an SQLite file that a child process writes.

A child, since a thread would hold the interpreter's lock for half of every 10 ms that requests need it.
Run as a program, this module is the child. It is told its job in a line of JSON and answers with one; when its
standard input is closed it ends, and takes an unfinished file with it.
"""

import asyncio
import fcntl
import os
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import orjson

from service.catalog.adapters.memory import MemoryCatalog, load_stream
from service.catalog.adapters.sqlite import SqliteCatalog, SqliteSink, open_and_unlink
from service.catalog.reading.rows import CatalogReport, TooManyRows, exclusion_of, log_dropped, read_items
from service.errors import CatalogError

MEMORY_ROWS: Final = 50_000
"""Catalogues of up to so many rows stay in memory: about 20 MB, read in half a second."""

_PREFIX: Final = "catalog-"
_SUFFIX: Final = ".sqlite"

_NICENESS: Final = 10
"""Of the child while requests are answered: they go first where there is but one processor."""

_LINE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Recipe:
    """How rows become items.

    Attributes:
        column_mapping: Our name to the source's, for those that are called otherwise.
        exclusion_filter: The operator's filter; one with placeholders is only checked.
        data_dir: Where files are written; it is made when it is needed.
    """

    column_mapping: Mapping[str, str] = field(default_factory=dict)
    exclusion_filter: str | None = None
    data_dir: Path = Path("data")


async def build(
    stream: IO[bytes],
    name: str,
    *,
    label: str,
    recipe: Recipe,
    version: int,
    background: bool = False,
    memory_rows: int = MEMORY_ROWS,
) -> MemoryCatalog | SqliteCatalog:
    """Read a whole stream; the event loop goes on meanwhile.

    Cancelled, it leaves no file and no process behind.

    Args:
        stream: An open file that can seek; it stays open.
        name: Its end tells the format.
        label: Names the source in errors and logs.
        recipe: How rows become items.
        version: Of the snapshot.
        background: Whether requests are being answered meanwhile, which then come first.
        memory_rows: Most rows that are kept in memory.

    Raises:
        CatalogError: It cannot be read to its end, lacks a column, holds no usable row, or cannot be stored.
    """
    try:
        # A thread cannot be cancelled: it reads through a descriptor of its own.
        return await asyncio.to_thread(
            _in_memory,
            os.dup(stream.fileno()),
            name,
            label=label,
            recipe=recipe,
            version=version,
            memory_rows=memory_rows,
        )
    except TooManyRows:
        return await _in_child(stream, name, label=label, recipe=recipe, version=version, background=background)


def _in_memory(
    descriptor: int, name: str, *, label: str, recipe: Recipe, version: int, memory_rows: int
) -> MemoryCatalog:
    with os.fdopen(descriptor, "rb") as stream:
        stream.seek(0)
        return load_stream(
            stream,
            name,
            label=label,
            column_mapping=recipe.column_mapping,
            version=version,
            exclusion=exclusion_of(recipe.exclusion_filter),
            limit=memory_rows,
        )


async def _in_child(
    stream: IO[bytes], name: str, *, label: str, recipe: Recipe, version: int, background: bool
) -> SqliteCatalog:
    await asyncio.to_thread(prepare, recipe.data_dir)
    job = {
        "descriptor": stream.fileno(),
        "name": name,
        "label": label,
        "column_mapping": dict(recipe.column_mapping),
        "exclusion_filter": recipe.exclusion_filter,
        "data_dir": str(recipe.data_dir.resolve()),
        "niceness": _NICENESS if background else 0,
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
        pass_fds=(stream.fileno(),),
        env=_environment(recipe.data_dir),
    )
    if child.stdin is None or child.stdout is None:
        raise AssertionError  # both are pipes
    try:
        child.stdin.write(orjson.dumps(job) + b"\n")
        await child.stdin.drain()
        answer = _parsed(await child.stdout.readline(), label)
        log_dropped(label, answer["dropped"], answer["named"])
        # The child keeps its lock on the file until it is opened here.
        opening = asyncio.ensure_future(asyncio.to_thread(_opened, answer, version))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            (await opening).close()
            raise
    except OSError as error:
        raise CatalogError(f"{label}: the process that reads it has ended") from error
    finally:
        child.stdin.close()
        await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    waiting = asyncio.ensure_future(child.wait())
    try:
        await asyncio.shield(waiting)
    except asyncio.CancelledError:
        await waiting  # it ends by itself, at once, now that its input is closed
        raise


def _parsed(line: bytes, label: str) -> Mapping[str, Any]:
    if not line:
        raise CatalogError(f"{label}: the process that reads it has ended; is there memory enough?")
    answer: dict[str, Any] = orjson.loads(line)
    if "problems" in answer:
        raise CatalogError(*answer["problems"])
    return answer


def _opened(answer: Mapping[str, Any], version: int) -> SqliteCatalog:
    report = CatalogReport(
        answer["rows"],
        answer["dropped"],
        {reason: tuple(examples) for reason, examples in answer["examples"].items()},
    )
    return open_and_unlink(
        Path(answer["path"]), columns=answer["columns"], version=version, report=report, items=answer["items"]
    )


def _environment(data_dir: Path) -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    # The index is sorted in a temporary file of SQLite's own, as large as the index.
    return {**os.environ, "PYTHONPATH": paths, "SQLITE_TMPDIR": str(data_dir.resolve())}


def prepare(data_dir: Path) -> None:
    """Make the directory, and sweep out what a process left there that was killed while writing.

    Raises:
        CatalogError: Nothing can be written there.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
        for path in data_dir.glob(f"{_PREFIX}*{_SUFFIX}"):
            _unlink_unless_locked(path)
    except OSError as error:
        raise CatalogError(f"DATA_DIR {data_dir}: cannot be written: {error.strerror or error}") from error


def _unlink_unless_locked(path: Path) -> None:
    with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


@contextmanager
def _new_file(data_dir: Path) -> Iterator[Path]:
    """A new file that is locked while the block lasts, so that nobody takes it for a left one."""
    descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=data_dir)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
        os.close(descriptor)


def _work(job: Mapping[str, Any], path: Path) -> dict[str, object]:
    """Fill the file; what the parent needs to know of it."""
    label = job["label"]
    with (
        os.fdopen(job["descriptor"], "rb") as stream,
        closing(SqliteSink(path)) as sink,
    ):
        stream.seek(0)
        columns, reader = read_items(
            stream,
            job["name"],
            sink,
            label=label,
            column_mapping=job["column_mapping"],
            exclusion=exclusion_of(job["exclusion_filter"]),
        )
        count, first = sink.finish()
    for item_id, line in first:
        reader.drop("duplicate", item_id, line)
    if count:
        reader.dropped["duplicate"] = count
    items = reader.rows - reader.dropped.total()
    if not items:
        raise reader.nothing_usable(label)
    report = reader.report()
    return {
        "path": str(path),
        "items": items,
        "columns": columns.further,
        "rows": report.rows,
        "dropped": dict(report.dropped),
        "examples": dict(report.examples),
        "named": reader.named,
    }


def _answer(job: Mapping[str, Any], path: Path) -> dict[str, object]:
    try:
        return _work(job, path)
    except CatalogError as error:
        return {"problems": error.problems}
    except sqlite3.Error as error:
        return {"problems": [f"DATA_DIR {job['data_dir']}: the catalogue cannot be stored: {error}"]}


def _main() -> None:
    job: dict[str, Any] = orjson.loads(sys.stdin.buffer.readline())
    os.nice(job["niceness"])
    with _new_file(Path(job["data_dir"])) as path:
        over = threading.Event()

        def leave_with_parent() -> None:
            sys.stdin.buffer.read()
            over.set()
            path.unlink(missing_ok=True)
            os._exit(0)

        threading.Thread(target=leave_with_parent, daemon=True).start()
        answer = _answer(job, path)
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.buffer.flush()
        over.wait()


if __name__ == "__main__":
    _main()
