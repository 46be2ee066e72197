"""The file that names the bad lines of a load; made with the first of them."""

import os
from pathlib import Path
from typing import IO, Final, Self

import orjson

from service.errors import BatchError
from service.files.private import make_file, make_folder

NAME: Final = "batch-errors.jsonl"
"""What it is called in `DATA_DIR`."""


class ErrorFile:
    """A JSON line for each bad line, readable by its owner only.

    Args:
        path: Where it is. What an earlier load left there is removed, or continued.
        keep_bytes: Its length as the load that goes on knows it; 0 for a new load.

    Raises:
        BatchError: It cannot be removed.
    """

    def __init__(self, path: Path, keep_bytes: int) -> None:
        self.path = path
        self.bytes = keep_bytes
        """Its length."""
        self.first: str | None = None
        """The first problem found in this run, with its place."""
        self._file: IO[bytes] | None = None
        try:
            # Looked for first: on a read-only disk even a missing file cannot be removed.
            if not keep_bytes and path.exists():
                path.unlink()
        except OSError as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, url: str, line: int, problem: str) -> None:
        """Name a bad line.

        Raises:
            BatchError: The file cannot be written.
        """
        self.first = self.first or f"{url}, line {line}: {problem}"
        written = orjson.dumps({"file": url, "line": line, "error": problem}) + b"\n"
        try:
            self._file = self._file or self._opened()
            self._file.write(written)
            # At once: the progress, which is kept elsewhere, counts it as written.
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error
        self.bytes += len(written)

    def _opened(self) -> IO[bytes]:
        make_folder(self.path.parent)
        make_file(self.path)
        file = self.path.open("r+b")
        # Somebody may have taken it away between two runs.
        self.bytes = min(self.bytes, os.fstat(file.fileno()).st_size)
        file.truncate(self.bytes)
        file.seek(self.bytes)
        return file

    def _unwritable(self, error: OSError) -> BatchError:
        return BatchError(f"{self.path}: cannot be written: {error.strerror}; --errors names another file")
