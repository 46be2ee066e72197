"""The rows of a JSON document: a list of objects, such a list somewhere inside, or objects one behind the other."""

from collections.abc import Iterator, Mapping
from typing import IO, Final, cast

import ijson
import orjson

from service.catalog.reading.encoding import UTF_8, Recoded, judge
from service.catalog.reading.json_rows import beginning, row_of, tolerant_json
from service.catalog.reading.lines import next_line
from service.catalog.reading.ports import Unit, Unreadable
from service.errors import CatalogError

MAX_TOLERANT_BYTES: Final = 64 << 20
"""Of a document that is no strict JSON, which is read as a whole. A list of objects as it should be is streamed."""

_WRAPPER_NAMES: Final = (
    "products items item product results data rows records entries offers edges nodes docs documents objects value"
    " values list elements catalog feed content hits articles variants"
)
_WRAPPERS: Final = frozenset(_WRAPPER_NAMES.split())
"""Names under which interfaces of shops hand out their products, in lower case."""

_MAX_DEPTH: Final = 4
_MAX_EVENTS: Final = 100_000
"""Looked at for a list of rows; what a page says of itself is shorter."""

_REPLACED: Final = "\ufffd"


class JsonDocument:
    """The objects of a document, as `Objects`."""

    unit: Unit = "row"

    def __init__(self, stream: IO[bytes], encoding: str, prefix: str, label: str) -> None:
        """Begin nothing yet.

        Args:
            stream: Unpacked; it must be able to seek.
            encoding: How it is written.
            prefix: Where the objects are, as ijson writes it; empty for objects one behind the other.
            label: Names the document in errors.
        """
        self._stream = stream
        self._prefix = prefix
        self._label = label
        self._tolerant = False
        self.encoding = encoding
        self.line = 0

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
            yield from ijson.items(stream, self._prefix, multiple_values=not self._prefix, use_float=True)

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
            raise CatalogError(f"{self._label}: the JSON is broken or cut short: {error}") from error
        for name in self._prefix.removesuffix("item").strip(".").split("."):
            value = cast("dict[str, object]", value)[name] if name else value
        yield from cast("list[object]", value) if isinstance(value, list) else [value]


def prefix_in(stream: IO[bytes], encoding: str) -> str | None:
    """Where a document holds its rows, as ijson writes it.

    Returns:
        None for JSON Lines; empty for objects one behind the other, each on several lines.
    """
    with Recoded.where_needed(stream, encoding) as text:
        text.seek(0)
        lines: list[bytes] = []
        is_whole = True
        while len(lines) < 2 and is_whole:  # noqa: PLR2004  # the first and the second tell
            line, is_whole = next_line(text.readline)
            if not line:
                break
            if line.strip(b"\xef\xbb\xbf \t\r\n"):
                lines.append(line.strip(b"\xef\xbb\xbf \t\r\n"))
        if not lines or not lines[0].startswith((b"{", b"[")):
            return None
        if lines[0].startswith(b"["):
            inner = lines[0][1:].strip() or (lines[1] if len(lines) > 1 else b"{")
            return "item" if inner.startswith((b"{", b"]")) else None
        if len(lines) > 1 and (lines[1].startswith(b"{") or _is_object(lines[0])):
            return None
        is_one = len(lines) == 1 and is_whole and _is_object(lines[0])
        text.seek(0)
        return _list_in(text) or (None if is_one else "")


def _is_object(line: bytes) -> bool:
    try:
        tolerant_json(line.decode(errors="replace"))
    except ValueError:
        return False
    return True


def _list_in(text: IO[bytes]) -> str | None:
    """The first list of objects under a name that interfaces give to their rows."""
    opened: str | None = None
    try:
        for count, (prefix, event, _) in enumerate(ijson.parse(text)):
            if event == "start_map" and opened is not None:
                return f"{opened}.item"
            names = prefix.split(".")
            is_list = event == "start_array" and len(names) <= _MAX_DEPTH and "item" not in names[:-1]
            opened = prefix if is_list and names[-1].lower() in _WRAPPERS else None
            if count > _MAX_EVENTS:
                return None
    except (ijson.JSONError, UnicodeDecodeError):
        return None
    return None
