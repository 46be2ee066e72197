"""Brings a batch's output into the store that the replicas serve from."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

import orjson

from service.batch.files import BatchFile, Reading
from service.batch.lines import MAX_LINE_BYTES, BadLine, SimilarItemsLine, parse
from service.batch.ports import BatchSets
from service.errors import BatchError
from service.lists.keys import UserKeys
from service.models import ItemList, ListRequest

LISTS_AT_ONCE: Final = 1_000
"""Written in one transaction; what a killed load has to do again at most."""


@dataclass(slots=True)
class Mark:
    """How far a load has come; kept with what was loaded, in the same transaction."""

    file: int = 0
    """Files done."""

    offset: int = 0
    """Bytes done of the next one, as unpacked."""

    line: int = 0
    """Lines done of it."""

    lists: int = 0
    similar_items: int = 0
    errors: int = 0
    error_bytes: int = 0
    """Length of the file of errors."""


@dataclass(frozen=True, slots=True)
class About:
    """What is kept with a set in force."""

    oldest: float
    """Unix seconds at which its oldest file was made."""

    newest: float
    loaded_at: float
    files: int
    errors: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a load."""

    users: int
    """Lists in force; less than `mark.lists` when a user has several."""

    mark: Mark
    resumed_at: int
    """Lists that an earlier, interrupted load had brought already."""


def load(
    files: Sequence[BatchFile],
    *,
    sets: BatchSets,
    keys: UserKeys,
    errors_path: Path,
    now: float,
    on_progress: Callable[[int, int], None] = lambda _stored_bytes, _lists: None,
) -> Loaded:
    """Load all files as one set and put it in force; go on where the same load was interrupted.

    Args:
        files: In a fixed order; of several lists of a user the last one counts.
        sets: Where to.
        keys: Make the keys that the replicas look for.
        errors_path: Gets a JSON line for each bad line; replaced, or continued with the load.
        now: Unix seconds, for the record.
        on_progress: Called with the bytes as stored and the lists that are done.

    Raises:
        BatchError: A file or the store failed, or there is no list in them at all. The set in force stays.
    """
    kept = sets.begin(_source(files, keys))
    mark = Mark(**orjson.loads(kept)) if kept else Mark()
    resumed_at = mark.lists
    done = sum(file.size for file in files[: mark.file])
    with _error_file(errors_path, mark.error_bytes) as errors:
        for number in range(mark.file, len(files)):
            file = files[number]
            with Reading(file, mark.offset) as reading:
                for lists in _batches(reading, file, mark, keys, errors):
                    errors.flush()
                    mark.error_bytes = errors.tell()
                    sets.write(lists, orjson.dumps(asdict(mark)))
                    on_progress(done + reading.stored_bytes, mark.lists)
            done += file.size
            mark.file, mark.offset, mark.line = number + 1, 0, 0
            sets.write([], orjson.dumps(asdict(mark)))
            on_progress(done, mark.lists)
    if not mark.lists:
        raise BatchError(f"no user's list in {len(files)} files; {mark.errors} lines with errors; nothing was changed")
    made = [file.made_at for file in files]
    about = About(min(made), max(made), now, len(files), mark.errors)
    return Loaded(sets.switch(orjson.dumps(asdict(about))), mark, resumed_at)


def _source(files: Sequence[BatchFile], keys: UserKeys) -> str:
    """Changes when a load could not go on: other content, or other keys."""
    named = [[file.url, file.version] for file in files]
    return hashlib.sha256(orjson.dumps(named) + keys.of(ListRequest())).hexdigest()


def _batches(
    reading: Reading, file: BatchFile, mark: Mark, keys: UserKeys, errors: IO[bytes]
) -> Iterator[list[tuple[bytes, ItemList]]]:
    """Lists in portions; the mark is past them when they are given."""
    lists: list[tuple[bytes, ItemList]] = []
    for length, line in _lines(reading):
        mark.offset += length
        mark.line += 1
        try:
            if not line.strip():
                continue
            user_id, item_ids = parse(line)
            lists.append((keys.of(ListRequest(user_id)), ItemList(item_ids, "", file.made_at)))
            mark.lists += 1
        except SimilarItemsLine:
            mark.similar_items += 1
        except BadLine as error:
            mark.errors += 1
            errors.write(orjson.dumps({"file": file.url, "line": mark.line, "error": str(error)}) + b"\n")
        if len(lists) >= LISTS_AT_ONCE:
            yield lists
            lists = []
    yield lists


def _lines(reading: Reading) -> Iterable[tuple[int, bytes]]:
    """Bytes and content of each line; of one that is too long to be kept in memory only the beginning."""
    while line := reading.readline(MAX_LINE_BYTES):
        if len(line) < MAX_LINE_BYTES or line.endswith(b"\n"):
            yield len(line), line
            continue
        length, more = len(line), line
        while more and not more.endswith(b"\n"):
            more = reading.readline(MAX_LINE_BYTES)
            length += len(more)
        yield length, line


@contextmanager
def _error_file(path: Path, keep_bytes: int) -> Iterator[IO[bytes]]:
    """The file of errors as it was at the mark."""
    try:
        path.touch()
        with path.open("r+b") as file:
            file.truncate(keep_bytes)
            file.seek(keep_bytes)
            yield file
    except OSError as error:
        raise BatchError(f"{path}: cannot be written: {error.strerror}") from error
