"""Makes a catalogue of a stream: in memory when it is small, else an SQLite file that a child process writes.

It is a child, because a thread would hold the interpreter's lock for half of every 10 ms that requests need it.
`service.catalog.reading.child` is its program.
"""

import asyncio
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import orjson

import service
from service.catalog.adapters.memory import MemoryCatalog, MemorySink
from service.catalog.adapters.sqlite import SqliteCatalog, open_and_unlink
from service.catalog.reading.data_dir import prepare
from service.catalog.reading.exclusion import Exclusion, exclusion_of
from service.catalog.reading.kept_files import KeptFiles, sweep
from service.catalog.reading.patience import Stalled, WatchedFile, patiently
from service.catalog.reading.ports import TooLarge
from service.catalog.reading.recipe import Recipe
from service.catalog.reading.report import CatalogReport
from service.catalog.reading.rows import read_items
from service.children import child_environment
from service.errors import CatalogError

MAX_MEMORY_ROWS: Final = 50_000
"""Rows of a catalogue that stays in memory: about 20 MB, read in a second."""

MAX_MEMORY_BYTES: Final = 32 << 20
"""Bytes of its items. A reload holds the next catalogue beside the last."""

_CHILD: Final = "service.catalog.reading.child"

_NICENESS: Final = 10
"""Niceness of the child while requests are answered: they go first where there is but one processor."""

_MAX_ANSWER_BYTES: Final = 1 << 20

_BUFFER_BYTES: Final = 1 << 16

_END_SECONDS: Final = 5.0
"""For a child that is to end; one that its file system holds ends when that answers."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a stream holds, by which a file made of it is found again."""

    digest: str
    """Hash of all its bytes."""

    source: str = ""
    """Names the version of the source where that says what the content is, as an ETag does."""

    check: Callable[[], None] = lambda: None
    """Called when all was read; raises a `CatalogError` if the stream has changed meanwhile."""


async def build(
    stream: IO[bytes],
    *,
    label: str,
    recipe: Recipe,
    version: int,
    content: Content | None = None,
    known: Sequence[str] = (),
    background: bool = False,
    max_memory_rows: int = MAX_MEMORY_ROWS,
    max_memory_bytes: int = MAX_MEMORY_BYTES,
) -> MemoryCatalog | SqliteCatalog:
    """The catalogue of a whole stream; the event loop goes on meanwhile.

    Cancelled, it leaves no file and no process behind.

    Args:
        stream: An open file that can seek; it stays open.
        label: Names the source in errors and logs.
        recipe: How rows become items.
        version: Version of the snapshot.
        content: What the stream holds; None: the catalogue is not kept for another process.
        known: Further columns that the catalogue had before.
        background: Whether requests are being answered meanwhile, which then come first.
        max_memory_rows: Most rows that are kept in memory.
        max_memory_bytes: Most bytes of items that are kept in memory.

    Raises:
        CatalogError: It cannot be read to its end, lacks a column, holds no usable row, or cannot be stored.
    """
    kept = KeptFiles(recipe, label, at_start=not background)
    if content is not None:
        found = await opened_safely(
            lambda: kept.find(content=content.digest, source=content.source, version=version, known=known)
        )
        if found is not None:
            await asyncio.to_thread(sweep, recipe.data_dir)
            return found
    # A thread cannot be cancelled: it reads through a descriptor of its own.
    watched = WatchedFile(os.dup(stream.fileno()))

    def read() -> MemoryCatalog:
        with io.BufferedReader(watched, _BUFFER_BYTES) as own:
            own.seek(0)
            return read_into_memory(
                own,
                label=label,
                column_mapping=recipe.column_mapping,
                version=version,
                exclusion=exclusion_of(recipe.exclusion_filter),
                known=known,
                max_rows=0 if recipe.always_file else max_memory_rows,
                max_bytes=max_memory_bytes,
            )

    try:
        catalog = await patiently(read, watched=watched)
    except TooLarge:
        return await _in_child(
            stream, label=label, recipe=recipe, version=version, content=content, known=known, background=background
        )
    except Stalled as error:
        raise CatalogError(f"{label}: cannot be read: {error}") from error
    if content is not None:
        content.check()
        await asyncio.to_thread(sweep, recipe.data_dir)
    return catalog


async def opened_safely(opening: Callable[[], SqliteCatalog | None]) -> SqliteCatalog | None:
    """What a blocking call opens; cancelled, it is closed."""
    task = asyncio.ensure_future(asyncio.to_thread(opening))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        catalog = await task
        if catalog is not None:
            catalog.close()
        raise


