"""Files that only this user may read: what an embedded replica keeps names users' lists and blocked items."""

import fcntl
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


class FolderInUse(Exception):
    """Another process holds the lock."""


def make_folder(path: Path) -> None:
    """Make a folder, with those above it, unless it is there.

    Raises:
        OSError: It cannot be made.
    """
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def make_file(path: Path) -> None:
    """Make an empty file unless it is there, and take it from everybody else; a link is no file.

    SQLite makes its files for everybody. It opens one that is there as it is, and gives its journals the same rights.

    Raises:
        OSError: It cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        _own(descriptor, path.parent)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step: who reads it sees the old content or the new, also after a power cut.

    Raises:
        OSError: It cannot be written; the old content stays.
    """
    make_folder(path.parent)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
            _own(descriptor, path.parent)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _own(descriptor: int, folder: Path) -> None:
    """Give an open file to its owner only. What root writes belongs to the folder's owner, who is to read it."""
    status = os.fstat(descriptor)
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != status.st_uid:
        with suppress(PermissionError):  # a container may take this right from root
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != FILE_MODE:
        os.fchmod(descriptor, FILE_MODE)


class FolderLock:
    """A folder that one process at a time may use; the lock goes with the process, however it ends.

    It is a lock of the folder itself, so there is no file that could be left behind or deleted under its holder.

    Args:
        folder: Made if it is not there.

    Raises:
        FolderInUse: Another process has it.
        OSError: It cannot be made, or its file system knows no such locks.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise FolderInUse from None
        except BaseException:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Let others have the folder."""
        os.close(self._descriptor)


def check_writable(folder: Path) -> None:
    """Do nothing if files can be made in a folder, which is made if it is not there.

    Raises:
        OSError: They cannot.
    """
    make_folder(folder)
    with tempfile.TemporaryFile(dir=folder):
        pass
