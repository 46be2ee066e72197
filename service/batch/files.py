"""The files of a batch's output, on disk or in S3, plain or gzip, read as a stream."""

import glob
import gzip
import io
import os
import stat
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self, cast
from urllib.parse import unquote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from service.aws.errors import readable_sdk_errors
from service.errors import BatchError

SUFFIXES: Final = (".out", ".out.gz", ".jsonl", ".jsonl.gz")
"""Files of a directory or a prefix that are read. Personalize names its output after the input, with `.out` behind.

Source: Amazon Personalize developer guide, batch inference output examples."""

_BUFFER_BYTES: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_UNREADABLE: Final = (OSError, EOFError, zlib.error, BotoCoreError)


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A file of a batch's output."""

    url: str
    size: int
    """Bytes as stored."""

    made_at: float
    """Unix seconds of its last change: no list in it is younger."""

    version: str
    """Changes with the content."""

    raw: Callable[[int], IO[bytes]]
    """The bytes as stored, from this one on."""


class Reading:
    """A file that is being read, from this byte of its content on; packed or not is told from its first bytes.

    Args:
        file: What `find` saw.
        start: Counted as unpacked.

    Raises:
        BatchError: It cannot be read, or is no longer what `find` saw.
    """

    def __init__(self, file: BatchFile, start: int) -> None:
        self._file = file
        self._stack = ExitStack()
        try:
            with readable_sdk_errors(file.url, BatchError):
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

    def readline(self, most_bytes: int) -> bytes:
        """The next line with its end, or so much of it; empty at the end.

        Raises:
            BatchError: It cannot be read, or is cut short.
        """
        try:
            return self._stream.readline(most_bytes)
        except _UNREADABLE as error:
            raise _explained(self._file, error) from error

    def _open(self, start: int) -> IO[bytes]:
        stream = self._stored(0)
        if stream.peek(2)[:2] == _GZIP:
            unpacked = self._stack.enter_context(io.BufferedReader(gzip.GzipFile(fileobj=stream), _BUFFER_BYTES))
            while start and (data := unpacked.read(min(start, _BUFFER_BYTES))):
                start -= len(data)
            return cast("IO[bytes]", unpacked)
        if start:
            self._stack.close()
            stream = self._stored(start)
        return cast("IO[bytes]", stream)

    def _stored(self, start: int) -> io.BufferedReader:
        # S3 refuses a range that begins at the end.
        raw = self._file.raw(start) if start < self._file.size else cast("IO[bytes]", io.BytesIO())
        self._counted = self._stack.enter_context(_Counted(raw, start))
        return self._stack.enter_context(io.BufferedReader(self._counted, _BUFFER_BYTES))


class _Counted(io.RawIOBase):
    def __init__(self, stream: IO[bytes], position: int) -> None:
        self._stream = stream
        self.position = position

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # any buffer
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def find(urls: Sequence[str]) -> tuple[list[BatchFile], int]:
    """The files that these name, each once and in a fixed order, and how many were passed over for their names.

    Args:
        urls: A path or `file://` address of a file, a directory or a pattern; or `s3://bucket/` and a key or the
            beginning of keys. Of a directory or a prefix those that end in `SUFFIXES` are taken.

    Raises:
        BatchError: One of them names no file, or cannot be looked at.
    """
    found: dict[str, BatchFile] = {}
    passed_over = 0
    for url in urls:
        files, others = _in_s3(url) if url.lower().startswith("s3://") else _on_disk(url)
        if not files:
            hint = f" ({others} of other names; {', '.join(SUFFIXES)} are read)" if others else ""
            raise BatchError(f"{url}: no file there{hint}")
        found.update((file.url, file) for file in files)
        passed_over += others
    return [found[url] for url in sorted(found)], passed_over


def _explained(file: BatchFile, error: Exception) -> BatchError:
    if isinstance(error, EOFError):
        return BatchError(f"{file.url}: is cut short")
    return BatchError(f"{file.url}: cannot be read: {getattr(error, 'strerror', None) or error}")


def _on_disk(url: str) -> tuple[list[BatchFile], int]:
    path = unquote(url.split(":", 1)[1].removeprefix("//")) if url.lower().startswith("file:") else url
    others = 0
    try:
        if Path(path).is_dir():
            names = sorted(str(one) for one in Path(path).iterdir() if one.is_file())
            chosen = [name for name in names if name.endswith(SUFFIXES)]
            others = len(names) - len(chosen)
        else:
            chosen = [path] if Path(path).exists() else sorted(glob.glob(path))  # noqa: PTH207  # the path is the pattern
        return [_local(Path(name)) for name in chosen if Path(name).is_file()], others
    except OSError as error:
        raise BatchError(f"{url}: cannot be read: {error.strerror}") from error


def _local(path: Path) -> BatchFile:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BatchError(f"{path}: is not a file")
    version = f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"

    def raw(start: int) -> IO[bytes]:
        stream = path.open("rb", buffering=0)
        stream.seek(start)
        return cast("IO[bytes]", stream)

    return BatchFile(f"file://{path.resolve()}", status.st_size, status.st_mtime, version, raw)


def _in_s3(url: str) -> tuple[list[BatchFile], int]:
    bucket, _, prefix = url[len("s3://") :].partition("/")
    if not bucket:
        raise BatchError(f"{url}: must be s3://bucket/prefix")
    files: list[BatchFile] = []
    others = 0
    with readable_sdk_errors(url, BatchError):
        client = boto3.client(
            "s3",
            region_name=os.environ.get("AWS_REGION") or None,
            config=Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard"}),
        )
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for one in page.get("Contents", ()):
                key = one["Key"]
                if key != prefix and not key.endswith(SUFFIXES):
                    others += not key.endswith("/")
                    continue
                files.append(_object(client, bucket, key, one))
    return files, others


def _object(client: Any, bucket: str, key: str, found: Mapping[str, Any]) -> BatchFile:  # noqa: ANN401  # the SDK's
    def raw(start: int) -> IO[bytes]:
        output: dict[str, Any] = client.get_object(
            Bucket=bucket, Key=key, IfMatch=found["ETag"], Range=f"bytes={start}-"
        )
        return cast("IO[bytes]", output["Body"])

    made_at = found["LastModified"].timestamp()
    return BatchFile(f"s3://{bucket}/{key}", found["Size"], made_at, found["ETag"], raw)