def read_into_memory(
    stream: IO[bytes],
    *,
    label: str,
    column_mapping: Mapping[str, str],
    version: int,
    exclusion: Exclusion | None = None,
    known: Sequence[str] = (),
    max_rows: int | None = None,
    max_bytes: int | None = None,
) -> MemoryCatalog:
    """The catalogue of a whole stream in memory; blocks. Rows that are not shown are logged.

    See `read_items` for the arguments and for how rows are read.

    Raises:
        CatalogError: It cannot be read to its end, lacks a column, or holds no usable row.
        TooLarge: There are more rows than `max_rows`, or more bytes of items than `max_bytes`.
    """
    sink = MemorySink(max_bytes)
    columns, tally, report = read_items(
        stream,
        sink,
        label=label,
        column_mapping=column_mapping,
        exclusion=exclusion,
        known=known,
        max_rows=max_rows,
    )
    report.log(label)
    if not sink.records:
        raise tally.nothing_usable(label)
    return MemoryCatalog(
        sink.records,
        columns=columns.further,
        version=version,
        report=report,
        ineligible=frozenset(sink.ineligible),
    )


async def _in_child(
    stream: IO[bytes],
    *,
    label: str,
    recipe: Recipe,
    version: int,
    content: Content | None,
    known: Sequence[str],
    background: bool,
) -> SqliteCatalog:
    await asyncio.to_thread(prepare, recipe.data_dir)
    if content is not None:
        await asyncio.to_thread(sweep, recipe.data_dir)
    job = {
        "descriptor": stream.fileno(),
        "label": label,
        "known": list(known),
        "column_mapping": dict(recipe.column_mapping),
        "exclusion_filter": recipe.exclusion_filter,
        "data_dir": str(recipe.data_dir.resolve()),
        "niceness": _NICENESS if background else 0,
        "recipe": recipe.digest,
        "content": "" if content is None else content.digest,
        "source": "" if content is None else content.source,
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        _CHILD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_MAX_ANSWER_BYTES,
        pass_fds=(stream.fileno(),),
        env=_environment(recipe.data_dir),
    )
    if child.stdin is None or child.stdout is None:
        raise AssertionError  # both are pipes
    try:
        child.stdin.write(orjson.dumps(job) + b"\n")
        await child.stdin.drain()
        answer = _parsed(await child.stdout.readline(), label)
        path, about = Path(answer["path"]), answer["about"]
        # The child keeps its lock on the file until it is opened here.
        if content is None:
            catalog = await opened_safely(lambda: _unlinked(path, about, label, version))
        else:
            content.check()
            kept = KeptFiles(recipe, label)
            catalog = await opened_safely(lambda: kept.keep(path, about, version, known))
            await asyncio.to_thread(sweep, recipe.data_dir)
    except OSError as error:
        raise CatalogError(f"{label}: the process that reads it has ended") from error
    finally:
        child.stdin.close()
        await _end(child)
    if catalog is None:
        raise AssertionError  # both open one or raise
    return catalog


async def _end(child: asyncio.subprocess.Process) -> None:
    waiting = asyncio.ensure_future(child.wait())
    try:
        await asyncio.shield(waiting)
    except asyncio.CancelledError:
        # It ends by itself, at once, now that its input is closed; unless its file system holds it.
        await asyncio.wait([waiting], timeout=_END_SECONDS)
        raise


def _parsed(line: bytes, label: str) -> Mapping[str, Any]:
    if not line:
        raise CatalogError(f"{label}: the process that reads it has ended; is there memory enough?")
    answer: dict[str, Any] = orjson.loads(line)
    if "problems" in answer:
        raise CatalogError(*answer["problems"])
    return answer


def _unlinked(path: Path, about: Mapping[str, Any], label: str, version: int) -> SqliteCatalog:
    report = CatalogReport.unpacked(about["report"])
    report.log(label)
    return open_and_unlink(path, columns=about["columns"], version=version, report=report, items=about["items"])


def _environment(data_dir: Path) -> Mapping[str, str]:
    root = str(Path(service.__path__[0]).resolve().parent)
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    # The index is sorted in a temporary file of SQLite's own, as large as the index.
    return child_environment(PYTHONPATH=paths, SQLITE_TMPDIR=str(data_dir.resolve()))
