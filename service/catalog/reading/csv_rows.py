"""The rows of a CSV file."""

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from service.catalog.reading.lines import bounded_lines, check_column_count
from service.catalog.reading.ports import MixedColumn, Record
from service.errors import CatalogError

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?")
"""A number as a program writes it. With at most 15 digits a float keeps them all."""


class CsvRows:
    """A CSV file as a `RowSource`.

    A column counts as numbers until a cell shows otherwise. That is mostly its first cell, so one pass is mostly
    enough. Where `records` has given out numbers before, it raises `MixedColumn`, and the file must be read again.
    """

    def __init__(self, text: IO[str], label: str) -> None:
        """Read the header.

        Raises:
            CatalogError: It is no CSV, or it names a column twice or too many columns.
        """
        self._text = text
        self._label = label
        with self._readable():
            self.names: Sequence[str] = [name.strip() for name in next(self._rows(), [])]
        check_column_count(self.names, label)
        repeated = [name for name, count in Counter(filter(None, self.names)).items() if count > 1]
        if repeated:
            raise CatalogError(f"{label}: the header names {', '.join(repeated)} more than once")
        self._numbers: frozenset[int] | None = None

    @property
    def line(self) -> int:
        """Line on which the last row ended, from 1."""
        return self._reader.line_num

    def records(self, *, texts: Collection[str] = ()) -> Iterator[Record | None]:
        """See `RowSource.records`; a row with more cells than the header cannot be read."""
        with self._readable():
            yield from self._typed(texts)

    def learn_types(self) -> None:
        """See `RowSource.learn_types`."""
        with self._readable():
            self._numbers = _number_columns(self.names, self._records())

    def _typed(self, texts: Collection[str]) -> Iterator[Record | None]:
        width = len(self.names)
        candidates = set(range(width)) if self._numbers is None else self._numbers
        numbers = [place for place in candidates if self.names[place] and self.names[place] not in texts]
        seen: set[int] = set()
        is_number = _NUMBER.fullmatch
        for row in self._records():
            if len(row) > width:
                yield None
                continue
            if len(row) < width:
                row.extend([""] * (width - len(row)))
            record: list[object] = [cell or None for cell in row]
            texts_found = False
            for place in numbers:
                cell = row[place]
                if not cell:
                    continue
                if is_number(cell):
                    record[place] = float(cell) if "." in cell else int(cell)
                    seen.add(place)
                elif place in seen:
                    raise MixedColumn
                else:
                    texts_found = True
            if texts_found:
                numbers = [place for place in numbers if not isinstance(record[place], str)]
            yield record

    def _rows(self) -> Iterator[list[str]]:
        self._text.seek(0)
        # Without `strict`, a quote that is never closed would silently swallow the rest of the file.
        self._reader = csv.reader(bounded_lines(self._text.readline, self._label), strict=True)
        return filter(None, self._reader)

    def _records(self) -> Iterator[list[str]]:
        rows = self._rows()
        next(rows, None)
        return rows

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except csv.Error as error:
            raise CatalogError(f"{self._label}: line {self.line}: {error}") from error


def _number_columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> frozenset[int]:
    """Places of columns with at least one value, all of whose values are numbers."""
    candidates = {place: False for place, name in enumerate(header) if name}
    for row in rows:
        if len(row) > len(header):
            continue
        for place in list(candidates):
            if place < len(row) and row[place]:
                if _NUMBER.fullmatch(row[place]):
                    candidates[place] = True
                else:
                    del candidates[place]
    return frozenset(place for place, seen in candidates.items() if seen)
