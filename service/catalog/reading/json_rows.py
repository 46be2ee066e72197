"""The rows of a JSON Lines file."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import IO

import orjson

from service.catalog.reading.lines import bounded_lines, check_column_count
from service.catalog.reading.ports import Record

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class JsonRows:
    """A file of one JSON object a line as a `RowSource`; a first pass collects the columns."""

    def __init__(self, stream: IO[bytes], label: str) -> None:
        """Read the whole file for its columns.

        Raises:
            CatalogError: A line is too long, or there are too many columns.
        """
        self._stream = stream
        self._label = label
        self.line = 0
        names: dict[str, None] = {}
        for record in self._objects():
            if record is not None and not names.keys() >= record.keys():
                names.update(dict.fromkeys(record))
                check_column_count(names, label)
        self.names: Sequence[str] = list(filter(None, names))

    def records(self, *, texts: Collection[str] = ()) -> Iterator[Record | None]:
        """See `RowSource.records`; JSON itself says what is a number, so `texts` changes nothing."""
        del texts
        names = self.names
        for record in self._objects():
            yield None if record is None else [record.get(name) for name in names]

    def learn_types(self) -> None:
        """JSON has no types to learn."""

    def _objects(self) -> Iterator[Mapping[str, object] | None]:
        self._stream.seek(0)
        for number, line in enumerate(bounded_lines(self._stream.readline, self._label), 1):
            self.line = number
            text = (line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line).strip()
            if text:
                yield _json_object(text)


def _json_object(text: bytes) -> Mapping[str, object] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
