"""The texts in a file: the file itself, or what gzip or ZIP has packed. The content says which, never the name."""

import gzip
import io
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any, Final, TypeAlias, cast

from service.files.names import is_hidden
from service.files.stored import StoredBytes, StoredFile
from service.sends.users.findings import UsersFileError

MAX_PACKED: Final = 3
"""Packings in one another: a gzip file in a ZIP archive is two."""

Text: TypeAlias = "io.BufferedReader[Any]"
"""Bytes of a text, to be read line by line."""

_BUFFER_BYTES: Final = 1 << 18
_HEAD_BYTES: Final = 512

_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP: Final = b"\x1f\x8b"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")

_FOREIGN: Final = (
    (b"PAR1", "is Parquet; save it as CSV or JSON Lines"),
    (b"Obj\x01", "is Avro; save it as CSV or JSON Lines"),
    (b"\xd0\xcf\x11\xe0", "is an Excel workbook; save it as CSV"),
    (b"BZh", "is packed by bzip2; unpack it, or pack it with gzip"),
    (b"\xfd7zXZ", "is packed by xz; unpack it, or pack it with gzip"),
    (b"\x28\xb5\x2f\xfd", "is packed by zstd; unpack it, or pack it with gzip"),
    (b"7z\xbc\xaf", "is a 7z archive; unpack it, or pack it with gzip"),
)
"""How files begin that hold users and are not read, and the way out."""

_PAGE: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|!doctype|html|head|body|error)[\s>]", re.IGNORECASE)
"""How what a server says begins, in the place of the file that was asked for."""


def texts(file: StoredFile, name: str) -> Iterator[tuple[str, Text]]:
    """Each text in a file, with its name; open until the next one is asked for.

    Args:
        file: Where the bytes are.
        name: Names the file in messages and in the names of what is packed in it.

    Raises:
        UsersFileError: It cannot be read, is damaged, or is of a kind that is not read.
    """
    with readable_errors(name), ExitStack() as stack:
        stored = file.stored_from(0)
        stack.callback(stored.close)
        yield from _unpacked(_buffered(stored, stack), name, MAX_PACKED)


@contextmanager
def readable_errors(name: str) -> Iterator[None]:
    """Turn what reading a file raises into a line.

    Raises:
        UsersFileError: It cannot be read or is damaged.
    """
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error):
        raise UsersFileError(f"{name}: the packed file is damaged or cut short") from None
    except NotImplementedError:
        raise UsersFileError(f"{name}: is packed in a way that is not read; pack it with gzip") from None
    except OSError as error:
        raise UsersFileError(f"{name}: cannot be read: {error.strerror or error}") from error


def _unpacked(stream: Text, name: str, packings: int) -> Iterator[tuple[str, Text]]:
    head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    if head.startswith((_GZIP, *_ZIP)) and not packings:
        raise UsersFileError(f"{name}: is packed more than {MAX_PACKED} times; unpack it")
    if head.startswith(_GZIP):
        with io.BufferedReader(gzip.GzipFile(fileobj=stream, mode="rb"), _BUFFER_BYTES) as unpacked:
            yield from _unpacked(unpacked, name, packings - 1)
    elif head.startswith(_ZIP):
        yield from _of_archive(stream, name, packings - 1)
    else:
        _check_text(head, name)
        yield name, stream


def _of_archive(stream: Text, name: str, packings: int) -> Iterator[tuple[str, Text]]:
    with ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(_seekable(stream, stack)))
        members = [one for one in archive.infolist() if not one.is_dir() and not is_hidden(one.filename)]
        if any(one.filename == "[Content_Types].xml" for one in members):
            raise UsersFileError(f"{name}: is an Excel workbook; save it as CSV")
        if not members:
            raise UsersFileError(f"{name}: is an archive without a file")
        for member in members:
            inner = f"{name}/{member.filename}"
            if member.flag_bits & 1:
                raise UsersFileError(f"{inner}: is encrypted; unpack it with its password")
            with io.BufferedReader(cast("io.RawIOBase", archive.open(member)), _BUFFER_BYTES) as unpacked:
                yield from _unpacked(unpacked, inner, packings)


def _check_text(head: bytes, name: str) -> None:
    if head.startswith(_UTF_16):
        raise UsersFileError(f"{name}: is UTF-16; save it as UTF-8")
    for beginning, problem in _FOREIGN:
        if head.startswith(beginning):
            raise UsersFileError(f"{name}: {problem}")
    if _PAGE.match(head):
        raise UsersFileError(
            f"{name}: is a page of HTML or XML, as a server answers to a link that has expired; fetch the file again"
        )
    if head[257:262] == b"ustar":
        raise UsersFileError(f"{name}: is a tar archive; unpack it, or use ZIP")
    if b"\0" in head:
        raise UsersFileError(f"{name}: is not text")


class _Raw(io.RawIOBase):
    """Stored bytes as the standard library's readers want them."""

    def __init__(self, stored: StoredBytes) -> None:
        self._stored = stored

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # any buffer
        data = self._stored.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _buffered(stored: StoredBytes, stack: ExitStack) -> Text:
    raw = stored if isinstance(stored, io.RawIOBase) else _Raw(stored)
    return stack.enter_context(io.BufferedReader(raw, _BUFFER_BYTES))


def _seekable(stream: Text, stack: ExitStack) -> IO[bytes]:
    """The stream itself, or a copy of it: an archive's list of files is at its end."""
    return stream if stream.seekable() else stack.enter_context(temporary_copy(stream))


def temporary_copy(stream: IO[bytes]) -> IO[bytes]:
    """All of a stream in a file without a name, at its beginning.

    Raises:
        UsersFileError: There is no room for one.
    """
    with _temporary_errors():
        copy = tempfile.TemporaryFile()  # noqa: SIM115  # the caller's
    while data := stream.read(_BUFFER_BYTES):
        with _temporary_errors():
            copy.write(data)
    with _temporary_errors():
        copy.seek(0)
    return copy


@contextmanager
def _temporary_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsersFileError(f"no room for a temporary file, set TMPDIR: {error.strerror or error}") from error
