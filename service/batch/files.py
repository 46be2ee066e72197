"""A file of a batch's output, read as a stream from any byte of its content, plain or gzip."""

import gzip
import io
import zlib
from contextlib import ExitStack
from typing import Any, Final, Self

from service.errors import BatchError
from service.files.stored import StoredBytes, StoredFile

SUFFIXES: Final = (".out", ".out.gz", ".jsonl", ".jsonl.gz")
"""Files of a directory or a prefix that are read. Personalize names its output after the input, with `.out` behind.

Source: Amazon Personalize developer guide, batch inference output examples."""

_BUFFER_BYTES: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_UNREADABLE: Final = (OSError, EOFError, zlib.error)


class BatchFileReader:
    """The lines of a file from a byte of its content on; the first bytes of the file show whether it is packed.

    Args:
        file: What `find` saw.
        start: The byte, counted as unpacked.

    Raises:
        BatchError: It cannot be read, or is no longer what `find` saw.
    """

    def __init__(self, file: StoredFile, start: int) -> None:
        self._file = file
        self._stack = ExitStack()
        try:
            self._stream = self._open(start)
        except _UNREADABLE as error:
            raise _explained(file, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def stored_bytes(self) -> int:
        """How much of the file was read, as stored."""
        return self._counted.position

    def readline(self, max_bytes: int) -> bytes:
        """The next line with its end, or its first `max_bytes`; empty at the end.

        Raises:
            BatchError: It cannot be read, or is cut short.
        """
        try:
            return self._stream.readline(max_bytes)
        except _UNREADABLE as error:
            raise _explained(self._file, error) from error

    def _open(self, start: int) -> "io.BufferedReader[Any]":
        stream = self._stored(0)
        if stream.peek(2)[:2] == _GZIP:
            unpacked = self._stack.enter_context(io.BufferedReader(gzip.GzipFile(fileobj=stream), _BUFFER_BYTES))
            while start and (data := unpacked.read(min(start, _BUFFER_BYTES))):
                start -= len(data)
            return unpacked
        if start:
            self._stack.close()
            stream = self._stored(start)
        return stream

    def _stored(self, start: int) -> "io.BufferedReader[Any]":
        # S3 refuses a range that begins at the end.
        stored = self._file.stored_from(start) if start < self._file.size else io.BytesIO()
        self._counted = self._stack.enter_context(_CountedBytes(stored, start))
        return self._stack.enter_context(io.BufferedReader(self._counted, _BUFFER_BYTES))


class _CountedBytes(io.RawIOBase):
    def __init__(self, stored: StoredBytes, position: int) -> None:
        self._stored = stored
        self.position = position

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # any buffer
        data = self._stored.read(len(buffer))
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    def close(self) -> None:
        self._stored.close()
        super().close()


def _explained(file: StoredFile, error: Exception) -> BatchError:
    if isinstance(error, EOFError):
        return BatchError(f"{file.url}: is cut short")
    reason = error.strerror if isinstance(error, OSError) else None
    return BatchError(f"{file.url}: cannot be read: {reason or error}")
