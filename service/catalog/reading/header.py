"""The header of a CSV file: where it is, what delimits its columns, and their names."""

import csv
import io
import re
from dataclasses import dataclass
from typing import IO, Final

from service.catalog.reading.cells import shown
from service.catalog.reading.lines import next_line
from service.errors import CatalogError

DELIMITERS: Final = (",", ";", "\t", "|")

MAX_HEADER_LINES: Final = 100
"""Lines of comments and blanks above the header, and of a header with line breaks in its names."""

_DELIMITER_LINE: Final = re.compile(r'("?)sep=(.)\1', re.IGNORECASE)
"""The line that names the delimiter to Excel."""

_NO_NAME: Final = "".join(DELIMITERS) + '" '
"""What a line without a name in it may hold."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file begins with."""

    names: tuple[str, ...]
    """Columns by place, without blanks around them."""

    delimiter: str

    lines: int
    """Lines up to the header's last."""


def read_header(text: IO[str], label: str) -> Header:
    """The header, which is the first line that is neither blank nor a comment.

    Comments, with which Google and Meta begin their templates, start with `#`. The delimiter is the one that makes the
    most columns of the header.

    Raises:
        CatalogError: The header is too long, or its quotes cannot be read.
    """
    text.seek(0)
    delimiters: tuple[str, ...] = DELIMITERS
    number = 0
    lines: list[str] = []
    problem = ""
    while number < MAX_HEADER_LINES:
        line, is_whole = next_line(text.readline)
        if not line:
            break
        number += 1
        if not is_whole:
            raise CatalogError(f"{label}: line {number}: longer than a header can be; is it text?")
        lines.append(line)
        whole = "".join(lines).strip("\ufeff \r\n")
        if whole.startswith("#") or not whole.strip(_NO_NAME):
            lines.clear()
        elif match := _DELIMITER_LINE.fullmatch(whole):
            delimiters = (match[2],)
            lines.clear()
        else:
            found, problem = _parsed(whole, delimiters, problem)
            if not found:
                continue  # a name, or a comment, with a line break in it
            lines.clear()
            if not whole.startswith('"#'):
                delimiter = max(found, key=lambda one: len(found[one]))
                names = tuple(name.strip("\ufeff \t\r\n") for name in found[delimiter])
                return Header(_checked(names, number, label), delimiter, number)
    if lines:
        first = number - len(lines) + 1
        raise CatalogError(f"{label}: line {first}: the header {shown(lines[0].strip())} cannot be read: {problem}")
    return Header((), ",", number)


def _parsed(whole: str, delimiters: tuple[str, ...], problem: str) -> tuple[dict[str, list[str]], str]:
    """The names by each delimiter that can be read, and the first problem of the others.

    None where the delimiter that stands there most often is not among them.
    """
    found: dict[str, list[str]] = {}
    most = 0
    for delimiter in delimiters:
        text = io.StringIO(mended(whole, delimiter), newline="")
        try:
            rows = list(csv.reader(text, delimiter=delimiter, strict=True, skipinitialspace=True))
        except csv.Error as error:
            problem = problem or str(error)
            most = max(most, whole.count(delimiter))
            continue
        if len(rows) == 1:
            found[delimiter] = rows[0]
    if not found or most >= max(map(len, found.values())):
        return {}, problem
    return found, problem


def mended(line: str, delimiter: str) -> str:
    """A line without blanks between a closing quote and the delimiter, which Python's csv does not take."""
    return re.sub(rf'"[ ]+(?={re.escape(delimiter)}|\s*$)', '"', line)


def _checked(names: tuple[str, ...], number: int, label: str) -> tuple[str, ...]:
    odd = next((name for name in names if not name.isprintable() and "\0" in name), None)
    if odd is not None:
        raise CatalogError(f"{label}: line {number}: the header is no text: {shown(odd)}; save the file as CSV UTF-8")
    return names
