"""Makes a catalogue of a stream: in memory when it is small, else an SQLite file that a child process writes.

It is a child, because a thread would hold the interpreter's lock for half of every 10 ms that requests need it.
`service.catalog.reading.child` is its program.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

import orjson

import service
from service.catalog.adapters.memory import MemoryCatalog, MemorySink
from service.catalog.adapters.sqlite import SqliteCatalog, open_and_unlink
from service.catalog.reading.data_dir import prepare
from service.catalog.reading.exclusion import Exclusion, exclusion_of
from service.catalog.reading.ports import TooManyRows
from service.catalog.reading.recipe import Recipe
from service.catalog.reading.report import CatalogReport, log_dropped
from service.catalog.reading.rows import read_items
from service.errors import CatalogError

MAX_MEMORY_ROWS: Final = 50_000
"""Rows of a catalogue that stays in memory: about 20 MB, read in half a second."""

_CHILD: Final = "service.catalog.reading.child"

_NICENESS: Final = 10
"""Niceness of the child while requests are answered: they go first where there is but one processor."""

_MAX_ANSWER_BYTES: Final = 1 << 20


async def build(
    stream: IO[bytes],
    name: str,
    *,
    label: str,
    recipe: Recipe,
    version: int,
    background: bool = False,
    max_memory_rows: int = MAX_MEMORY_ROWS,
) -> MemoryCatalog | SqliteCatalog:
    """The catalogue of a whole stream; the event loop goes on meanwhile.

    Cancelled, it leaves no file and no process behind.

    Args:
        stream: An open file that can seek; it stays open.
        name: Name of the file; its end names the format.
        label: Names the source in errors and logs.
        recipe: How rows become items.
        version: Version of the snapshot.
        background: Whether requests are being answered meanwhile, which then come first.
        max_memory_rows: Most rows that are kept in memory.

    Raises:
        CatalogError: It cannot be read to its end, lacks a column, holds no usable row, or cannot be stored.
    """
    try:
        # A thread cannot be cancelled: it reads through a descriptor of its own.
        return await asyncio.to_thread(
            _in_thread,
            os.dup(stream.fileno()),
            name,
            label=label,
            recipe=recipe,
            version=version,
            max_rows=max_memory_rows,
        )
    except TooManyRows:
        return await _in_child(stream, name, label=label, recipe=recipe, version=version, background=background)


def read_into_memory(
    stream: IO[bytes],
    name: str,
    *,
    label: str,
    column_mapping: Mapping[str, str],
    version: int,
    exclusion: Exclusion | None = None,
    max_rows: int | None = None,
) -> MemoryCatalog:
    """The catalogue of a whole stream in memory; blocks. Rows that are not shown are logged.

    See `read_items` for the arguments and for how rows are read.

    Raises:
        CatalogError: It cannot be read to its end, lacks a column, or holds no usable row.
        TooManyRows: There are more rows than `max_rows`.
    """
    sink = MemorySink()
    columns, tally = read_items(
        stream,
        name,
        sink,
        label=label,
        column_mapping=column_mapping,
        exclusion=exclusion,
        max_rows=max_rows,
    )
    log_dropped(label, tally.dropped, tally.named)
    if not sink.records:
        raise tally.nothing_usable(label)
    return MemoryCatalog(
        sink.records,
        columns=columns.further,
        version=version,
        report=tally.report(),
        ineligible=frozenset(sink.ineligible),
    )


def _in_thread(descriptor: int, name: str, *, label: str, recipe: Recipe, version: int, max_rows: int) -> MemoryCatalog:
    with os.fdopen(descriptor, "rb") as stream:
        stream.seek(0)
        return read_into_memory(
            stream,
            name,
            label=label,
            column_mapping=recipe.column_mapping,
            version=version,
            exclusion=exclusion_of(recipe.exclusion_filter),
            max_rows=max_rows,
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
    root = str(Path(service.__path__[0]).resolve().parent)
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    # The index is sorted in a temporary file of SQLite's own, as large as the index.
    return {**os.environ, "PYTHONPATH": paths, "SQLITE_TMPDIR": str(data_dir.resolve())}
