"""Which formats a catalogue may have, and how its stream becomes rows."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Final, cast

from service.catalog.reading.csv_rows import CsvRows
from service.catalog.reading.json_rows import JsonRows
from service.catalog.reading.ports import RowSource
from service.errors import CatalogError

SUFFIXES: Final = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz")
"""How a source's name ends; the end names the format."""


@contextmanager
def open_rows(stream: IO[bytes], name: str, label: str) -> Iterator[RowSource]:
    """The rows of a stream, which stays open.

    Args:
        stream: As it is stored, gzip included. It must be able to seek.
        name: Name of the file; its end names the format.
        label: Names the source in errors.

    Raises:
        CatalogError: The columns cannot be read.
    """
    with ExitStack() as stack:
        if name.endswith(".gz"):
            stream = cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=stream, mode="rb")))
        if name.removesuffix(".gz").endswith(".jsonl"):
            yield JsonRows(stream, label)
        else:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
            stack.callback(text.detach)
            yield CsvRows(text, label)


@contextmanager
def readable_errors(label: str) -> Iterator[None]:
    """Turn what reading a stream raises into a line for the operator.

    Raises:
        CatalogError: The stream cannot be opened, is damaged, or is not UTF-8.
    """
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CatalogError(f"{label}: the gzip data is damaged or cut short: {error}") from error
    except OSError as error:
        raise CatalogError(f"{label}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CatalogError(f"{label}: is not UTF-8: {error.reason} {error.object[error.start]:#04x}") from error
