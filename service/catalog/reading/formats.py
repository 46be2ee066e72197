"""Which formats a catalogue may have, and how its stream becomes rows; the content decides."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import IO, TYPE_CHECKING

from service.catalog.reading.csv_rows import CsvRows
from service.catalog.reading.encoding import encoding_of
from service.catalog.reading.packing import HEAD_BYTES, PackingError, unpacked
from service.catalog.reading.ports import RowSource
from service.errors import CatalogError

if TYPE_CHECKING:
    from service.catalog.reading.json_rows import JsonRows


@contextmanager
def open_rows(stream: IO[bytes], label: str) -> Iterator[RowSource]:
    """The rows of a stream, which stays open.

    Args:
        stream: As it is stored, packed or not. It must be able to seek.
        label: Names the source in errors.

    Raises:
        CatalogError: The columns cannot be read.
    """
    with unpacked(stream, label) as content, closing(_rows(content, label)) as rows:
        yield rows


def _rows(content: IO[bytes], label: str) -> "CsvRows | JsonRows":
    head = content.read(HEAD_BYTES)
    encoding = encoding_of(head)
    begin = head.decode(encoding, "replace").lstrip("\ufeff \t\r\n")
    content.seek(0)
    if not begin.startswith(("{", "[", "\x1e")):
        return CsvRows(content, label)
    # A parser of large documents, which few catalogues need.
    from service.catalog.reading.json_document import JsonDocument, document_place  # noqa: PLC0415  # as said
    from service.catalog.reading.json_rows import JsonLines, JsonRows  # noqa: PLC0415  # as said
    from service.catalog.reading.json_sequence import RECORD_SEPARATOR, JsonSequence  # noqa: PLC0415  # as said

    if begin.startswith(RECORD_SEPARATOR):
        return JsonRows(JsonSequence(content), label)
    place = document_place(content, encoding, label)
    objects = JsonLines(content, encoding) if place is None else JsonDocument(content, encoding, place, label)
    return JsonRows(objects, label)


@contextmanager
def readable_errors(label: str) -> Iterator[None]:
    """Turn what reading a stream raises into a line for the operator.

    Raises:
        CatalogError: The stream cannot be opened, is damaged, or is not text.
    """
    try:
        yield
    except (*PackingError, zlib.error) as error:
        packing = "gzip" if isinstance(error, (EOFError, gzip.BadGzipFile, zlib.error)) else "packed"
        raise CatalogError(f"{label}: the {packing} data is damaged or cut short: {error}") from error
    except OSError as error:
        raise CatalogError(f"{label}: cannot be read: {error.strerror or error}") from error
    except UnicodeError as error:
        raise CatalogError(f"{label}: is not text that can be read: {error}") from error
