"""What a feed may be packed in, and what is said of anything else."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping

import pytest

from service.catalog.reading.packing import unpacked
from service.errors import CatalogError

ROWS = b"id,title\na,b\n" * 200


def zipped(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return whole.getvalue()


def patched(packed: bytes, *, offset_here: int, offset_in_directory: int, value: int) -> bytes:
    """The same archive with another number in its only file's two headers."""
    changed = bytearray(packed)
    for magic, offset in ((b"PK\x03\x04", offset_here), (b"PK\x01\x02", offset_in_directory)):
        struct.pack_into("<H", changed, packed.index(magic) + offset, value)
    return bytes(changed)


def tarred() -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        info = tarfile.TarInfo("feed.csv")
        info.size = len(ROWS)
        archive.addfile(info, io.BytesIO(ROWS))
    return whole.getvalue()


def read(content: bytes, **terms: tuple[bytes, ...]) -> bytes:
    stream = io.BytesIO(content)
    stream.seek(3)
    with unpacked(stream, "feed", **terms) as rows:
        assert rows.tell() == 0
        found = rows.read()
    assert not stream.closed
    return found


PACKINGS: list[Callable[[bytes], bytes]] = [
    gzip.compress,
    bz2.compress,
    lzma.compress,
    lambda content: zipped({"feed.csv": content}),
    lambda content: zipped({"feed.csv": content}, zipfile.ZIP_STORED),
    lambda content: zipped({"feed.csv": content}, zipfile.ZIP_BZIP2),
    lambda content: zipped({"feed.csv": content}, zipfile.ZIP_LZMA),
]


@pytest.mark.parametrize("pack", PACKINGS)
@pytest.mark.parametrize("times", [1, 2, 3])
def test_rows_are_found_in_up_to_three_packings(pack: Callable[[bytes], bytes], times: int) -> None:
    packed = ROWS
    for _ in range(times):
        packed = pack(packed)
    assert read(packed) == ROWS


def test_what_is_not_packed_is_read_as_it_is() -> None:
    assert read(ROWS) == ROWS
    assert read(b"") == b""


def test_how_hard_an_archive_was_packed_is_no_password() -> None:
    assert read(patched(zipped({"a": ROWS}), offset_here=6, offset_in_directory=8, value=6)) == ROWS


@pytest.mark.parametrize("beside", ["__MACOSX/._feed.csv", "folder/", ".DS_Store", "folder/Thumbs.db"])
def test_what_a_computer_puts_beside_a_file_does_not_count(beside: str) -> None:
    assert read(zipped({beside: b"", "feed.csv": ROWS})) == ROWS


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped({}), "holds no file; it must hold one"),
        (zipped({"a": ROWS, "b": ROWS}), r"holds 2 files \(a, b\)"),
        (zipped(dict.fromkeys("abc", ROWS)), r"holds 3 files \(a, b, c\)"),
        (zipped(dict.fromkeys("abcd", ROWS)), r"holds 4 files \(a, b, c, \.\.\.\)"),
        (zipped({"[Content_Types].xml": b""}), "is a workbook of Excel"),
        (zipped({"mimetype": b"", "content.xml": b""}), "is a workbook of Excel"),
        (patched(zipped({"a": ROWS}), offset_here=6, offset_in_directory=8, value=1), "has a password"),
        (patched(zipped({"a": ROWS}), offset_here=8, offset_in_directory=10, value=97), "unknown here"),
        (tarred(), "is a tar archive"),
        (gzip.compress(tarred()), "is a tar archive"),
        (b"\n <!DOCTYPE html><p>", "is a web page"),
        ("\ufeff<HTML>".encode(), "is a web page"),
        ("<html>".encode("utf-16"), "is a web page"),
        (b"<?xml version='1.0'?><rss/>", "is XML"),
        (b'load([{"id": 1}]);', "is JSONP; store the JSON within its brackets instead"),
        (b'/**/ jQuery_1.done ( {"id": 1})', "is JSONP"),
        (b'// our items\n[{"id": 1}]', "begins with a comment, which neither JSON nor CSV has; take it out"),
        (b'/* our items */\n[{"id": 1}]', "begins with a comment"),
        ("// our items".encode("utf-16"), "begins with a comment"),
    ],
)
def test_anything_else_is_one_line_with_the_way_out(content: bytes, words: str) -> None:
    with pytest.raises(CatalogError, match=f"^feed: .*{words}"):
        read(content)


def test_a_content_that_the_caller_takes_is_not_refused() -> None:
    content = b"<?xml version='1.0'?>"
    assert read(content, takes=(b"ion", b"<?xml")) == content
    with pytest.raises(CatalogError, match="is XML"):
        read(content, takes=(b"ion",))
