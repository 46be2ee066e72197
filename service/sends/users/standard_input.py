"""Files that can be read only once: standard input, and what a shell puts in the place of `<(command)`."""

import io
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

from service.files.stored import StoredBytes, StoredFile
from service.sends.users.unpack import readable_errors, temporary_copy

STANDARD_INPUT: Final = "-"
"""How people name it."""


def is_read_once(name: str) -> bool:
    """Whether this names standard input or a pipe."""
    return name == STANDARD_INPUT or Path(name).is_fifo()


def read_once(name: str, stack: ExitStack) -> StoredFile:
    """A copy that can be read as often as one likes, in a file without a name, until the stack is closed.

    Raises:
        UsersFileError: It cannot be read, or there is no room for the copy.
    """
    if name == STANDARD_INPUT:
        return _copied("standard input", sys.stdin.buffer, stack)
    with readable_errors(name), Path(name).open("rb") as stream:
        return _copied(name, stream, stack)


def _copied(name: str, stream: IO[bytes], stack: ExitStack) -> StoredFile:
    with readable_errors(name):
        copy = stack.enter_context(temporary_copy(stream))
    status = os.fstat(copy.fileno())

    def stored_from(start: int) -> StoredBytes:
        again = io.FileIO(os.dup(copy.fileno()), "rb")
        again.seek(start)
        return again

    return StoredFile(name, status.st_size, status.st_mtime, str(status.st_ino), stored_from)
