"""A stored file in which one can seek: what reads an archive, or a table twice, reads it in S3 as on disk."""

import io
import os
from typing import Any, cast

from service.files.stored import StoredBytes, StoredFile


class SeekableFile(io.RawIOBase):
    """The bytes of a file as stored; it is opened anew at another place after each seek.

    Args:
        file: What `find` saw.
    """

    def __init__(self, file: StoredFile) -> None:
        self._file = file
        self._at = 0
        self._bytes: StoredBytes | None = None

    @classmethod
    def buffered(cls, file: StoredFile, buffer_bytes: int = 1 << 18) -> "io.BufferedReader[Any]":
        """The file, read in larger pieces."""
        return io.BufferedReader(cast("Any", cls(file)), buffer_bytes)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go elsewhere."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence]
        at = max(0, start + offset)
        if at != self._at:
            self._let_go()
            self._at = at
        return at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # any buffer
        """See `io.RawIOBase`."""
        if self._at >= self._file.size:
            return 0  # S3 refuses a range that begins at the end
        if self._bytes is None:
            self._bytes = self._file.stored_from(self._at)
        data = self._bytes.read(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Give back what is open."""
        self._let_go()
        super().close()

    def _let_go(self) -> None:
        if self._bytes is not None:
            self._bytes.close()
            self._bytes = None
