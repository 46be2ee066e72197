"""The rows of a JSON document: a list of objects, such a list somewhere inside, or objects one behind the other."""

from collections.abc import Iterator, Mapping
from json import JSONDecodeError
from typing import IO, Final, cast

import ijson
import orjson

from service.catalog.reading.encoding import UTF_8, WESTERN, Recoded, judge, note_on
from service.catalog.reading.json_place import Place, place_in
from service.catalog.reading.json_rows import beginning, row_of, tolerant_json
from service.catalog.reading.lines import next_line
from service.catalog.reading.ports import Unit, Unreadable
from service.errors import CatalogError

MAX_TOLERANT_BYTES: Final = 64 << 20
"""Of a document that is no strict JSON, which is read as a whole. A list of objects as it should be is streamed."""

_REPLACED: Final = "\ufffd"


class JsonDocument:
    """The objects of a document, as `Objects`."""

    unit: Unit = "row"
    line: int

    def __init__(self, stream: IO[bytes], encoding: str, place: Place, label: str) -> None:
        """Begin nothing yet.

        Args:
            stream: Unpacked; it must be able to seek.
            encoding: How it is written.
            place: Where the objects are.
            label: Names the document in errors.
        """
        self._stream = stream
        self._place = place
        self._label = label
        self._tolerant = False
        self.encoding = encoding

    def __iter__(self) -> Iterator[Mapping[str, object] | Unreadable]:
        """See `Objects`."""
        if not self._tolerant:
            try:
                yield from self._numbered(self._streamed())
            except (ijson.JSONError, UnicodeDecodeError):
                # The first pass collects names only: it may go through the document twice.
                self._tolerant = True
            else:
                return
        yield from self._numbered(self._whole())

    @property
    def note(self) -> str | None:
        """See `Objects`."""
        return note_on(self.encoding, self._stream)

    def learn(self) -> None:
        """A document that is no UTF-8 has been looked at before."""

    def _numbered(self, values: Iterator[object]) -> Iterator[Mapping[str, object] | Unreadable]:
        for number, value in enumerate(values, 1):
            self.line = number
            yield self._row(value)

    def _row(self, value: object) -> Mapping[str, object] | Unreadable:
        if self._tolerant:
            text = orjson.dumps(value, default=str)
            if self.encoding == UTF_8 and _REPLACED in text.decode():
                return Unreadable("not_utf8", "not UTF-8", beginning(text))
            return row_of(value, text)
        return row_of(value, b"" if isinstance(value, dict) else orjson.dumps(value))

    def _streamed(self) -> Iterator[object]:
        with Recoded.where_needed(self._stream, self.encoding) as stream:
            stream.seek(0)
            prefix, is_keyed, _ = self._place
            if is_keyed:
                yield from map(self._with_key, ijson.kvitems(stream, prefix, use_float=True))
            else:
                yield from ijson.items(stream, prefix, multiple_values=not prefix, use_float=True)

    def _with_key(self, entry: tuple[str, object]) -> object:
        key, value = entry
        name = self._place.key_column
        return {name: key, **value} if name and isinstance(value, dict) else value

    def _whole(self) -> Iterator[object]:
        self._stream.seek(0)
        content = self._stream.read(MAX_TOLERANT_BYTES + 1)
        if len(content) > MAX_TOLERANT_BYTES:
            raise CatalogError(f"{self._label}: the JSON is broken or cut short, or holds NaN; write one object a line")
        if self.encoding == UTF_8:
            self.encoding = judge(self._stream)
        try:
            value = tolerant_json(content.decode(self.encoding, "replace"))
        except ValueError as error:
            raise CatalogError(f"{self._label}: the JSON {_problem(error)}") from error
        for name in self._place.prefix.removesuffix("item").strip(".").split("."):
            value = cast("dict[str, object]", value)[name] if name else value
        if self._place.is_keyed:
            value = list(map(self._with_key, cast("dict[str, object]", value).items()))
        yield from cast("list[object]", value) if isinstance(value, list) else [value]


def _problem(error: ValueError) -> str:
    if isinstance(error, JSONDecodeError) and error.doc.startswith(("//", "/*"), error.pos):
        return f"has a comment in line {error.lineno}; take it out"
    return f"is broken or cut short: {error}"


def document_place(stream: IO[bytes], encoding: str, label: str) -> Place | None:
    """Where a document holds its rows; None for JSON Lines.

    Args:
        stream: At its beginning, which is an object or a list.
        encoding: How it is written.
        label: Names the document in errors.

    Raises:
        CatalogError: It is written by columns.
    """
    with Recoded.where_needed(stream, encoding) as text:
        lines: list[bytes] = []
        is_whole = True
        while len(lines) < 2 and is_whole:  # noqa: PLR2004  # the first and the second tell
            line, is_whole = next_line(text.readline)
            if not line:
                break
            if line.strip(b"\xef\xbb\xbf \t\r\n"):
                lines.append(line.strip(b"\xef\xbb\xbf \t\r\n"))
        if lines[0].startswith(b"["):
            inner = lines[0][1:].strip() or (lines[1] if len(lines) > 1 else b"{")
            return Place("item") if inner.startswith((b"{", b"]")) else None
        if len(lines) > 1 and (lines[1].startswith(b"{") or _is_object(lines[0])):
            return None
        is_one = len(lines) == 1 and is_whole and _is_object(lines[0])
        text.seek(0)
        place = place_in(text, label)
    if place is None and encoding == UTF_8 and judge(stream) == WESTERN:
        with Recoded.where_needed(stream, WESTERN) as text:
            place = place_in(text, label)
    return place or (None if is_one else Place())


def _is_object(line: bytes) -> bool:
    try:
        tolerant_json(line.decode(errors="replace"))
    except ValueError:
        return False
    return True
