"""The users of a text, by its content: a table with a header, JSON Lines, or one id a line.

UTF-8, with or without a byte order mark, line ends of any system.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import IO, Any, Final

import orjson

from service.catalog.reading.cells import FLOAT_ID, NOTHING, ROUNDED, without_formula
from service.catalog.reading.encoding import is_broken
from service.constants import MAX_ID_CHARACTERS
from service.sends.users.findings import BLANK, Findings, UsersFileError

USUAL_COLUMNS: Final = ("userid", "externalid")
"""Looked for in this order when no column is named, whatever the case, `_`, `-` and blanks: `external_id`, `User ID`.

Braze exports the id that the application gives its users as `external_id` in JSON, and as `user_id` in CSV.

Source: https://www.braze.com/docs/api/endpoints/export/user_data/post_users_segment and
https://www.braze.com/docs/user_guide/data/distribution/export_braze_data/segment_data_to_csv
"""

ITEM_COLUMNS: Final = ("itemid", "id")
"""The same in a file of items."""

MAX_LINE_BYTES: Final = 1 << 20
"""Of a line; a longer one is no user's, and is not to fill the memory. Braze's hold all that is known of a user."""

MAX_WHOLE: Final = 2**53
"""Whole numbers up to this one come out of JSON as they went in."""

_TABLE_SUFFIXES: Final = (".csv", ".tsv")
_JSON_SUFFIXES: Final = (".jsonl", ".ndjson", ".json")
_DELIMITERS: Final = ",;\t"
_PIPE: Final = "|"
_SHOWN: Final = 20
_LOOKED_AT: Final = 100
"""Ids of a table that tell whether pandas wrote them as `12.0`."""
_EXCEL_DELIMITER: Final = re.compile(r'"?sep=([,;\t|])"?', re.IGNORECASE)
_UNLIKE_A_WORD: Final = re.compile(r"[\s_-]+")


def users_of(
    stream: IO[bytes], name: str, column: str, noted: Findings, usual: Sequence[str] = USUAL_COLUMNS
) -> Iterator[tuple[int, str]]:
    """Line number and user of each line that names one.

    Args:
        stream: The text.
        name: Names it in errors. Where the content leaves a doubt, its end says what it is: `.csv`, `.jsonl`.
        column: Of a table, or key of JSON objects; blank: the first of `usual` that is there.
        noted: Gets each line without a user.
        usual: Names of columns in small letters without `_`, `-` and blanks.

    Raises:
        UsersFileError: It is none of the formats, or lacks the column.
    """
    for line, written in _Text(stream, name, column, noted, usual).named():
        user = without_formula(written)
        problem = _problem(user)
        if problem:
            noted.note(problem, line)
        else:
            yield line, user


class _Lines:
    """Lines as text without their ends, and the number of the last one given; the next ones can be looked at."""

    def __init__(self, stream: IO[bytes], noted: Findings) -> None:
        self._lines = _numbered(stream, noted)
        self._seen: list[tuple[int, str]] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number, line = self._seen.pop(0) if self._seen else next(self._lines)
        return line

    def look(self, count: int) -> list[str]:
        """The next lines that are not blank, without blanks around them; fewer at the end."""
        while sum(bool(line.strip()) for _, line in self._seen) < count:
            if (following := next(self._lines, None)) is None:
                break
            self._seen.append(following)
        return [line.strip() for _, line in self._seen if line.strip()][:count]

    def skip_blank(self) -> None:
        """Go on to the first line that is neither blank nor, above a header, a comment."""
        while self._seen and (not (line := self._seen[0][1].strip()) or line.startswith("#")):
            self.number, _ = self._seen.pop(0)


class _Text:
    def __init__(self, stream: IO[bytes], name: str, column: str, noted: Findings, usual: Sequence[str]) -> None:
        self._lines = _Lines(stream, noted)
        self._usual = usual
        self._name = name
        self._suffix = f".{name.lower().removesuffix('.gz').rpartition('.')[2]}"
        self._column = column
        self._noted = noted

    def named(self) -> Iterator[tuple[int, str]]:
        """Line number and what it names; blank for a line that names nobody."""
        first, *others = [*self._lines.look(2), ""]
        if first.startswith("{"):
            self._check_objects(first, others[0])
            return self._of_json_lines()
        if first.startswith("[") and (first == "[" or isinstance(_json(first), list)):
            raise self._one_document()
        if first.startswith("#"):
            first = next((line for line in self._lines.look(_LOOKED_AT) if not line.startswith("#")), first)
        if self._is_table(first):
            return _without_points(self._of_table())
        if self._suffix in _JSON_SUFFIXES or isinstance(_json(first), str):
            return self._of_json_lines()
        if self._column and first:
            raise UsersFileError(
                f"{self._name}: no column {self._column}; it is no table and holds no objects, but one id a line"
            )
        return ((self._lines.number, line.strip()) for line in self._lines)

    def _check_objects(self, first: str, second: str) -> None:
        if second and not second.startswith("{") and not isinstance(_json(first), dict):
            raise self._one_document()

    def _one_document(self) -> UsersFileError:
        return UsersFileError(
            f"{self._name}: is one JSON document of several lines or a list; one object or id a line is read, as"
            " jq -c '.[]' writes a list, and jq -c . an object"
        )

    def _is_table(self, first: str) -> bool:
        """Whether the first line is a header.

        One id a line may hold any character but those that a table has between cells: such ids are written
        as JSON.
        """
        if _EXCEL_DELIMITER.fullmatch(first) or self._suffix in _TABLE_SUFFIXES:
            return True
        names = _header(first, self._delimiter(first))
        return len(names) > 1 or _place_of(names, self._column, self._usual) is not None

    def _delimiter(self, header: str) -> str:
        delimiter = max(_DELIMITERS, key=header.count)
        # Ids such as `auth0|12` have one, too.
        is_piped = delimiter not in header and _place_of(_header(header, _PIPE), self._column, self._usual) is not None
        return _PIPE if is_piped else delimiter

    def _of_table(self) -> Iterator[tuple[int, str]]:
        lines = self._lines
        lines.skip_blank()
        header = next(lines, "")
        delimiter = self._delimiter(header)
        if named := _EXCEL_DELIMITER.fullmatch(header.strip()):
            delimiter, header = named[1], next(lines, "")
        at = self._place(_header(header, delimiter))
        # The reader keeps a line break within quotes only if it sees one.
        rows = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, skipinitialspace=True)
        while True:
            first = lines.number + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error:
                self._noted.note("a quote that is not closed or a field without end", first)
                continue
            if not row:
                yield first, ""
            elif at < len(row) and (user := row[at].strip()) not in NOTHING:
                yield first, user
            else:
                self._noted.note("no user id", first)

    def _of_json_lines(self) -> Iterator[tuple[int, str]]:
        for line in self._lines:
            if not line.strip():
                yield self._lines.number, ""
                continue
            try:
                # Where one took an array apart, the commas between its rows are left.
                value = orjson.loads(line.rstrip().removesuffix(",").encode("utf-8", "surrogateescape"))
            except orjson.JSONDecodeError:
                self._noted.note(_not_json(line), self._lines.number)
                continue
            if isinstance(value, dict):
                names = list(value)
                place = _place_of(names, self._column, self._usual)
                if place is None:
                    self._noted.note_keys(names)
                value = None if place is None else value[names[place]]
            user = _id_of(value).strip()
            if user not in NOTHING:
                yield self._lines.number, user
            else:
                self._noted.note("no user id", self._lines.number)

    def _place(self, names: Sequence[str]) -> int:
        place = _place_of(names, self._column, self._usual)
        if place is None:
            wanted = self._column or ("item_id or id" if self._usual is ITEM_COLUMNS else "user_id or external_id")
            there = ", ".join(names[:_SHOWN]) or "none"
            doubt = "" if self._suffix in _TABLE_SUFFIXES else "; if these are ids, write one a line, in double quotes"
            raise UsersFileError(
                f"{self._name}: no column {wanted}; its columns: {there}; name one with --column{doubt}"
            )
        return place


def _numbered(stream: IO[bytes], noted: Findings) -> Iterator[tuple[int, str]]:
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES):
        number += 1
        if len(raw) == MAX_LINE_BYTES and not raw.endswith(b"\n"):
            noted.note("a line without end", number)
            while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            continue
        # A byte that is no UTF-8 stays recognisable, and spoils no other field of its line.
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")
        yield number, text.rstrip("\r\n")


def _without_points(named: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Ids of a table; `12.0` is 12 if the first of them are all so, as pandas writes a column that also has gaps."""
    first: list[tuple[int, str]] = []
    for line, user in named:
        first.append((line, user))
        if len(first) == _LOOKED_AT or (user and not FLOAT_ID.fullmatch(user)):
            break
    if not all(FLOAT_ID.fullmatch(user) for _, user in first if user):
        yield from chain(first, named)
        return
    for line, user in chain(first, named):
        match = FLOAT_ID.fullmatch(user)
        yield line, match[1] if match else user


