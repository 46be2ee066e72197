"""Has a child process make the file of a large catalogue, and opens it.

`service.catalog.reading.child` is its program.
"""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import orjson
import structlog

import service
from service.catalog.adapters.sqlite import SqliteCatalog, open_and_unlink
from service.catalog.reading.data_dir import prepare
from service.catalog.reading.kept_files import Content, KeptFiles, opened_safely, sweep
from service.catalog.reading.recipe import Recipe
from service.catalog.reading.report import CatalogReport
from service.children import child_environment
from service.errors import CatalogError

_log = structlog.stdlib.get_logger(__name__)

_CHILD: Final = "service.catalog.reading.child"

_NICENESS: Final = 10
"""Niceness of the child while requests are answered: they go first where there is but one processor."""

_MAX_ANSWER_BYTES: Final = 1 << 20

_END_SECONDS: Final = 5.0
"""For a child that is to end; one that its file system holds ends when that answers."""


async def build_in_child(
    stream: IO[bytes],
    *,
    label: str,
    recipe: Recipe,
    version: int,
    content: Content | None,
    known: Sequence[str],
    background: bool,
) -> SqliteCatalog:
    """The catalogue of a whole stream in a file; see `build` for the arguments.

    Raises:
        CatalogError: It cannot be read to its end, lacks a column, holds no usable row, or cannot be stored.
    """
    await asyncio.to_thread(prepare, recipe.data_dir)
    base = None
    if content is not None:
        base = await asyncio.to_thread(KeptFiles(recipe, label).base)
        await asyncio.to_thread(sweep, recipe.data_dir)
    try:
        return await _from_child(
            stream,
            base,
            label=label,
            recipe=recipe,
            version=version,
            content=content,
            known=known,
            background=background,
        )
    finally:
        if base is not None:
            os.close(base)


async def _from_child(
    stream: IO[bytes],
    base: int | None,
    *,
    label: str,
    recipe: Recipe,
    version: int,
    content: Content | None,
    known: Sequence[str],
    background: bool,
) -> SqliteCatalog:
    job = {
        "descriptor": stream.fileno(),
        "base": base,
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
        pass_fds=(stream.fileno(),) if base is None else (stream.fileno(), base),
        env=_environment(recipe.data_dir),
    )
    if child.stdin is None or child.stdout is None:
        raise AssertionError  # both are pipes
    try:
        child.stdin.write(orjson.dumps(job) + b"\n")
        await child.stdin.drain()
        answer = _parsed(await child.stdout.readline(), label)
        path, about = Path(answer["path"]), answer["about"]
        if answer["kept"]:
            rows, unchanged = answer["rows"], answer["kept"]
            _log.info("catalog_read_by_difference", source=label, rows=rows, unchanged=unchanged)
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
    # By its hash a line of one version is found in the next, which another process reads.
    return child_environment(PYTHONPATH=paths, SQLITE_TMPDIR=str(data_dir.resolve()), PYTHONHASHSEED="0")
