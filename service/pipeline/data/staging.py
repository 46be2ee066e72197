"""A file as plain UTF-8 on this disk, whatever it was: packed, in S3, JSON Lines, of another encoding.

One pass over the bytes, in constant memory.
"""

import codecs
import csv
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote

import orjson

from service.errors import ConfigurationError
from service.files.stored import StoredFile

CHUNK_BYTES: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_MARKS: Final = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_FALLBACK: Final = "cp1252"
"""What a file that is not UTF-8 most often is."""

Format = Literal["csv", "jsonl", "parquet"]


@dataclass(slots=True, kw_only=True)
class StagedFile:
    """A file that can be read here, and what was found on the way."""

    url: str
    path: Path
    format: Format

    is_packed: bool = False
    """It was gzip."""

    has_mark: bool = False
    """It began with a byte order mark."""

    not_utf8_at: int | None = None
    """The first line that is not UTF-8."""

    newlines: int = 0
    is_open_ended: bool = False
    """Its last line does not end with a newline."""

    columns: list[str] = field(default_factory=list)
    """Of JSON Lines: the names of all keys."""

    bad_json: list[int] = field(default_factory=list)
    """The first lines that hold no flat JSON object."""

    bad_json_lines: int = 0

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return self.newlines + self.is_open_ended

    @property
    def name(self) -> str:
        """The address as people write it."""
        return shown(self.url)


def shown(url: str) -> str:
    """An address without `file://`, from the working directory on if it is below it."""
    if not url.startswith("file://"):
        return url
    path = Path(unquote(url.removeprefix("file://")))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def stage(file: StoredFile, folder: Path, on_bytes: Callable[[int], None]) -> StagedFile:
    """The file, ready to be read.

    Args:
        file: Where it is.
        folder: For what has to be written; a plain local file is read where it is.
        on_bytes: Gets how many bytes as stored were read since the last call.

    Raises:
        ConfigurationError: It cannot be read.
    """
    name = file.url.lower().removesuffix(".gz")
    format_: Format = (
        "parquet" if name.endswith(".parquet") else "jsonl" if name.endswith((".jsonl", ".ndjson", ".json")) else "csv"
    )
    local = Path(unquote(file.url.removeprefix("file://"))) if file.url.startswith("file://") else None
    staged = StagedFile(url=file.url, path=folder / f"{len(list(folder.iterdir()))}.{format_}", format=format_)
    try:
        chunks = _unpacked(_chunks(file, on_bytes), staged)
        if format_ == "parquet":
            if local is not None and not staged.is_packed:
                staged.path = local
                on_bytes(file.size)
            else:
                _write(staged.path, chunks)
        elif format_ == "jsonl":
            _write_csv(staged, _texts(chunks, staged))
        else:
            _stage_csv(staged, chunks, local)
    except (OSError, zlib.error) as error:
        raise ConfigurationError(f"{staged.name}: cannot be read: {error}") from error
    return staged


def _stage_csv(staged: StagedFile, chunks: Iterator[bytes], local: Path | None) -> None:
    """Read a plain file in place as long as it is UTF-8 without a mark; write it anew otherwise."""
    copy = staged.path
    first = next(chunks, b"")
    needs_copy = local is None or staged.is_packed or first.startswith(tuple(_MARKS))
    if not needs_copy and local is not None:
        for _ in _texts(_again(first, chunks), staged):
            pass
        if staged.not_utf8_at is None:
            staged.path = local
            return
        staged.newlines, staged.not_utf8_at = 0, None
        with local.open("rb") as stream:
            _write(copy, _encoded(_texts(iter(lambda: stream.read(CHUNK_BYTES), b""), staged)))
        return
    _write(copy, _encoded(_texts(_again(first, chunks), staged)))


def _chunks(file: StoredFile, on_bytes: Callable[[int], None]) -> Iterator[bytes]:
    stream = file.stored_from(0)
    try:
        while chunk := stream.read(CHUNK_BYTES):
            on_bytes(len(chunk))
            yield chunk
    finally:
        stream.close()


def _unpacked(chunks: Iterator[bytes], staged: StagedFile) -> Iterator[bytes]:
    """The bytes without gzip, which the content shows; several members follow each other as gzip allows."""
    first = next(chunks, b"")
    staged.is_packed = first.startswith(_GZIP)
    return _inflated(_again(first, chunks)) if staged.is_packed else _again(first, chunks)


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        rest = chunk
        while rest:
            if member.eof:
                member = zlib.decompressobj(wbits=31)
            plain = member.decompress(rest, CHUNK_BYTES)
            while plain:
                yield plain
                plain = member.decompress(member.unconsumed_tail, CHUNK_BYTES) if member.unconsumed_tail else b""
            rest = member.unused_data
    if not member.eof:
        raise OSError("the gzip file ends too early")


def _again(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from chunks


def _texts(chunks: Iterator[bytes], staged: StagedFile) -> Iterator[str]:
    """The text; from the first byte on that is not UTF-8 it is read as `_FALLBACK`."""
    first = next(chunks, b"")
    mark = next((mark for mark in _MARKS if first.startswith(mark)), b"")
    encoding = _MARKS.get(mark, "utf-8")
    staged.has_mark = bool(mark)
    if encoding != "utf-8":
        staged.not_utf8_at = 1
    decoder = codecs.getincrementaldecoder(encoding)()
    for chunk in _again(first[len(mark) :], chunks):
        before = decoder.getstate()
        try:
            text = decoder.decode(chunk)
        except UnicodeDecodeError as error:
            whole = error.object
            staged.not_utf8_at = staged.newlines + whole[: error.start].count(b"\n") + 1
            decoder = codecs.getincrementaldecoder(_FALLBACK)("replace")
            text = decoder.decode(before[0] + chunk)
        staged.newlines += text.count("\n")
        staged.is_open_ended = not text.endswith("\n") if text else staged.is_open_ended
        yield text
    if decoder.getstate()[0]:
        staged.not_utf8_at = staged.newlines + 1


def _encoded(texts: Iterator[str]) -> Iterator[bytes]:
    return (text.encode() for text in texts)


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    with path.open("wb") as stream:
        for chunk in chunks:
            stream.write(chunk)


def _lines(texts: Iterator[str]) -> Iterator[str]:
    rest = ""
    for text in texts:
        *whole, rest = (rest + text).split("\n")
        yield from whole
    if rest:
        yield rest


def _write_csv(staged: StagedFile, texts: Iterator[str]) -> None:
    """JSON Lines as CSV without a header, the number of the line first.

    A column that shows up later stands behind the others, and earlier rows are shorter. So the columns' names go to
    `staged.columns`.
    """
    columns: dict[str, int] = {}
    with staged.path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for number, line in enumerate(_lines(texts), 1):
            if not line.strip():
                continue
            row = _row(line)
            if row is None:
                staged.bad_json_lines += 1
                if not staged.bad_json:
                    staged.bad_json.append(number)
                continue
            for name in row:
                columns.setdefault(name, len(columns))
            cells = [""] * len(columns)
            for name, value in row.items():
                cells[columns[name]] = value
            writer.writerow([number, *cells])
    staged.columns = list(columns)


def _row(line: str) -> dict[str, str] | None:
    try:
        row = orjson.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    cells = {name: _cell(value) for name, value in row.items()}
    return None if None in cells.values() else {name: str(value) for name, value in cells.items()}


def _cell(value: object) -> str | None:
    """A value as CSV has it; a list of texts is how Personalize writes several values. None: it has no such form."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
        case list() if all(isinstance(one, str | int | float) for one in value):
            return "|".join(map(str, value))
    return None
