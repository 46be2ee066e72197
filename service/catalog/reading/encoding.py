"""How the text of a file is written, by its content."""

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final, cast

from service.catalog.reading.lines import MAX_LINE_CHARACTERS

UTF_8: Final = "utf-8"
WESTERN: Final = "cp1252"
"""Windows-1252, of which Latin-1 is the part that feeds use."""

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_NAMES: Final = {"utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "utf-32": "UTF-32"}

_ODD: Final = re.compile(
    # What Western text hardly has: unused places, letters that only Icelandic has by themselves, and
    rb"[\x81\x8d\x8f\x90\x9d\xd0\xde\xf0\xf7\xfe\xff]"
    # what a character of UTF-8 leaves that was cut: a capital with an accent behind a small letter, or such a pair.
    rb"|(?<=[a-z])[\xc0-\xde](?![A-Za-z])|\xe2[\x80-\x8f](?![\x80-\xbf])|[\xc2-\xf4][\x80-\xbf](?=[A-Za-z])"
)

_MINORITY: Final = 10
"""Lines that are no UTF-8 outvote those that show that the file is, when there are so many times as many."""


def encoding_of(head: bytes) -> str:
    """The encoding of a file by its first bytes: its byte order mark, or the zeros of UTF-16."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if head[1::2].count(0) > len(head) // 4:
        return "utf-16-le"
    if head[::2].count(0) > len(head) // 4:
        return "utf-16-be"
    return UTF_8


def note_on(encoding: str) -> str | None:
    """A word on an encoding for the operator; None for UTF-8."""
    if encoding == WESTERN:
        return "is Windows-1252 or Latin-1, not UTF-8; read as that"
    return f"is {_NAMES[encoding]}, not UTF-8; read as that" if encoding in _NAMES else None


def judge(stream: IO[bytes]) -> str:
    """Whether a file with bytes that are no UTF-8 is Windows-1252, or UTF-8 that is broken in some lines.

    One line of good UTF-8 beyond ASCII shows that it is UTF-8. Without any, the broken lines decide: whether they
    read as Western text, or as characters that were cut.
    """
    stream.seek(0)
    good = western = odd = 0
    while line := stream.readline(MAX_LINE_CHARACTERS):
        if line.isascii():
            continue
        try:
            line.decode()
        except UnicodeDecodeError:
            if _ODD.search(line):
                odd += 1
            else:
                western += 1
        else:
            good += 1
    stream.seek(0)
    return WESTERN if western > odd and western > _MINORITY * good else UTF_8


def is_broken(text: str) -> bool:
    """Whether a text holds bytes that its encoding does not know, as `surrogateescape` keeps them."""
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


class Recoded(io.RawIOBase):
    """A file in another encoding as UTF-8."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._text = io.TextIOWrapper(stream, encoding=encoding, errors="surrogateescape", newline="")
        self._rest = b""

    @classmethod
    @contextmanager
    def where_needed(cls, stream: IO[bytes], encoding: str) -> Iterator[IO[bytes]]:
        """A file as UTF-8, for as long as the block lasts."""
        if encoding == UTF_8:
            yield stream
            return
        recoded = cls(stream, encoding)
        buffered = io.BufferedReader(recoded)
        try:
            yield cast("IO[bytes]", buffered)
        finally:
            buffered.close()

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """To its beginning."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Begin anew.

        Raises:
            OSError: Another place than the beginning.
        """
        if offset or whence:
            raise OSError("only its beginning can be sought")
        self._rest = b""
        return self._text.seek(0)

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]  # what io hands in
        """See `io.RawIOBase`."""
        if not self._rest:
            self._rest = self._text.read(len(buffer)).encode(errors="surrogateescape")
        count = min(len(self._rest), len(buffer))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Leave the stream open."""
        if not self.closed:
            self._text.detach()
        super().close()
