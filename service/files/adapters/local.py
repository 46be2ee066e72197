"""Files on disk."""

import glob
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

from service.files.names import is_hidden, is_meant
from service.files.stored import StoredBytes, StoredFile


def find_local(
    url: str, error: Callable[[str], Exception], suffixes: tuple[str, ...] | None
) -> tuple[list[StoredFile], int]:
    """The files that a path or a `file://` address names, and how many were passed over; see `find`."""
    path = unquote(url.split(":", 1)[1].removeprefix("//")) if url.lower().startswith("file:") else url
    others = 0
    try:
        if Path(path).is_dir():
            names = sorted(name for name in _below(Path(path)) if not is_hidden(name))
            chosen = [str(Path(path, name)) for name in names if is_meant(name, suffixes)]
            others = len(names) - len(chosen)
        else:
            chosen = [path] if Path(path).exists() else sorted(glob.glob(path, recursive=True))  # noqa: PTH207  # the path is the pattern
        files = [_file(Path(name), error) for name in chosen if not Path(name).is_dir()]
    except OSError as problem:
        raise error(f"{url}: cannot be read: {problem.strerror}") from problem
    return files, others


def _below(directory: Path) -> Iterator[str]:
    """Paths of the files in a directory and in those in it, with `/`."""
    for folder, _, names in os.walk(directory):
        for name in names:
            yield Path(folder, name).relative_to(directory).as_posix()


def _file(path: Path, error: Callable[[str], Exception]) -> StoredFile:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{path}: is not a file")

    def stored_from(start: int) -> StoredBytes:
        stream = path.open("rb", buffering=0)
        stream.seek(start)
        return stream

    version = f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"
    return StoredFile(f"file://{path.resolve()}", status.st_size, status.st_mtime, version, stored_from)
