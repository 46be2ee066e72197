"""The rows of a JSON text sequence (RFC 7464): objects, each behind a record separator."""

from collections.abc import Iterator, Mapping
from typing import IO, Final

from service.catalog.reading.json_rows import beginning, parsed_row
from service.catalog.reading.lines import BUFFER_BYTES, MAX_LINE_CHARACTERS
from service.catalog.reading.ports import Unit, Unreadable

RECORD_SEPARATOR: Final = "\x1e"
_MARK: Final = RECORD_SEPARATOR.encode()


class JsonSequence:
    """One JSON object behind each record separator, as `Objects`; an object may have line breaks in it.

    Args:
        stream: Unpacked; it must be able to seek.
    """

    unit: Unit = "row"
    note: str | None = None
    """It is always UTF-8."""

    line: int

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[Mapping[str, object] | Unreadable]:
        """See `Objects`; a text that was cut costs itself only."""
        self.line = 0
        for text in self._texts():
            self.line += 1
            if len(text) > MAX_LINE_CHARACTERS:
                yield Unreadable("too_long", f"longer than {MAX_LINE_CHARACTERS:,} characters", beginning(text))
            else:
                yield parsed_row(text)

    def learn(self) -> None:
        """There is nothing to find out."""

    def _texts(self) -> Iterator[bytes]:
        """Every text that is not blank; of one that is too long, the beginning."""
        self._stream.seek(0)
        text = b""
        while chunk := self._stream.read(BUFFER_BYTES):
            first, *others = chunk.split(_MARK)
            if len(text) <= MAX_LINE_CHARACTERS:
                text = (text + first).lstrip()
            for other in others:
                if text := text.strip():
                    yield text
                text = other
        if text := text.strip():
            yield text
