"""Import: rows of CSV files, checked against the dataset's schema as Personalize does, into one file of ours.

Source: https://docs.aws.amazon.com/personalize/latest/dg/error-messages.html
"""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from service.local_personalize.control.avro import Column, parse_schema
from service.local_personalize.work.failure import JobFailed
from service.local_personalize.work.places import list_files, open_text

MAX_ID_CHARACTERS: Final = 256
MAX_CATEGORICAL_CHARACTERS: Final = 1000
MAX_TEXT_CHARACTERS: Final = 20_000
"""Source: https://docs.aws.amazon.com/personalize/latest/dg/limits.html"""

_EPOCH_SECONDS: Final = range(100_000_000_000)
"""A timestamp beyond it, the year 5138, is in milliseconds."""

Check = Callable[[str], str | None]
"""What is wrong with a value that is there; None if nothing is."""


def import_rows(job: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The file of ours with the rows, and their number.

    Raises:
        JobFailed: A file or row is not as it must be; nothing is imported then.
    """
    columns = parse_schema(job["schema"])
    target = directory / "rows.csv"
    count = 0
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column.name for column in columns])
        for location in list_files(job["location"]):
            for values in _rows(location, columns):
                writer.writerow(values)
                count += 1
    if count < job["least"]:
        raise JobFailed(
            f"The number of rows, {count}, is less than the minimum of {job['least']} for a dataset import job of the "
            f"{job['datasetType']} dataset."
        )
    return {"file": str(target), "rows": count}


def _rows(location: str, columns: list[Column]) -> Iterator[list[str]]:
    try:
        with open_text(location) as text:
            yield from _checked(csv.reader(text, strict=True), location, columns)
    except (csv.Error, UnicodeDecodeError, EOFError) as error:
        raise JobFailed(f"The file {location} is not CSV in UTF-8: {error}") from error


def _checked(reader: Any, location: str, columns: list[Column]) -> Iterator[list[str]]:  # noqa: ANN401  # the csv module's reader has no name
    header = next(reader, None)
    if header is None:
        raise JobFailed(f"Input CSV {location} is empty.")
    if missing := [column.name for column in columns if column.name not in header]:
        raise JobFailed(f"Input CSV is missing the following columns: [{', '.join(missing)}]")
    if len(set(header)) != len(header):
        raise JobFailed(f"Input CSV {location} has a column twice in its header.")
    places = [(header.index(column.name), column, _check_of(column)) for column in columns]
    for row in reader:
        if not row:
            continue
        if len(row) != len(header):
            raise JobFailed(f"Line {reader.line_num} of {location} has {len(row)} fields, its header {len(header)}.")
        values = [row[place] for place, _, _ in places]
        for value, (_, column, check) in zip(values, places, strict=True):
            problem = check(value) if value else (None if column.is_optional else "is empty, but is not nullable")
            if problem:
                raise JobFailed(f"Line {reader.line_num} of {location}: column {column.name} {problem}.")
        yield values


def _check_of(column: Column) -> Check:
    if column.name in ("TIMESTAMP", "CREATION_TIMESTAMP"):
        return _seconds
    if "string" in column.types:
        return _text_check(column)
    if column.types & {"float", "double"}:
        return _number
    if column.types & {"int", "long"}:
        return _whole
    return _boolean


def _text_check(column: Column) -> Check:
    if column.name.endswith("_ID") and column.name in ("USER_ID", "ITEM_ID", "ACTION_ID"):
        most = MAX_ID_CHARACTERS
    elif column.is_textual:
        most = MAX_TEXT_CHARACTERS
    else:
        most = MAX_CATEGORICAL_CHARACTERS

    def check(value: str) -> str | None:
        return f"is longer than {most} characters" if len(value) > most else None

    return check


def _seconds(value: str) -> str | None:
    if _whole(value):
        return f"has {value!r}, which is no Unix time in seconds"
    return None if int(value) in _EPOCH_SECONDS else f"has {value!r}, which is not in seconds"


def _whole(value: str) -> str | None:
    try:
        int(value)
    except ValueError:
        return f"has {value!r}, which is no whole number"
    return None


def _number(value: str) -> str | None:
    try:
        float(value)
    except ValueError:
        return f"has {value!r}, which is no number"
    return None


def _boolean(value: str) -> str | None:
    return None if value in ("true", "false") else f"has {value!r}, which is neither true nor false"
