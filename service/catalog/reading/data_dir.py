"""The files of large catalogues in DATA_DIR: each is locked while it is written, and swept out if its writer died."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from service.errors import CatalogError
from service.files.private import check_writable

_PREFIX: Final = "catalog-"
_SUFFIX: Final = ".sqlite"


def prepare(data_dir: Path) -> None:
    """Make the directory, and sweep out files of processes that were killed while writing.

    Raises:
        CatalogError: Nothing can be written there.
    """
    try:
        check_writable(data_dir)
        for path in data_dir.glob(f"{_PREFIX}*{_SUFFIX}"):
            _unlink_unless_locked(path)
    except OSError as error:
        raise CatalogError(f"DATA_DIR {data_dir}: cannot be written: {error.strerror or error}") from error


@contextmanager
def new_file(data_dir: Path) -> Iterator[Path]:
    """A new file that stays locked while the block lasts, so that `prepare` of another process spares it.

    The lock is one that is shared with those who read the file when it is finished.
    """
    descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=data_dir)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
        os.close(descriptor)


def _unlink_unless_locked(path: Path) -> None:
    with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
