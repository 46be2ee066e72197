"""A batch's output on disk."""

import glob
import stat
from pathlib import Path
from urllib.parse import unquote

from service.batch.files import SUFFIXES, BatchFile, StoredBytes
from service.errors import BatchError


def find_local(url: str) -> tuple[list[BatchFile], int]:
    """The files that a path or a `file://` address names, and how many were passed over; see `find`.

    Raises:
        BatchError: It cannot be looked at.
    """
    path = unquote(url.split(":", 1)[1].removeprefix("//")) if url.lower().startswith("file:") else url
    others = 0
    try:
        if Path(path).is_dir():
            names = sorted(str(one) for one in Path(path).iterdir() if one.is_file())
            chosen = [name for name in names if name.endswith(SUFFIXES)]
            others = len(names) - len(chosen)
        else:
            chosen = [path] if Path(path).exists() else sorted(glob.glob(path))  # noqa: PTH207  # the path is the pattern
        return [_file(Path(name)) for name in chosen if Path(name).is_file()], others
    except OSError as error:
        raise BatchError(f"{url}: cannot be read: {error.strerror}") from error


def _file(path: Path) -> BatchFile:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BatchError(f"{path}: is not a file")

    def stored_from(start: int) -> StoredBytes:
        stream = path.open("rb", buffering=0)
        stream.seek(start)
        return stream

    version = f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"
    return BatchFile(f"file://{path.resolve()}", status.st_size, status.st_mtime, version, stored_from)
