"""The users of a file, streamed, and what is wrong with the file, in words and with line numbers.

CSV with a header (a Braze segment export is one), JSON Lines of objects or of plain ids, or one id a line; each also
with gzip. UTF-8, with or without a byte order mark, line ends of any system.
"""

import csv
import gzip
import json
import sqlite3
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from service.constants import MAX_ID_CHARACTERS
from service.errors import ConfigurationError

USUAL_COLUMNS: Final = ("user_id", "external_id", "userid", "external id")
"""Looked for in this order, in upper or lower case, when no column is named."""

MAX_LINE_BYTES: Final = 262_144
"""Longest line. A longer one is no line of a users file, and must not fill the memory."""

MAX_LINES_NAMED: Final = 10
"""Line numbers of one kind that are named."""

_CACHE_KIB: Final = 32 * 1024
_DIGEST_BYTES: Final = 12
"""Two of ten million users share theirs with a chance of one in 10^15."""

NO_FAULT: Final = ("blank", "a user named before")
"""Lines that cost nobody a list."""


class UsersFileError(ConfigurationError):
    """The file cannot be used at all; the message says why."""


@dataclass(slots=True)
class Findings:
    """The lines without a user, by what is wrong with them."""

    counts: Counter[str] = field(default_factory=Counter)
    lines: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def note(self, kind: str, line: int) -> None:
        """Count a line."""
        self.counts[kind] += 1
        if len(self.lines[kind]) < MAX_LINES_NAMED:
            self.lines[kind].append(line)

    @property
    def faults(self) -> int:
        """Lines that should have named a user."""
        return sum(count for kind, count in self.counts.items() if kind not in NO_FAULT)

    def words(self) -> list[str]:
        """A sentence for each kind."""
        return [self._sentence(kind, count) for kind, count in self.counts.items()]

    def _sentence(self, kind: str, count: int) -> str:
        named = self.lines[kind]
        more = f" and {count - len(named):,} more" if count > len(named) else ""
        numbers = ", ".join(str(line) for line in named)
        return f"{count:,} {'line' if count == 1 else 'lines'} left out, {kind}: {numbers}{more}"


class UsersFile:
    """A file of users; reading begins anew with each call of `users`.

    Args:
        path: Ends with .csv, .tsv, .jsonl, .ndjson or .json, also with .gz behind; anything else is one id a line.
        column: Of CSV, or key of JSON objects; empty: the first of `USUAL_COLUMNS` that is there.
    """

    def __init__(self, path: Path, column: str = "") -> None:
        self.path = path
        self._column = column
        suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
        self._suffix = suffixes[-1].lower() if suffixes else ""

    def users(self, findings: Findings | None = None) -> Iterator[str]:
        """The users in the order of the file, in constant memory.

        Args:
            findings: Gets each line without a user. With it a user comes only once, for which digests are kept in a
                temporary file; without it as often as the file names them.

        Raises:
            UsersFileError: It cannot be read, is none of the formats, or lacks the column.
        """
        noted = findings or Findings()
        named = _Named() if findings is not None else None
        try:
            with self._opened() as file:
                for line, user in self._named(_lines(file, noted), noted):
                    problem = _problem(user)
                    if problem:
                        noted.note(problem, line)
                    elif named is not None and not named.add(user):
                        noted.note("a user named before", line)
                    else:
                        yield user
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise UsersFileError(f"{self.path}: the gzip file is damaged or cut short") from None
        except OSError as error:
            raise UsersFileError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        except sqlite3.Error as error:
            raise UsersFileError(f"no room for a temporary file, set TMPDIR: {error}") from None
        finally:
            if named is not None:
                named.close()

    def _opened(self) -> BinaryIO:
        file = self.path.open("rb")
        head = file.read(4)
        file.seek(0)
        if head[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            file.close()
            raise UsersFileError(f"{self.path}: is UTF-16; save it as UTF-8")
        if head[:2] == b"\x1f\x8b":
            file.close()
            return cast("BinaryIO", gzip.open(self.path, "rb"))
        return file

    def _named(self, lines: "_Numbered", noted: Findings) -> Iterator[tuple[int, str]]:
        """Line number and what it names; blank for a line that names nobody."""
        if self._suffix in {".csv", ".tsv"}:
            return self._of_csv(lines, noted)
        if self._suffix in {".jsonl", ".ndjson", ".json"}:
            return self._of_json_lines(lines, noted)
        return ((lines.number, line.strip()) for line in lines)

    def _of_csv(self, lines: "_Numbered", noted: Findings) -> Iterator[tuple[int, str]]:
        header = next(lines, "")
        delimiter = max(",;\t", key=header.count)
        names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
        at = self._place(names)
        # The reader keeps a line break within quotes only if it sees one.
        rows = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter)
        while True:
            first = lines.number + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error:
                noted.note("a quote that is not closed or a field without end", first)
                continue
            if not row:
                yield first, ""
            elif at < len(row) and row[at].strip():
                yield first, row[at]
            else:
                noted.note("no user id", first)

    def _of_json_lines(self, lines: "_Numbered", noted: Findings) -> Iterator[tuple[int, str]]:
        for line in lines:
            if not line.strip():
                yield lines.number, ""
                continue
            try:
                value: Any = json.loads(line)
            except (ValueError, RecursionError):
                noted.note("not JSON", lines.number)
                continue
            if isinstance(value, dict):
                names = list(value)
                place = _place_of(names, self._column)
                value = None if place is None else value[names[place]]
            if isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
            if isinstance(value, str) and value.strip():
                yield lines.number, value
            else:
                noted.note("no user id", lines.number)

    def _place(self, names: Sequence[str]) -> int:
        place = _place_of(names, self._column)
        if place is None:
            wanted = f"no column {self._column}" if self._column else "no column user_id or external_id"
            there = ", ".join(names[:20]) or "none"
            raise UsersFileError(f"{self.path}: {wanted}; its columns: {there}; name one with --column")
        return place


