"""Brings a batch's output into the store that the replicas serve from."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

import orjson

from service.batch.files import BatchFile, BatchFileReader
from service.batch.lines import MAX_LINE_BYTES, BadLine, SimilarItemsLine, parse
from service.batch.ports import BatchSets
from service.errors import BatchError
from service.lists.keys import UserKey, UserKeys
from service.models import ItemList, ListRequest

MAX_LISTS_AT_ONCE: Final = 1_000
"""Lists written in one transaction; what a killed load has to do again at most."""


@dataclass(slots=True)
class LoadProgress:
    """How far a load has come; kept with the lists, in the same transaction."""

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
class SetDescription:
    """What is kept with the active set."""

    oldest: float
    """Unix seconds at which its oldest file was made."""

    newest: float
    """Unix seconds at which its newest file was made."""

    loaded_at: float
    files: int
    errors: int


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What came of a load."""

    users: int
    """Lists in the active set; less than `progress.lists` when a user has several."""

    progress: LoadProgress

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
) -> LoadReport:
    """Load all files as one set and make it active; go on where the same load was interrupted.

    Args:
        files: In a fixed order; where a user has several lists, the last one counts.
        sets: The store that gets the lists.
        keys: Makes the keys under which the replicas look.
        errors_path: Gets a JSON line for each bad line; replaced, or continued with the load.
        now: Unix seconds, for the record.
        on_progress: Called with the bytes as stored and the lists that are done.

    Raises:
        BatchError: A file or the store failed, or there is no list in them at all. The active set stays.
    """
    kept = sets.begin(_source(files, keys))
    progress = LoadProgress(**orjson.loads(kept)) if kept else LoadProgress()
    resumed_at = progress.lists
    done = sum(file.size for file in files[: progress.file])
    with _error_file(errors_path, progress.error_bytes) as errors:
        for number in range(progress.file, len(files)):
            file = files[number]
            with BatchFileReader(file, progress.offset) as reader:
                for lists in _batches(reader, file, progress, keys, errors):
                    errors.flush()
                    progress.error_bytes = errors.tell()
                    sets.write(lists, orjson.dumps(asdict(progress)))
                    on_progress(done + reader.stored_bytes, progress.lists)
            done += file.size
            progress.file, progress.offset, progress.line = number + 1, 0, 0
            sets.write([], orjson.dumps(asdict(progress)))
            on_progress(done, progress.lists)
    if not progress.lists:
        raise BatchError(
            f"no user's list in {len(files)} files; {progress.errors} lines with errors; nothing was changed"
        )
    made = [file.made_at for file in files]
    description = SetDescription(min(made), max(made), now, len(files), progress.errors)
    return LoadReport(sets.switch(orjson.dumps(asdict(description))), progress, resumed_at)


def _source(files: Sequence[BatchFile], keys: UserKeys) -> str:
    """Changes when a load could not go on: other content, or other keys."""
    named = [[file.url, file.version] for file in files]
    return hashlib.sha256(orjson.dumps(named) + keys.of(ListRequest())).hexdigest()


def _batches(
    reader: BatchFileReader, file: BatchFile, progress: LoadProgress, keys: UserKeys, errors: IO[bytes]
) -> Iterator[list[tuple[UserKey, ItemList]]]:
    """Lists in portions; the progress is past them when they are given."""
    lists: list[tuple[UserKey, ItemList]] = []
    for length, line in _lines(reader):
        progress.offset += length
        progress.line += 1
        try:
            if not line.strip():
                continue
            user_id, item_ids = parse(line)
            lists.append((keys.of(ListRequest(user_id)), ItemList(item_ids, "", file.made_at)))
            progress.lists += 1
        except SimilarItemsLine:
            progress.similar_items += 1
        except BadLine as error:
            progress.errors += 1
            errors.write(orjson.dumps({"file": file.url, "line": progress.line, "error": str(error)}) + b"\n")
        if len(lists) >= MAX_LISTS_AT_ONCE:
            yield lists
            lists = []
    yield lists


def _lines(reader: BatchFileReader) -> Iterable[tuple[int, bytes]]:
    """Length and content of each line; only the beginning of one that is too long to be kept in memory."""
    while line := reader.readline(MAX_LINE_BYTES):
        if len(line) < MAX_LINE_BYTES or line.endswith(b"\n"):
            yield len(line), line
            continue
        length, more = len(line), line
        while more and not more.endswith(b"\n"):
            more = reader.readline(MAX_LINE_BYTES)
            length += len(more)
        yield length, line


@contextmanager
def _error_file(path: Path, keep_bytes: int) -> Iterator[IO[bytes]]:
    """The file of errors as it was at this length."""
    try:
        path.touch()
        with path.open("r+b") as file:
            file.truncate(keep_bytes)
            file.seek(keep_bytes)
            yield file
    except OSError as error:
        raise BatchError(f"{path}: cannot be written: {error.strerror}") from error
