"""The finished files of large catalogues that outlive a process: found by their content, verified before use.

Their names say by which recipe they were made of which content. Who reads a file holds a shared lock on it, so that no
other replica on the same volume removes it.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import structlog

from service.catalog.adapters.seal import seal_problem
from service.catalog.adapters.sqlite import SqliteCatalog, about_file
from service.catalog.reading.recipe import Recipe
from service.catalog.reading.report import CatalogReport
from service.errors import CatalogError

_log = structlog.stdlib.get_logger(__name__)

_PREFIX: Final = "kept-catalog-"
_SUFFIX: Final = ".sqlite"


@dataclass(frozen=True, slots=True)
class Content:
    """What a stream holds, by which a file made of it is found again."""

    digest: str
    """Hash of all its bytes."""

    source: str = ""
    """Names the version of the source where that says what the content is, as an ETag does."""

    check: Callable[[], None] = lambda: None
    """Called when all was read; raises a `CatalogError` if the stream has changed meanwhile."""


class KeptFiles:
    """The files of one recipe in DATA_DIR, and the one that the operator names. Every method blocks.

    Args:
        recipe: How rows become items.
        label: Names the source in logs.
        at_start: Whether the operator's file should be of use; later the source has changed.
    """

    def __init__(self, recipe: Recipe, label: str, *, at_start: bool = False) -> None:
        self._recipe = recipe
        self._label = label
        self._at_start = at_start

    def find(
        self, *, content: str = "", source: str = "", version: int, known: Sequence[str] = ()
    ) -> SqliteCatalog | None:
        """The catalogue of the same content, or of the same version of the source; None if none is kept.

        A file that is not whole is removed, which the log says.

        Args:
            content: Hash of the source's content, if it is known.
            source: Names the version of the source, if that is known.
            version: Of the snapshot.
            known: Further columns that the catalogue had before.
        """
        for path in self._candidates():
            try:
                about = about_file(path)
                is_same = (content and about.get("content") == content) or (source and _says(path, about, source))
                # One that says nothing is looked at too: it is not whole.
                if is_same or not about:
                    found = self._opened(path, version, known)
                    if found is not None:
                        return found
                elif self._is_operators(path):
                    _log.info("catalog_file_outdated", source=self._label, file=str(path))
            except OSError as error:
                if self._is_operators(path):
                    self._refuse(path, error.strerror or str(error))
        return None

    def are_there(self) -> bool:
        """Whether there is any file that may be one."""
        return next(self._candidates(), None) is not None

    def keep(self, path: Path, about: Mapping[str, Any], version: int, known: Sequence[str]) -> SqliteCatalog:
        """Give a finished file its name, and open it.

        Raises:
            CatalogError: It cannot be opened.
        """
        with suppress(OSError):
            path = path.replace(self._path_of(about["content"], about["source"]))
        found = self._opened(path, version, known, verify=False)
        if found is None:
            raise CatalogError(f"DATA_DIR {self._recipe.data_dir}: {path.name} was removed while it was opened")
        return found

    def max_items(self) -> int:
        """Items of the largest file of this recipe; 0 without any."""
        found = 0
        for path in self._candidates():
            with suppress(OSError):
                about = about_file(path)
                if about.get("recipe") == self._recipe.digest:
                    found = max(found, int(about["items"]))
        return found

    def base(self) -> int | None:
        """The newest whole file of this recipe, whatever its content, as an open descriptor; its lock ends with it."""
        for path in sorted(self._candidates(), key=_mtime, reverse=True):
            with ExitStack() as stack, suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
                if about_file(path).get("recipe") == self._recipe.digest and _hold(descriptor):
                    stack.pop_all()
                    return descriptor
        return None

    def rename(self, content: str, source: str) -> None:
        """Note another version of the source for the same content."""
        for path in self._in_data_dir():
            if about_file(path).get("content") == content:
                with suppress(OSError):
                    path.replace(self._path_of(content, source))

    def _candidates(self) -> Iterator[Path]:
        if self._recipe.catalog_file is not None:
            yield self._recipe.catalog_file
        yield from self._in_data_dir()

    def _in_data_dir(self) -> list[Path]:
        return sorted(self._recipe.data_dir.glob(f"{_PREFIX}{self._recipe.digest}-*{_SUFFIX}"))

    def _path_of(self, content: str, source: str) -> Path:
        name = f"{_PREFIX}{self._recipe.digest}-{content[:24]}-{_short(source)}{_SUFFIX}"
        return self._recipe.data_dir / name

    def _opened(self, path: Path, version: int, known: Sequence[str], *, verify: bool = True) -> SqliteCatalog | None:
        with ExitStack() as stack:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            if not _hold(descriptor):
                return None
            about = about_file(path)
            problem = self._problem(about, descriptor) if verify else ""
            if problem:
                self._refuse(path, problem)
                return None
            report = CatalogReport.unpacked(about["report"])
            gone = [name for name in known if name not in about["columns"] and name not in about["taken"]]
            report = replace(report, lost=(*report.lost, *gone))
            report.log(self._label)
            held = stack.pop_all()

            def closed(replaced: bool) -> None:  # noqa: FBT001  # see `SqliteCatalog`
                held.close()
                if replaced:
                    sweep(self._recipe.data_dir)

            try:
                catalog = SqliteCatalog(
                    path,
                    columns=(*about["columns"], *gone),
                    version=version,
                    report=report,
                    items=about["items"],
                    on_closed=closed,
                )
            except CatalogError:
                held.close()
                raise
        if verify:
            _log.info("catalog_file_used", source=self._label, file=str(path), items=len(catalog))
        return catalog

    def _problem(self, about: Mapping[str, Any], descriptor: int) -> str:
        problem = seal_problem(descriptor)
        if not problem and about.get("recipe") != self._recipe.digest:
            return "was made with other settings, or by another version"
        return problem

    def _is_operators(self, path: Path) -> bool:
        return self._at_start and path == self._recipe.catalog_file

    def _refuse(self, path: Path, problem: str) -> None:
        _log.warning("catalog_file_unusable", source=self._label, file=str(path), problem=problem)
        if path.parent == self._recipe.data_dir:
            path.unlink(missing_ok=True)


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


def kept_in(folder: Path) -> list[Path]:
    """The kept files in a folder."""
    return sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}"))


def sweep(data_dir: Path) -> None:
    """Remove the kept files that no process reads; never fails."""
    for path in kept_in(data_dir):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _hold(descriptor: int) -> bool:
    """Lock a file that is read, unless it is being removed; a file system without locks removes nothing either."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return os.fstat(descriptor).st_nlink > 0


def _says(path: Path, about: Mapping[str, Any], source: str) -> bool:
    return about.get("source") == source or path.name.endswith(f"-{_short(source)}{_SUFFIX}")


def _short(source: str) -> str:
    return sha256(source.encode()).hexdigest()[:16]


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