class _Numbered:
    """Lines as text without their ends, and the number of the last one given."""

    def __init__(self, lines: Iterable[tuple[int, str]]) -> None:
        self._lines = iter(lines)
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        return line


def _lines(file: BinaryIO, noted: Findings) -> _Numbered:
    def numbered() -> Iterator[tuple[int, str]]:
        number = 0
        while raw := file.readline(MAX_LINE_BYTES):
            number += 1
            if len(raw) == MAX_LINE_BYTES and not raw.endswith(b"\n"):
                noted.note("a line without end", number)
                while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                    pass
                continue
            # A byte that is no UTF-8 stays recognisable, and spoils no other field of its line.
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")
            yield number, text.rstrip("\r\n")

    return _Numbered(numbered())


def _place_of(names: Sequence[str], column: str) -> int | None:
    if column in names:
        return names.index(column)
    folded = [name.casefold() for name in names]
    wanted = [column.casefold()] if column else USUAL_COLUMNS
    return next((folded.index(name) for name in wanted if name in folded), None)


def _problem(user: str) -> str:
    """Why this is no user id; empty if it is one."""
    if not user:
        return "blank"
    if len(user) > MAX_ID_CHARACTERS:
        return f"an id of more than {MAX_ID_CHARACTERS} characters"
    if "\n" in user:
        return "an id with a line break, perhaps a quote that is not closed"
    if not user.isascii():
        try:
            user.encode()
        except UnicodeEncodeError:
            return "not UTF-8"
    return ""


class _Named:
    """Users named so far, as digests in a temporary file; SQLite bounds its memory and deletes it."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for statement in (
            "PRAGMA journal_mode=OFF",
            f"PRAGMA cache_size=-{_CACHE_KIB}",
            "CREATE TABLE named (user BLOB PRIMARY KEY) WITHOUT ROWID",
            "BEGIN",
        ):
            self._db.execute(statement)

    def add(self, user: str) -> bool:
        """Whether the user is new."""
        digest = blake2b(user.encode(), digest_size=_DIGEST_BYTES).digest()
        return self._db.execute("INSERT OR IGNORE INTO named VALUES (?)", (digest,)).rowcount == 1

    def close(self) -> None:
        """Delete the file."""
        self._db.close()
