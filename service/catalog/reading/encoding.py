"""How the text of a file is written, by its content."""

import codecs
import io
import re
from collections import Counter
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

_NAMES: Final = {f"utf-{width}{order}": f"UTF-{width}" for width in (16, 32) for order in ("", "-le", "-be")}

_WIDE: Final = 4
"""Bytes of a character in UTF-32."""

_ODD: Final = re.compile(
    # What Western text hardly has: unused places, letters that only Icelandic has by themselves, and
    rb"[\x81\x8d\x8f\x90\x9d\xd0\xde\xf0\xf7\xfe\xff]"
    # what a character of UTF-8 leaves that was cut: a capital with an accent behind a small letter, or such a pair.
    rb"|(?<=[a-z])[\xc0-\xde](?![A-Za-z])|\xe2[\x80-\x8f](?![\x80-\xbf])|[\xc2-\xf4][\x80-\xbf](?=[A-Za-z])"
)

_FOREIGN: Final = re.compile(
    # Words without a letter of ASCII, as in Cyrillic, Greek, Chinese, Korean;
    rb"[\xc0-\xff]{3}|[\xa1-\xff]{4}"
    # signs within a word, which are letters in Central Europe and of DOS; a Czech letter that Italian has at the end.
    rb"|(?<=[A-Za-z])[\x80-\x90\x93\x94\x9f\xa1-\xa4](?=[a-z])"
    rb"|(?<=[a-z\xe0-\xff])[\xb3\xb9\xba\xbc\xbe\xbf](?=[a-z])|\xec(?=[a-z])"
    # Two letters of DOS side by side, which are signs that Western text has one of.
    rb"|[\x81-\x84\x86-\x90\x98\x9a-\x9f]{2}"
)
"""What shows an encoding that is neither UTF-8 nor Western."""

_HUNGARIAN: Final = re.compile(rb"\xf5(?!e)|\xfb(?![a-z])")
"""What Hungarian has most of: Estonian has the first, too, and Portuguese the same before an `e`."""

_NOT_HUNGARIAN: Final = re.compile(rb"[\xe3\xe4\xe7]")
"""What those two have more of."""

_ASCII: Final = frozenset(map(chr, range(128)))

_SIGNS: Final = frozenset(
    sign for sign in bytes(range(128, 256)).decode(WESTERN, "ignore") if sign in "ªºµ" or not sign.isalpha()
)
"""What Western text has in every language."""

_WESTERN_LETTERS: Final = tuple(
    _SIGNS | frozenset(letters)
    for letters in (
        "äöüßé",  # German
        "àâçéèêëîïôùûüÿœ",  # French
        "áéíñóúü",  # Spanish
        "àáâãçéêíóôõúü",  # Portuguese
        "àçèéíïòóúü",  # Catalan
        "àèéìíîòóùú",  # Italian
        "áèéêëíïóöúü",  # Dutch
        "æøåéèêóôòâä",  # Danish, Norwegian
        "åäöéèàü",  # Swedish
        "åäöšž",  # Finnish
        "äöüõšž",  # Estonian
        "áðéíóúýþæö",  # Icelandic
        "ëçâ",  # Albanian
        "àâáäèéêëìíîïòóôöùúûü",  # Welsh, Gaelic
    )
)
"""Of each language what it writes beside ASCII, with what it borrows most."""


def _as_western(letters: str, encoding: str) -> tuple[frozenset[str], frozenset[str]]:
    """An alphabet of another encoding as Western text shows it, and of that what it shows wrongly."""
    shown = [(letter, letter.encode(encoding, "ignore").decode(WESTERN, "ignore")) for letter in letters]
    wrong = {there for letter, there in shown if letter != there}
    return _SIGNS | frozenset("".join(there for _, there in shown)), frozenset("".join(wrong))


