"""Brings a batch's output into the store that the replicas serve from."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

from service.batch.error_file import ErrorFile
from service.batch.files import BatchFileReader
from service.batch.lines import MAX_LINE_BYTES, BadLine, parse
from service.batch.ports import BatchSets
from service.errors import BatchError
from service.files.stored import StoredFile
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
    other_kinds: int = 0
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


class _OtherKindError(Exception):
    """The line is of another kind than the placement."""


def _recommendations(request: ListRequest) -> ListRequest | None:
    return request if request.kind == "recommendations" else None


def load(
    files: Sequence[StoredFile],
    *,
    sets: BatchSets,
    keys: UserKeys,
    values_change_lists: bool,
    asked: Callable[[ListRequest], ListRequest | None] = _recommendations,
    errors_path: Path,
    now: float,
    on_progress: Callable[[int, int], None] = lambda _stored_bytes, _lists: None,
) -> LoadReport:
    """Load all files as one set and make it active; go on where the same load was interrupted.

    Args:
        files: In a fixed order; where a user has several lists, the last one counts.
        sets: The store that gets the lists.
        keys: Makes the keys under which the replicas look.
        values_change_lists: Whether the replicas look by `filter_values`, too. If not, lines with values are bad lines.
        asked: The list by which the replicas look for a line's; None for lines that the placement does not ask for.
        errors_path: Gets a JSON line for each bad line; replaced, or continued with the load. There is none without a
            bad line.
        now: Unix seconds, for the record.
        on_progress: Called with the bytes as stored and the lists that are done.

    Raises:
        BatchError: A file or the store failed, or there is no list in them at all. The active set stays.
    """
    kept = sets.begin(_source(files, keys))
    progress = LoadProgress(**orjson.loads(kept)) if kept else LoadProgress()
    resumed_at = progress.lists
    done = sum(file.size for file in files[: progress.file])
    reading = _Reading(keys, progress, asked, values_change_lists=values_change_lists)
    with ErrorFile(errors_path, progress.error_bytes) as errors:
        for number in range(progress.file, len(files)):
            file = files[number]
            with BatchFileReader(file, progress.offset) as reader:
                for lists in reading.portions(reader, file, errors):
                    progress.error_bytes = errors.bytes
                    sets.write(lists, orjson.dumps(asdict(progress)))
                    on_progress(done + reader.stored_bytes, progress.lists)
            done += file.size
            progress.file, progress.offset, progress.line = number + 1, 0, 0
            sets.write([], orjson.dumps(asdict(progress)))
            on_progress(done, progress.lists)
    if not progress.lists:
        first = f", the first: {errors.first}" if errors.first else ""
        others = progress.other_kinds
        other = f"; {others} lines of another kind: --placement names the placement of theirs" if others else ""
        raise BatchError(
            f"no list of this placement in {len(files)} files; {progress.errors} lines with errors{first}{other}; "
            "nothing was changed"
        )
    made = [file.made_at for file in files]
    description = SetDescription(min(made), max(made), now, len(files), progress.errors)
    return LoadReport(sets.switch(orjson.dumps(asdict(description))), progress, resumed_at)


def _source(files: Sequence[StoredFile], keys: UserKeys) -> str:
    """Changes when a load could not go on: other content, or other keys."""
    named = [[file.url, file.version] for file in files]
    return hashlib.sha256(orjson.dumps(named) + keys.of(ListRequest())).hexdigest()


class _Reading:
    """Makes lists of lines, and keeps count in the progress."""

    def __init__(
        self,
        keys: UserKeys,
        progress: LoadProgress,
        asked: Callable[[ListRequest], ListRequest | None],
        *,
        values_change_lists: bool,
    ) -> None:
        self._keys = keys
        self._asked = asked
        self._progress = progress
        self._values_change_lists = values_change_lists

    def portions(
        self, reader: BatchFileReader, file: StoredFile, errors: ErrorFile
    ) -> Iterator[list[tuple[UserKey, ItemList]]]:
        """Lists in portions; the progress is past them when they are given."""
        progress = self._progress
        lists: list[tuple[UserKey, ItemList]] = []
        for length, line in _lines(reader):
            progress.offset += length
            progress.line += 1
            try:
                if not line.strip():
                    continue
                lists.append(self._list(line, file.made_at))
                progress.lists += 1
            except _OtherKindError:
                progress.other_kinds += 1
            except BadLine as error:
                progress.errors += 1
                errors.add(file.url, progress.line, str(error))
            if len(lists) >= MAX_LISTS_AT_ONCE:
                yield lists
                lists = []
        yield lists

    def _list(self, line: bytes, made_at: float) -> tuple[UserKey, ItemList]:
        found, item_ids = parse(line)
        request = self._asked(found)
        if request is None:
            raise _OtherKindError
        if request.filter_values and not self._values_change_lists:
            # Kept without them, it would be the user's plain list, which it is not.
            raise BadLine("filterValues, and the placement has no filter: no call would find this list")
        return self._keys.of(request), ItemList(item_ids, "", made_at)


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
