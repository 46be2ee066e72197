"""Makes a catalogue of a stream: in memory when it is small, else an SQLite file that a child process writes.

It is a child, because a thread would hold the interpreter's lock for half of every 10 ms that requests need it.
"""

import asyncio
import io
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import IO, Final

from service.catalog.adapters.memory import MemoryCatalog, MemorySink
from service.catalog.adapters.sqlite import SqliteCatalog
from service.catalog.reading.exclusion import Exclusion, exclusion_of
from service.catalog.reading.in_child import build_in_child
from service.catalog.reading.kept_files import Content, KeptFiles, opened_safely, sweep
from service.catalog.reading.lines import BUFFER_BYTES
from service.catalog.reading.patience import Stalled, WatchedFile, patiently
from service.catalog.reading.ports import TooLarge
from service.catalog.reading.recipe import Recipe
from service.catalog.reading.rows import read_items
from service.errors import CatalogError

MAX_MEMORY_ROWS: Final = 50_000
"""Rows of a catalogue that stays in memory: about 20 MB, read in a second."""

MAX_MEMORY_BYTES: Final = 32 << 20
"""Bytes of its items. A reload holds the next catalogue beside the last."""


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
    in_child = partial(
        build_in_child,
        stream,
        label=label,
        recipe=recipe,
        version=version,
        content=content,
        known=known,
        background=background,
    )
    # Else the beginning would be read in vain.
    is_large = os.fstat(stream.fileno()).st_size > max_memory_bytes
    if is_large or (content is not None and await asyncio.to_thread(kept.max_items) > max_memory_rows):
        return await in_child()
    # A thread cannot be cancelled: it reads through a descriptor of its own.
    watched = WatchedFile(os.dup(stream.fileno()))

    def read() -> MemoryCatalog:
        with io.BufferedReader(watched, BUFFER_BYTES) as own:
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
        return await in_child()
    except Stalled as error:
        raise CatalogError(f"{label}: cannot be read: {error}") from error
    if content is not None:
        content.check()
        await asyncio.to_thread(sweep, recipe.data_dir)
    return catalog


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
