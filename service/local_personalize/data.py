"""Reading a directory of Personalize datasets: interactions, and items and users where they are there.

Source: https://docs.aws.amazon.com/personalize/latest/dg/how-it-works-dataset-schema.html
"""

import csv
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from sys import intern
from typing import Final, NamedTuple, TextIO, cast

from service.local_personalize.errors import LocalPersonalizeError


class Interaction(NamedTuple):
    """One row of the interactions dataset, without its user."""

    item_id: str
    timestamp: int
    """Unix seconds."""
    event_type: str
    """Empty where the file has no EVENT_TYPE column."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """Everything a model may learn from or a filter may ask about."""

    histories: dict[str, list[Interaction]]
    """By user, the oldest interaction first; rows of the same second keep the file's order."""
    items: dict[str, dict[str, str]]
    """Columns by upper-case name, as text, of each row of items.csv. Empty without such a file."""
    users: dict[str, dict[str, str]]
    """The same of users.csv."""


class _Row(NamedTuple):
    line: int
    values: list[str]


_NOTHING: Final = frozenset({"NaN", "nan", "NULL", "null", "\\N", "<NA>"})
"""How pandas and databases write that there is no value."""

_DELIMITERS: Final = ",;\t|"
_GZIP: Final = b"\x1f\x8b"


class _Table:
    """One CSV file, plain or gzip, read row by row; every complaint names the file.

    The content says what delimits the cells and whether it is packed. Blanks around a cell are taken away, and comments
    above the header are passed over.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = self._read()
        self.columns: list[str] = []
        for header in self._rows:
            self.columns = [name.strip().upper() for name in header.values]
            break

    def position(self, *names: str) -> int:
        """The place of the first of these columns that the file has.

        Raises:
            LocalPersonalizeError: It has none of them.
        """
        for name in names:
            if name in self.columns:
                return self.columns.index(name)
        raise self.complaint(f"has no {' or '.join(names)} column")

    def rows(self) -> Iterator[_Row]:
        """The rows below the header, each as wide as the header; blank lines are passed over."""
        width = len(self.columns)
        for row in self._rows:
            if not row.values:
                continue
            if len(row.values) != width:
                raise self.complaint(f"line {row.line} has {len(row.values)} fields, the header {width}")
            yield row

    def complaint(self, what: str) -> LocalPersonalizeError:
        return LocalPersonalizeError(f"{self._path} {what}")

    def _read(self) -> Iterator[_Row]:
        try:
            with self._opened() as stream:
                lines, number = iter(stream), 0
                header = ""
                for number, header in enumerate(lines, 1):  # noqa: B007  # both are needed behind it
                    if header.strip() and not header.startswith("#"):
                        break
                delimiter = max(_DELIMITERS, key=header.count)
                reader = csv.reader(chain([header], lines), delimiter=delimiter, skipinitialspace=True)
                for values in reader:
                    cells = ["" if (text := value.strip()) in _NOTHING else text for value in values]
                    yield _Row(reader.line_num + number - 1, cells)
        except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
            raise self.complaint(f"cannot be read: {error}") from error

    def _opened(self) -> TextIO:
        with self._path.open("rb") as file:
            is_packed = file.read(len(_GZIP)) == _GZIP
        open_text = gzip.open if is_packed or self._path.suffix == ".gz" else open
        return cast("TextIO", open_text(self._path, "rt", encoding="utf-8-sig", newline=""))


def read_dataset(directory: Path) -> Dataset:
    """What the directory holds: `interactions.csv`, and `items.csv` and `users.csv` if there.

    Each may end in `.gz`; where both are there the plain file is read.

    Raises:
        LocalPersonalizeError: There is no interactions file, or a file is not what it should be.
    """
    if not directory.is_dir():
        raise LocalPersonalizeError(f"{directory} is not a directory")
    interactions = _find(directory, "interactions")
    if interactions is None:
        raise LocalPersonalizeError(f"{directory} holds neither interactions.csv nor interactions.csv.gz")
    return Dataset(
        histories=_read_histories(_Table(interactions)),
        items=_read_columns(_find(directory, "items"), "ITEM_ID", "ID"),
        users=_read_columns(_find(directory, "users"), "USER_ID", "ID"),
    )


def _find(directory: Path, name: str) -> Path | None:
    candidates = (directory / f"{name}.csv", directory / f"{name}.csv.gz")
    return next((path for path in candidates if path.is_file()), None)


def _read_histories(table: _Table) -> dict[str, list[Interaction]]:
    user_at, item_at = table.position("USER_ID"), table.position("ITEM_ID")
    time_at = table.position("TIMESTAMP")
    event_at = table.position("EVENT_TYPE") if "EVENT_TYPE" in table.columns else None
    histories: dict[str, list[Interaction]] = {}
    for line, values in table.rows():
        user_id, item_id = values[user_at], values[item_at]
        if not user_id or not item_id:
            raise table.complaint(f"line {line} has no USER_ID or no ITEM_ID")
        timestamp = _whole_number(values[time_at])
        if timestamp is None:
            raise table.complaint(f"line {line}: TIMESTAMP {values[time_at]!r} is not in Unix seconds")
        event_type = "" if event_at is None else intern(values[event_at])
        histories.setdefault(user_id, []).append(Interaction(intern(item_id), timestamp, event_type))
    if not histories:
        raise table.complaint("has no interactions")
    for history in histories.values():
        history.sort(key=lambda interaction: interaction.timestamp)
    return histories


def _whole_number(text: str) -> int | None:
    """The number if it is one that fits Personalize's type for timestamps, a long."""
    try:
        number = int(text)
    except ValueError:
        return None
    return number if 0 <= number < 2**63 else None


def _read_columns(path: Path | None, *id_columns: str) -> dict[str, dict[str, str]]:
    if path is None:
        return {}
    table = _Table(path)
    id_at = table.position(*id_columns)
    return {
        intern(row.values[id_at]): dict(zip(table.columns, row.values, strict=True))
        for row in table.rows()
        if row.values[id_at]
    }