_FOREIGN_LETTERS: Final = tuple(
    _as_western(letters, encoding)
    for letters, encodings in (
        ("čćđšž", ("cp1250", "iso-8859-2")),  # Croatian, Bosnian, Serbian, Slovene
        ("áčďéěíňóřšťúůýž", ("cp1250", "iso-8859-2")),  # Czech
        ("áäčďéíĺľňóôŕšťúýž", ("cp1250", "iso-8859-2")),  # Slovak
        ("ąćęłńóśźż", ("cp1250", "iso-8859-2", "iso-8859-16", "cp1257", "iso-8859-13")),  # Polish
        ("ăâîşţ", ("cp1250",)),  # Romanian
        ("ąčęėįšųūž", ("cp1257", "iso-8859-13", "iso-8859-4")),  # Lithuanian
        ("āčēģīķļņšūž", ("cp1257", "iso-8859-13", "iso-8859-4")),  # Latvian
        ("âçğıîöşûü", ("cp1254",)),  # Turkish
        ("àáâăèéêíđóôơùúưý\u0300\u0301\u0303\u0309\u0323", ("cp1258",)),  # Vietnamese
        ("ċġħżàèìòù", ("iso-8859-3",)),  # Maltese
    )
    for encoding in encodings
)
"""Languages that Windows-1252 cannot write."""

_MINORITY: Final = 10
"""Lines that are no UTF-8 outvote those that show something else, when there are so many times as many."""

_SAMPLE: Final = re.compile(r"[\w' -]{0,20}[^\x00-\x7f][\w' -]{0,20}")


def encoding_of(head: bytes) -> str:
    """The encoding of a file by its first bytes: its byte order mark, or the zeros of UTF-16 and UTF-32."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    zeros = [not any(head[place::4]) for place in range(4)] if len(head) >= _WIDE else []
    if zeros[2:] == [True, True]:
        return "utf-32-le"
    if zeros[:2] == [True, True]:
        return "utf-32-be"
    if head[1::2].count(0) > len(head) // 4:
        return "utf-16-le"
    if head[::2].count(0) > len(head) // 4:
        return "utf-16-be"
    return UTF_8


def note_on(encoding: str, stream: IO[bytes]) -> str | None:
    """A word on an encoding for the operator; None for UTF-8.

    Args:
        encoding: How the file is read.
        stream: The file. Only a person sees whether Windows-1252 was right, so its first odd text is shown.
    """
    if encoding != WESTERN:
        return f"is {_NAMES[encoding]}, not UTF-8; read as that" if encoding in _NAMES else None
    stream.seek(0)
    lines = iter(lambda: stream.readline(MAX_LINE_CHARACTERS), b"")
    texts = (_SAMPLE.search(line.decode(WESTERN, "replace")) for line in lines if not line.isascii())
    text = next((found[0].strip() for found in texts if found), "")
    return f"is Windows-1252 or Latin-1, not UTF-8; read as that: {text!r}; if that looks wrong, save the file as UTF-8"


def judge(stream: IO[bytes]) -> str:
    """Whether a file with bytes that are no UTF-8 is Windows-1252, or UTF-8 that is broken in some lines.

    One line of good UTF-8 beyond ASCII shows that it is UTF-8. Without any, the broken lines decide: whether they
    read as Western text, as characters that were cut, or as another encoding. Of the last, nobody can say which it is:
    such a file is read as UTF-8, so that its odd rows are left out and named.
    """
    stream.seek(0)
    good = western = odd = foreign = hungarian = others = 0
    alphabets: Counter[frozenset[str]] = Counter()
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
            foreign += _FOREIGN.search(line) is not None
            hungarian += _HUNGARIAN.search(line) is not None
            others += _NOT_HUNGARIAN.search(line) is not None
            alphabets[_odd_letters(line)] += 1
        else:
            good += 1
    stream.seek(0)
    foreign += hungarian if hungarian > others else 0
    foreign = max(foreign, _foreign_lines(alphabets))
    is_western = western > odd and western > _MINORITY * good and western > _MINORITY * foreign
    return WESTERN if is_western else UTF_8


def _odd_letters(line: bytes) -> frozenset[str]:
    """What a line has beside ASCII, as Western text, without regard to capitals."""
    return frozenset(line.decode(WESTERN, "ignore").lower()) - _ASCII


def _foreign_lines(alphabets: Counter[frozenset[str]]) -> int:
    """How many lines one foreign language explains, where it explains more than all Western ones do; else 0.

    A line tells nothing where each of them reads it alike.
    """
    western = {found for found in alphabets if any(found <= known for known in _WESTERN_LETTERS)}
    most = 0
    for letters, wrong in _FOREIGN_LETTERS:
        shown = [found for found in alphabets if found <= letters and (found & wrong or found not in western)]
        if any(found & wrong for found in shown):
            others = sum(count for found, count in alphabets.items() if found & wrong and found in western)
            foreign = sum(alphabets[found] for found in shown)
            most = max(most, foreign if foreign > others else 0)
    return most


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
