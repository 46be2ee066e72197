"""The rows of JSON: objects, one a line or in a document, whose names together are the columns."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import IO, Final, Protocol

import orjson

from service.catalog.reading.cells import NOTHING, is_typed, plain_value, shown
from service.catalog.reading.encoding import UTF_8, Recoded, judge, note_on
from service.catalog.reading.lines import MAX_LINE_CHARACTERS, check_column_count, next_line
from service.catalog.reading.ports import LineReader, QuickWay, Record, Shape, Unit, Unreadable
from service.errors import CatalogError

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_EXCERPT: Final = 200
_NO_OBJECT: Final = 'not a JSON object, such as {"id": "sku1", "name": "Mug"}'
_INCREMENTAL: Final = frozenset({"Metadata", "Keys"})
"""What a change in an incremental export of DynamoDB has beside its images."""


class Objects(Protocol):
    """Where objects come from."""

    @property
    def unit(self) -> Unit:
        """What `line` counts."""

    @property
    def line(self) -> int:
        """Of the last object."""

    @property
    def note(self) -> str | None:
        """A word on how the text is written; None for UTF-8."""

    def __iter__(self) -> Iterator[Mapping[str, object] | Unreadable]:
        """Every object from the first.

        Raises:
            CatalogError: It cannot be read to its end.
        """

    def learn(self) -> None:
        """Look at the whole file for its encoding."""


class JsonRows:
    """Objects as a `RowSource`; a first pass collects the columns."""

    repeated: Collection[str] = ()
    is_sparse = True
    raw = ""
    shape: Shape | None = None
    """Every line may have columns of its own, so no line says all of what it says by itself."""

    def __init__(self, objects: Objects, label: str) -> None:
        """Read the whole file for its columns.

        Raises:
            CatalogError: It cannot be read to its end, holds no object, or has too many columns.
        """
        self._objects = objects
        names, problem, is_utf8 = _names_of(objects, label)
        if not is_utf8:
            objects.learn()
            names, problem, _ = _names_of(objects, label)
        if problem and not names:
            raise CatalogError(f"{label}: no usable row ({problem})")
        self.names: Sequence[str] = list(filter(None, names))

    @property
    def unit(self) -> Unit:
        """See `RowSource.unit`."""
        return self._objects.unit

    @property
    def line(self) -> int:
        """See `RowSource.line`."""
        return self._objects.line

    @property
    def notes(self) -> Sequence[str]:
        """See `RowSource.notes`."""
        return list(filter(None, [self._objects.note]))

    def close(self) -> None:
        """Leave the stream open."""

    def records(self, *, texts: Collection[str] = (), quick: QuickWay | None = None) -> Iterator[Record | Unreadable]:
        """See `RowSource.records`; JSON itself says what is a number, so `texts` changes nothing."""
        del texts, quick
        names = self.names
        for found in self._objects:
            if isinstance(found, Unreadable):
                yield found
            else:
                values = map(found.get, names)
                yield [_trimmed(value) if type(value) is str else value for value in values]

    def skip(self, known: LineReader, numbers: Collection[str]) -> None:
        """See `RowSource.skip`; nothing is left out."""

    def learn(self, observe: Callable[[Record], None]) -> None:
        """See `RowSource.learn`."""
        for record in self.records():
            if not isinstance(record, Unreadable):
                observe(record)


class JsonLines:
    """One JSON object a line, as `Objects`."""

    unit: Unit = "line"
    line: int

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self.encoding = encoding

    def __iter__(self) -> Iterator[Mapping[str, object] | Unreadable]:
        """See `Objects`."""
        encoding = UTF_8 if self.encoding == "utf-8-sig" else self.encoding
        with Recoded.where_needed(self._stream, encoding) as stream:
            stream.seek(0)
            self.line = 0
            while True:
                line, is_whole = next_line(stream.readline)
                if not line:
                    return
                self.line += 1
                # Files that were joined have a mark each.
                text = line.removeprefix(_BYTE_ORDER_MARK).strip()
                if not is_whole:
                    yield Unreadable("too_long", f"longer than {MAX_LINE_CHARACTERS:,} characters", beginning(text))
                elif text:
                    yield parsed_row(text)

    @property
    def note(self) -> str | None:
        """See `Objects`."""
        return note_on(self.encoding, self._stream)

    def learn(self) -> None:
        """See `Objects`."""
        if self.encoding == UTF_8:
            self.encoding = judge(self._stream)


def _names_of(objects: Objects, label: str) -> tuple[Collection[str], str, bool]:
    """The names that objects have, the first problem, and whether all of them are in the encoding so far."""
    names: dict[str, None] = {}
    problem = ""
    is_utf8 = True
    for found in objects:
        if isinstance(found, Unreadable):
            problem = problem or f"{objects.unit} {objects.line}: {found.problem}: {shown(found.text)}"
            is_utf8 = is_utf8 and found.reason != "not_utf8"
        elif not names.keys() >= found.keys():
            names.update(dict.fromkeys(found))
            check_column_count(names, label)
    return names, problem, is_utf8


def row_of(value: object, text: bytes) -> Mapping[str, object] | Unreadable:
    """The row that an object is; an item of DynamoDB comes without its types, a node of GraphQL without its edge."""
    if not isinstance(value, dict):
        return Unreadable("malformed", _NO_OBJECT, beginning(text))
    if "Item" in value and isinstance(value["Item"], dict) and len(value) == 1:
        value = value["Item"]
    elif "node" in value and isinstance(value["node"], dict) and value.keys() <= {"node", "cursor"}:
        value = value["node"]
    elif value.keys() >= _INCREMENTAL:
        problem = "a change of an incremental export; export the whole table instead"
        return Unreadable("malformed", problem, beginning(text))
    return {name: plain_value(one) for name, one in value.items()} if is_typed(value) else value


def beginning(text: bytes) -> str:
    """What a finding shows of a row."""
    return text[:_EXCERPT].decode(errors="backslashreplace")


def tolerant_json(text: str) -> object:
    """A JSON text in which NaN and infinities, as Python writes them, are null.

    Raises:
        ValueError: It is no such text.
    """
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def parsed_row(text: bytes) -> Mapping[str, object] | Unreadable:
    """The row of an object in UTF-8; NaN and infinities in it are null."""
    try:
        return row_of(orjson.loads(text), text)
    except orjson.JSONDecodeError as error:
        problem = f"not JSON: {error.msg} at character {error.pos + 1}"
    try:
        # Where one took an array apart, the commas between its rows are left.
        return row_of(tolerant_json(text.decode().rstrip().removesuffix(",")), text)
    except UnicodeDecodeError:
        return Unreadable("not_utf8", "not UTF-8", beginning(text))
    except ValueError:
        return Unreadable("malformed", problem, beginning(text))


def _trimmed(text: str) -> str | None:
    return None if (trimmed := text.strip()) in NOTHING else trimmed
