"""The seal behind a finished file: it shows that the file is whole, and as it was written.

SQLite ignores what follows its last page. A checksum is the one thing that finds a page which a disk has changed:
SQLite itself would answer from it.
"""

import hashlib
import os
from pathlib import Path
from typing import Final

from service.catalog.reading.lines import READ_BYTES

_MARK: Final = b"\npersonalize-connect catalogue\n\0"
_DIGEST_BYTES: Final = 32
SEAL_BYTES: Final = len(_MARK) + _DIGEST_BYTES


def seal_of(digest: bytes) -> bytes:
    """What stands behind a file whose content has this hash."""
    return _MARK + digest


def put_seal(path: Path) -> None:
    """Seal a finished file.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.write(seal_of(digest_of(file.fileno(), size)))


def seal_problem(descriptor: int) -> str:
    """What is wrong with an open file, in words; empty if it is as it was sealed.

    Raises:
        OSError: It cannot be read.
    """
    size = os.fstat(descriptor).st_size - SEAL_BYTES
    seal = os.pread(descriptor, SEAL_BYTES, size) if size > 0 else b""
    if not seal.startswith(_MARK):
        return "is cut short, or no file of personalize-connect"
    if seal.removeprefix(_MARK) != digest_of(descriptor, size):
        return "is damaged"
    return ""


def digest_of(descriptor: int, size: int | None = None) -> bytes:
    """SHA-256 of the beginning of a file, or of all of it; its position does not matter and stays.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    place = 0
    while size is None or place < size:
        chunk = os.pread(descriptor, READ_BYTES if size is None else min(READ_BYTES, size - place), place)
        if not chunk:
            break
        digest.update(chunk)
        place += len(chunk)
    return digest.digest()
