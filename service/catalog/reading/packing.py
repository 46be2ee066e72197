"""What a stream is packed in, by its first bytes, and which contents are no table that can be read."""

import bz2
import gzip
import lzma
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, Final, cast

from service.catalog.reading.encoding import encoding_of
from service.errors import CatalogError

MAX_PACKINGS: Final = 3
"""Packings around each other, such as an object named `.csv.gz` that was stored with `Content-Encoding: gzip`."""

HEAD_BYTES: Final = 512
"""Bytes that tell what a stream holds."""

MAX_FILES_NAMED: Final = 3

_ZIP: Final = b"PK\x03\x04"
_EMPTY_ZIP: Final = b"PK\x05\x06"

_STREAMS: Final[Sequence[tuple[bytes, Callable[[IO[bytes]], object]]]] = (
    (b"\x1f\x8b", lambda stream: gzip.GzipFile(fileobj=stream, mode="rb")),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
)
"""Packings of one stream of bytes, by what they begin with."""

_EXPORT: Final = "; export CSV or JSON Lines instead"
_PACK: Final = "; pack it with gzip instead"

_FOREIGN: Final[Sequence[tuple[bytes, str]]] = (
    (b"PAR1", f"is Parquet{_EXPORT}"),
    (b"Obj\x01", f"is Avro{_EXPORT}"),
    (b"ORC", f"is ORC{_EXPORT}"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook; save it as CSV UTF-8 instead"),
    (b"%PDF", f"is a PDF{_EXPORT}"),
    (b"SQLite format 3\x00", f"is an SQLite database{_EXPORT}"),
    (b"\xe0\x01\x00\xea", "is Amazon Ion; export the table as DynamoDB JSON instead"),
    (b"$ion_1_0", "is Amazon Ion; export the table as DynamoDB JSON instead"),
    (b"\x28\xb5\x2f\xfd", f"is packed with Zstandard{_PACK}"),
    (b"\x04\x22\x4d\x18", f"is packed with LZ4{_PACK}"),
    (b"\x1f\x9d", f"is packed with compress{_PACK}"),
    (b"\x1f\xa0", f"is packed with compress{_PACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"is a 7z archive{_PACK}"),
    (b"Rar!", f"is a RAR archive{_PACK}"),
)
"""Contents that cannot be read, by what they begin with, and the way out."""

_JSONP: Final = re.compile(r"(?:/\*.*?\*/)?\s*[\w.$]+\s*\(\s*[\[{]", re.DOTALL)
"""The call of a function with JSON in it."""

_TAR_AT: Final = 257
_TAR: Final = b"ustar"

PackingError = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile)
"""What reading a damaged packing raises, besides `zlib.error` and, of bz2, an `OSError`."""


@contextmanager
def unpacked(stream: IO[bytes], label: str, *, takes: Sequence[bytes] = ()) -> Iterator[IO[bytes]]:
    """The content of a stream that may be packed with gzip, bzip2, xz or zip, whatever its name says.

    Args:
        stream: As it is stored; it must be able to seek, and stays open.
        label: Names it in errors.
        takes: How contents begin that are no rows, and that the caller reads all the same.

    Raises:
        CatalogError: It is a zip archive of several files, or nothing that can be read as rows.
    """
    with ExitStack() as stack:
        for _ in range(MAX_PACKINGS):
            inner = _inner(stream, _head(stream), label, stack)
            if inner is None:
                break
            stream = inner
        if not (takes and _head(stream).startswith(tuple(takes))):
            _refuse_foreign(_head(stream), label)
        stream.seek(0)
        yield stream


def _head(stream: IO[bytes]) -> bytes:
    stream.seek(0)
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    return head


def _inner(stream: IO[bytes], head: bytes, label: str, stack: ExitStack) -> IO[bytes] | None:
    """What is packed in the stream; None if it is not packed."""
    for magic, opened in _STREAMS:
        if head.startswith(magic):
            return cast("IO[bytes]", stack.enter_context(opened(stream)))  # type: ignore[arg-type]  # each is one
    if head.startswith((_ZIP, _EMPTY_ZIP)):
        archive = stack.enter_context(zipfile.ZipFile(stream))
        return stack.enter_context(archive.open(_only_member(archive, label)))
    return None


def _only_member(archive: zipfile.ZipFile, label: str) -> zipfile.ZipInfo:
    names = {info.filename for info in archive.infolist()}
    if "[Content_Types].xml" in names or "mimetype" in names:
        raise CatalogError(f"{label}: is a workbook of Excel or LibreOffice; save it as CSV UTF-8 instead")
    members = [info for info in archive.infolist() if not _is_furniture(info)]
    if len(members) != 1:
        named = ", ".join(info.filename for info in members[:MAX_FILES_NAMED])
        found = f"{len(members)} files ({named}{', ...' if len(members) > MAX_FILES_NAMED else ''})"
        raise CatalogError(f"{label}: the zip archive holds {found if members else 'no file'}; it must hold one")
    if members[0].flag_bits & 1:
        raise CatalogError(f"{label}: the zip archive has a password; pack it without one")
    if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        raise CatalogError(f"{label}: the zip archive is packed in a way that is unknown here{_PACK}")
    return members[0]


def _is_furniture(info: zipfile.ZipInfo) -> bool:
    """Whether it is a folder, or what macOS and Windows put beside the files that somebody chose."""
    name = info.filename
    return info.is_dir() or name.startswith("__MACOSX/") or name.rpartition("/")[2] in (".DS_Store", "Thumbs.db")


def _refuse_foreign(head: bytes, label: str) -> None:
    for magic, what in _FOREIGN:
        if head.startswith(magic):
            raise CatalogError(f"{label}: {what}")
    if head[_TAR_AT:].startswith(_TAR):
        raise CatalogError(f"{label}: is a tar archive; pack the file by itself with gzip instead")
    text = head.decode(encoding_of(head), "replace").lstrip("\ufeff \t\r\n").lower()
    if text.startswith(("<!doctype html", "<html")):
        raise CatalogError(f"{label}: is a web page, perhaps an error or a login in the place of the feed")
    if _JSONP.match(text):
        raise CatalogError(f"{label}: is JSONP; store the JSON within its brackets instead")
    if text.startswith(("//", "/*")):
        raise CatalogError(f"{label}: begins with a comment, which neither JSON nor CSV has; take it out")
    if text.startswith("<"):
        raise CatalogError(f"{label}: is XML; have the shop export the feed as CSV, TSV or JSON Lines instead")