def _header(line: str, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:
        return [line]


def _place_of(names: Sequence[str], column: str, usual: Sequence[str]) -> int | None:
    if column in names:
        return names.index(column)
    folded = [_UNLIKE_A_WORD.sub("", name).casefold() for name in names]
    wanted: Iterable[str] = [_UNLIKE_A_WORD.sub("", column).casefold()] if column else usual
    return next((folded.index(name) for name in wanted if name in folded), None)


def _json(line: str) -> Any:  # noqa: ANN401  # any value of JSON; None for what is none
    try:
        return orjson.loads(line.encode("utf-8", "surrogateescape"))
    except orjson.JSONDecodeError:
        return None


def _not_json(line: str) -> str:
    try:
        line.encode()
    except UnicodeEncodeError:
        return "not UTF-8"
    return "not JSON"


def _id_of(value: object) -> str:
    """The id that a value of JSON is; blank if it is none. Numbers of pandas have a decimal point."""
    if isinstance(value, bool):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_WHOLE:
        return str(int(value))
    return str(value) if isinstance(value, str | int) else ""


def _problem(user: str) -> str:
    """Why this is no user id; empty if it is one."""
    if not user:
        return BLANK
    if len(user) > MAX_ID_CHARACTERS:
        return f"an id of more than {MAX_ID_CHARACTERS} characters"
    if user.startswith("{"):
        return "an id that begins with {, as JSON and unfilled templates do"
    if ROUNDED.fullmatch(user) is not None:
        return "a number that Excel rounded; format its column as text"
    if "\n" in user:
        return "an id with a line break, perhaps a quote that is not closed"
    return "not UTF-8" if not user.isascii() and is_broken(user) else ""
